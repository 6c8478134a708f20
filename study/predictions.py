"""The file of per-image predictions, ``cross_evaluation/predictions.npz``."""

from pathlib import Path
from typing import Any

import numpy as np

from stats.predictions import Predictions


def read_predictions(path: Path) -> Predictions:
    """Read a file of predictions; also an older one, which has no controls and one set of labels.

    Args:
        path: A file of the arrays that :func:`prediction_arrays` names.
    """
    with np.load(path) as file:
        arrays = {name: file[name] for name in file.files}
    columns, labels = arrays["columns"].tolist(), arrays["labels"]
    missing = {"sources": arrays["rows"], "controls": np.array([], dtype=str)}
    missing["label_sets"] = arrays.pop("questions", np.array(["label"] * len(columns)))
    arrays = missing | arrays
    arrays["labels"] = labels if labels.ndim == 2 else np.repeat(labels[:, None], len(columns), axis=1)
    lists = {name: values.tolist() for name, values in arrays.items() if values.dtype.kind == "U"}
    return Predictions(**arrays | lists)


def prediction_arrays(predictions: Predictions) -> dict[str, Any]:
    """The arrays of a file of predictions, by their names in it.

    Args:
        predictions: The per-image results.
    """
    arrays = vars(predictions)
    return {
        name: np.array(values, dtype=str) if isinstance(values, list) else values for name, values in arrays.items()
    }
