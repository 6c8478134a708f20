"""Tables for the page about compressed classifiers: classes and images on which they differ from their parents."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from stats.disagreement import children_of, disagreements_by_class, exemplars
from stats.names import ORIGINAL
from stats.predictions import Predictions

LISTED = 24  # positions of exemplars, at most


def class_shares(predictions: Predictions, parents: Mapping[str, str], classes: Sequence[str]) -> pd.DataFrame:
    """The share of the originals of each class on which each child predicts another class than its parent.

    Args:
        predictions: The per-image results.
        parents: The parent of each child.
        classes: Names of the classes.

    Returns:
        Index ``class`` (by falling mean share; of equal ones the first class leads), a column for each child, and the
        ``mean`` over them.

    Example:
        >>> from tests.stats.example import example_predictions
        >>> class_shares(example_predictions(), {"c": "a"}, ["cat", "dog"]).round(2).to_dict("index")
        {'dog': {'c': 0.33, 'mean': 0.33}, 'cat': {'c': 0.0, 'mean': 0.0}}
    """
    shares = {child: disagreements_by_class(predictions, child, parent)["share"] for child, parent in parents.items()}
    table = pd.DataFrame(shares)
    table.index = pd.Index([classes[label] for label in table.index], name="class")
    return table.assign(mean=table.mean(axis=1)).sort_values("mean", ascending=False, kind="stable")


def exemplar_table(predictions: Predictions, parents: Mapping[str, str]) -> pd.DataFrame:
    """How many images most children of a parent see differently, and how often the parent is right on them.

    Args:
        predictions: The per-image results.
        parents: The parent of each child.

    Returns:
        Index ``parent``; columns ``compressed`` (children), ``exemplars``, ``share``, ``parent_right_on_them``,
        ``parent_right_elsewhere`` (NaN where there are no such images) and ``positions`` (the first of them).

    Example:
        >>> from tests.stats.example import example_predictions
        >>> exemplar_table(example_predictions(), {"c": "a"})[["exemplars", "positions"]].to_dict("index")
        {'a': {'exemplars': 1, 'positions': '4'}}
    """
    rows = {}
    for parent, children in children_of(parents).items():
        chosen = exemplars(predictions, children, parent)
        right = predictions.top1[:, predictions.rows.index(ORIGINAL), predictions.column(parent)]
        here = right[chosen].mean() if len(chosen) else np.nan
        others = np.delete(right, chosen).mean() if len(chosen) < len(right) else np.nan
        positions = ", ".join(map(str, predictions.index[chosen][:LISTED])) + (" …" if len(chosen) > LISTED else "")
        rows[parent] = (len(children), len(chosen), len(chosen) / len(right), here, others, positions)
    columns = ["compressed", "exemplars", "share", "parent_right_on_them", "parent_right_elsewhere", "positions"]
    return pd.DataFrame.from_dict(rows, orient="index", columns=columns).rename_axis("parent")
