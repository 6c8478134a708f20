"""The file of per-image predictions, ``cross_evaluation/predictions.npz``."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from stats.predictions import ReconstructionPredictions
from study.records import read_arrays

SEEDED = r"{}(-seed\d+)?"  # study.folder.seeded
# of each array the kind of its elements, and a letter for each dimension: equal letters, equal sizes
SHAPES = {
    "rows": ("U", "R"),
    "sources": ("U", "R"),
    "columns": ("U", "C"),
    "controls": ("U", "k"),
    "label_sets": ("U", "C"),
    "index": ("iu", "N"),
    "labels": ("iu", "NC"),
    "predicted": ("iu", "NRC"),
    "top1": ("b", "NRC"),
    "top5": ("b", "NRC"),
    "nmi_intra": ("f", "NR"),
    "nmi_inter": ("f", "pR"),
}


def read_predictions(path: Path) -> ReconstructionPredictions:
    """Read a file of predictions; also an older one, which has no controls and one set of labels.

    Args:
        path: A file of the arrays that :func:`prediction_arrays` names.

    Raises:
        ValueError: If the file is damaged, lacks an array, or has one of a wrong type or shape; names it.
    """
    arrays: dict[str, Any] = read_arrays(path)
    if missing_names := [name for name in ("columns", "labels", "rows") if name not in arrays]:
        raise ValueError(f"{path} is damaged: it has no {', '.join(missing_names)}")
    columns, labels = np.atleast_1d(arrays["columns"]).tolist(), arrays["labels"]
    missing = {"sources": arrays["rows"], "controls": np.array([], dtype=str)}
    missing["label_sets"] = arrays.pop("questions", np.array(["label"] * len(columns)))
    arrays = missing | arrays
    arrays["labels"] = labels if labels.ndim != 1 else np.repeat(labels[:, None], len(columns), axis=1)
    check_arrays(path, arrays)
    lists = {name: values.tolist() for name, values in arrays.items() if values.dtype.kind == "U"}
    return ReconstructionPredictions(**arrays | lists)


def check_arrays(path: Path, arrays: Mapping[str, npt.NDArray[Any]]) -> None:
    """Refuse arrays that are no predictions."""
    if arrays.keys() != SHAPES.keys():
        differing = ", ".join(sorted(arrays.keys() ^ SHAPES.keys()))
        raise ValueError(f"{path} is damaged: of its arrays, {differing} is missing or unknown")
    sizes: dict[str, int] = {}
    for name, (kinds, letters) in SHAPES.items():
        array = arrays[name]
        fits = array.dtype.kind in kinds and array.ndim == len(letters)
        if not fits or any(
            sizes.setdefault(letter, size) != size for letter, size in zip(letters, array.shape, strict=True)
        ):
            raise ValueError(f"{path} is damaged: {name} is {array.dtype} of shape {array.shape}")
    rows, sources = arrays["rows"].tolist(), arrays["sources"].tolist()
    if strange := [
        row
        for row, source in zip(rows, sources, strict=True)
        if not re.fullmatch(SEEDED.format(re.escape(source)), row)
    ]:
        raise ValueError(f"{path} is damaged: row {strange[0]!r} is no seed of its source")
    columns = set(arrays["columns"].tolist())
    if lost := sorted(columns - set(arrays["controls"].tolist()) - set(sources)):
        raise ValueError(f"{path} is damaged: it has no row of the autoencoder of {lost[0]}")
    if len(columns) < len(arrays["columns"]) or len(set(rows)) < len(rows):
        raise ValueError(f"{path} is damaged: a row or a column is there twice")


def prediction_arrays(predictions: ReconstructionPredictions) -> dict[str, Any]:
    """The arrays of a file of predictions, by their names in it.

    Args:
        predictions: The per-image results.
    """
    arrays = vars(predictions)
    return {
        name: np.array(values, dtype=str) if isinstance(values, list) else values for name, values in arrays.items()
    }
