"""Decisions of a classifier in numbers: how confident they are, and on which classes they fall."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd


def decision_summary(
    predicted: npt.NDArray[np.int64], confidence: npt.NDArray[np.float64], low: float
) -> dict[str, Any]:
    """How confident the decisions of a classifier are.

    Args:
        predicted: The predicted class of each image, ``(N,)``; -1 for an image that could not be read.
        confidence: Its probability, in [0, 1], ``(N,)``.
        low: Decisions below this confidence are counted.

    Returns:
        ``images``; ``classes``, how many different ones are predicted; ``largest_class``, the share of the one that is
        predicted most often; ``confidence``, the mean; ``median``; ``below``, the share of images below ``low``.

    Example:
        >>> summary = decision_summary(np.array([3, 3, 5, -1]), np.array([0.9, 0.7, 0.2, 0.0]), low=0.5)
        >>> [summary["images"], summary["classes"], round(summary["confidence"], 2), round(summary["below"], 2)]
        [3, 2, 0.6, 0.33]
    """
    read = predicted >= 0
    counts = np.unique(predicted[read], return_counts=True)[1]
    sure = confidence[read]
    return {
        "images": int(read.sum()),
        "classes": len(counts),
        "largest_class": float(counts.max() / read.sum()),
        "confidence": float(sure.mean()),
        "median": float(np.median(sure)),
        "below": float((sure < low).mean()),
    }


def class_shares(
    predicted: npt.NDArray[np.int64], confidence: npt.NDArray[np.float64], names: npt.NDArray[np.str_]
) -> pd.DataFrame:
    """The classes that are predicted, the most frequent first.

    Args:
        predicted: See :func:`decision_summary`.
        confidence: See :func:`decision_summary`.
        names: Name of each class of the classifier.

    Returns:
        Columns ``class, name, images, confidence``: a row for each class that is predicted, with the number of images
        and their mean confidence.

    Example:
        >>> names = np.array(["cat", "dog", "owl"])
        >>> class_shares(np.array([2, 0, 2]), np.array([0.5, 0.9, 0.7]), names)["name"].tolist()
        ['owl', 'cat']
    """
    read = predicted >= 0
    table = pd.DataFrame({"class": predicted[read], "confidence": confidence[read]})
    grouped = table.groupby("class").agg(images=("confidence", "size"), confidence=("confidence", "mean")).reset_index()
    grouped.insert(1, "name", names[grouped["class"]])
    return grouped.sort_values(["images", "class"], ascending=[False, True], kind="stable", ignore_index=True)
