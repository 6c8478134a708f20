"""Which classes gain and which lose accuracy when a classifier is given reconstructions."""

import numpy as np
import pandas as pd

from stats.names import ORIGINAL, PRETRAINED
from stats.predictions import Predictions


def class_accuracies(predictions: Predictions) -> pd.DataFrame:
    r"""Accuracy of each classifier on each class: on the originals, through A_S and through its own A_i.

    .. math:: \mathrm{acc}_k = \frac{1}{|\{ n : y_n = k \}|} \sum_{n : y_n = k} x_n

    where :math:`y_n` is the right class of image :math:`n` and :math:`x_n` is 1 if the classifier is right, else 0.

    Args:
        predictions: Per-image results; each classifier may have labels of its own.

    Returns:
        Columns ``classifier, class, images, original, pretrained, own, change``: a row for each class that has test
        images, ``own`` averaged over the seeds of A_i (missing where a classifier has no A_i), ``change`` from
        the originals to the own A_i.

    Example:
        >>> from tests.stats.example import example_predictions
        >>> table = class_accuracies(example_predictions()).head(2)
        >>> table[["class", "images", "original", "own", "change"]].round(2).to_numpy().tolist()
        [[0.0, 3.0, 1.0, 1.0, 0.0], [1.0, 3.0, 0.67, 1.0, 0.33]]
    """
    tables = []
    for column, name in enumerate(predictions.columns):
        classes, class_of, images = np.unique(predictions.labels[:, column], return_inverse=True, return_counts=True)
        accuracies = {"classifier": name, "class": classes, "images": images}
        for key, source in (("original", ORIGINAL), ("pretrained", PRETRAINED), ("own", name)):
            rows = predictions.rows_of(source)
            right = predictions.top1[:, rows, column].mean(axis=1) if rows else np.full(len(class_of), np.nan)
            accuracies[key] = np.bincount(class_of, weights=right, minlength=len(classes)) / images
        tables.append(pd.DataFrame(accuracies))
    table = pd.concat(tables, ignore_index=True)
    return table.assign(change=table["own"] - table["original"])


def largest_changes(accuracies: pd.DataFrame, count: int) -> pd.DataFrame:
    """The classes of each classifier that gain most and lose most, each at most once.

    Args:
        accuracies: As from :func:`class_accuracies`.
        count: How many gains and how many losses at most; classes that do not change are left out.

    Returns:
        Rows of the table, each classifier's from its largest gain to its largest loss.

    Example:
        >>> table = pd.DataFrame({"classifier": "a", "class": range(4), "change": [0.1, -0.2, 0.3, 0.0]})
        >>> largest_changes(table, count=1)["class"].tolist()
        [2, 1]
    """
    chosen = []
    for _, of_classifier in accuracies.groupby("classifier", sort=False):
        ranked = of_classifier.sort_values("change", ascending=False, kind="stable")
        chosen += [ranked[ranked["change"] > 0].head(count), ranked[ranked["change"] < 0].tail(count)]
    return pd.concat(chosen)
