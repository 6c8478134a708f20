"""The file of per-image predictions, ``cross_evaluation/predictions.npz``."""

from pathlib import Path
from typing import Any

import numpy as np

from stats.predictions import Predictions


def read_predictions(path: Path) -> Predictions:
    """Read a file of predictions; also an older one, which has no controls and one label for all classifiers.

    Args:
        path: A file of the arrays that :func:`prediction_arrays` names.
    """
    with np.load(path) as file:
        arrays = {name: file[name] for name in file.files}
    rows, columns, labels = arrays["rows"].tolist(), arrays["columns"].tolist(), arrays["labels"]
    return Predictions(
        rows=rows,
        sources=arrays["sources"].tolist() if "sources" in arrays else rows,
        columns=columns,
        controls=arrays["controls"].tolist() if "controls" in arrays else [],
        label_sets=arrays["questions"].tolist() if "questions" in arrays else ["label"] * len(columns),
        index=arrays["index"],
        labels=labels if labels.ndim == 2 else np.repeat(labels[:, None], len(columns), axis=1),
        predicted=arrays["predicted"],
        top1=arrays["top1"].astype(bool),
        top5=arrays["top5"].astype(bool),
        nmi_intra=arrays["nmi_intra"],
        nmi_inter=arrays["nmi_inter"],
    )


def prediction_arrays(predictions: Predictions) -> dict[str, Any]:
    """The arrays of a file of predictions, by their names in it.

    Args:
        predictions: The per-image results.
    """
    # files of earlier versions call the names of the label sets "questions", and must stay readable
    arrays = {"questions" if name == "label_sets" else name: values for name, values in vars(predictions).items()}
    texts = {name: np.array(values, dtype=str) for name, values in arrays.items() if isinstance(values, list)}
    return arrays | texts
