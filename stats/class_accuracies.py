"""Which classes gain and which lose when a classifier looks through an autoencoder."""

import numpy as np
import pandas as pd

from stats.accuracy_csv import ORIGINAL, PRETRAINED
from stats.predictions import Predictions


def class_accuracies(predictions: Predictions) -> pd.DataFrame:
    """Accuracy of each classifier on each class: on the originals, through A_S and through its own A_i.

    Args:
        predictions: Per-image results; each classifier may have labels of its own.

    Returns:
        Columns ``classifier, class, images, original, pretrained, own, change``: a row for each class that has test
        images, ``own`` averaged over the seeds of A_i (missing where a classifier has no A_i), ``change`` from
        the originals to the own A_i.
    """
    tables = []
    for column, name in enumerate(predictions.columns):
        classes, place, images = np.unique(predictions.labels[:, column], return_inverse=True, return_counts=True)
        found = {"classifier": name, "class": classes, "images": images}
        for key, source in (("original", ORIGINAL), ("pretrained", PRETRAINED), ("own", name)):
            rows = predictions.rows_of(source)
            right = predictions.top1[:, rows, column].mean(axis=1) if rows else np.full(len(place), np.nan)
            found[key] = np.bincount(place, weights=right, minlength=len(classes)) / images
        tables.append(pd.DataFrame(found))
    table = pd.concat(tables, ignore_index=True)
    return table.assign(change=table["own"] - table["original"])


def largest_changes(accuracies: pd.DataFrame, count: int) -> pd.DataFrame:
    """Of each classifier the classes that gain most and lose most, each at most once.

    Args:
        accuracies: As from :func:`class_accuracies`.
        count: How many gains and how many losses at most; classes that do not change are left out.

    Returns:
        Rows of the table, each classifier's from its largest gain to its largest loss.
    """
    chosen = []
    for _, of_classifier in accuracies.groupby("classifier", sort=False):
        ranked = of_classifier.sort_values("change", ascending=False, kind="stable")
        chosen += [ranked[ranked["change"] > 0].head(count), ranked[ranked["change"] < 0].tail(count)]
    return pd.concat(chosen)
