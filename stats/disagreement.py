"""Where a compressed classifier and its parent disagree: how often, on which classes, on which images."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import binomtest  # type: ignore[import-untyped]

from stats.arrays import BoolArray, IntArray
from stats.names import ORIGINAL, OWN, PRETRAINED
from stats.predictions import Predictions
from stats.proportion import wilson_interval


def mcnemar(only_first: int, only_second: int) -> float:
    r"""Exact two-sided p-value of McNemar's test: are two classifiers equally often right on the same images?

    .. math:: p = \min\left( 1, 2^{1 - n} \sum_{k=0}^{m} \binom{n}{k} \right)

    where :math:`n` is the number of images that only one of the two has right, and :math:`m` the number of these that
    the classifier with fewer of them has right.

    Args:
        only_first: Number of images that only the first has right.
        only_second: Number of images that only the second has right.

    Returns:
        Probability, in [0, 1], of a split at least as uneven if either were as likely; 1 where there are no such
        images.

    Source: Q. McNemar, Psychometrika 12 (1947); in its exact, binomial form.

    Example:
        >>> round(mcnemar(1, 5), 6)  # 2 * (1 + 6) / 64
        0.21875
    """
    images = only_first + only_second
    return float(binomtest(min(only_first, only_second), images).pvalue) if images else 1.0


def modal(predicted: IntArray) -> IntArray:
    r"""The class that most voters predict for each image; of equally frequent ones, that of the earliest voter.

    .. math:: y_n = \operatorname{argmax}_k |\{ v : y_{nv} = k \}|

    where :math:`y_{nv}` is the prediction of voter :math:`v` for image :math:`n`.

    Args:
        predicted: Classes, shape ``(N, voters)``.

    Returns:
        Classes, shape ``(N,)``.

    Example:
        >>> modal(np.array([[3, 1, 1], [2, 0, 1]])).tolist()
        [1, 2]
    """
    votes = (predicted[:, :, None] == predicted[:, None, :]).sum(axis=2)  # scipy's mode would take the smallest class
    return np.take_along_axis(predicted, votes.argmax(axis=1)[:, None], axis=1)[:, 0]


def predicted_classes(predictions: Predictions, name: str, source: str) -> IntArray:
    """The class that a classifier predicts for each image of a source.

    Args:
        predictions: The per-image results.
        name: The classifier.
        source: A source of images, or ``own A_i`` for the classifier's own autoencoder.

    Returns:
        Classes, shape ``(N,)``; over several seeds of an autoencoder the :func:`modal` class.

    Example:
        >>> from tests.stats.example import example_predictions
        >>> predicted_classes(example_predictions(), "b", "own A_i").tolist()
        [0, 0, 0, 1, 1, 1]
    """
    rows = predictions.rows_of(name if source == OWN else source)
    return modal(predictions.predicted[:, rows, predictions.column(name)])


def disagreements(predictions: Predictions, parents: Mapping[str, str]) -> pd.DataFrame:
    r"""How often each child predicts another class than its parent.

    .. math:: d = \frac{1}{N} |\{ n : y_n \ne z_n \}|

    where :math:`y_n` and :math:`z_n` are the predictions of child and parent for image :math:`n` of :math:`N`.

    Args:
        predictions: The per-image results.
        parents: The parent of each child; both are among the classifiers.

    Returns:
        A row for each child and each of ``original``, ``pretrained`` and ``own A_i`` (both through their own
        autoencoders) as far as they were evaluated. Columns: ``child``, ``parent``, ``source``, ``images``,
        ``disagree`` (images), ``share``, ``low`` and ``high`` (its 95 % interval), ``parent_only`` and ``child_only``
        (images that only one has right), ``p`` (McNemar's test, not adjusted for the number of rows).

    Example:
        >>> from tests.stats.example import example_predictions
        >>> table = disagreements(example_predictions(), {"c": "a"})
        >>> table[["images", "disagree", "parent_only", "child_only", "p"]].round(3).to_numpy().tolist()
        [[6.0, 1.0, 1.0, 0.0, 1.0], [6.0, 0.0, 0.0, 0.0, 1.0]]
    """
    rows = []
    for child, parent in parents.items():
        for source in (ORIGINAL, PRETRAINED, OWN):
            pair = (child, parent)
            if not all(predictions.rows_of(name if source == OWN else source) for name in pair):
                continue
            classes = [predicted_classes(predictions, name, source) for name in pair]
            child_right, parent_right = (
                predicted == predictions.labels[:, predictions.column(name)]
                for predicted, name in zip(classes, pair, strict=True)
            )
            only = {
                "parent_only": int((parent_right & ~child_right).sum()),
                "child_only": int((child_right & ~parent_right).sum()),
            }
            counts = _counts(classes[0] != classes[1])
            rows.append(
                {"child": child, "parent": parent, "source": source} | counts | only | {"p": mcnemar(*only.values())}
            )
    columns = ["child", "parent", "source", "images", "disagree", "share", "low", "high", "parent_only", "child_only"]
    return pd.DataFrame(rows, columns=[*columns, "p"])


def disagreements_by_class(predictions: Predictions, child: str, parent: str, source: str = ORIGINAL) -> pd.DataFrame:
    r"""How often a child predicts another class than its parent, for each right class that has images.

    .. math:: d_k = \frac{|\{ n : y_n \ne z_n, \; t_n = k \}|}{|\{ n : t_n = k \}|}

    where :math:`y_n` and :math:`z_n` are the predictions of child and parent for image :math:`n`, and :math:`t_n` is
    the right class.

    Args:
        predictions: The per-image results.
        child: The compressed classifier.
        parent: The classifier it was compressed from.
        source: As for :func:`predicted_classes`.

    Returns:
        Index: the classes, ascending; columns ``images``, ``disagree``, ``share``, ``low``, ``high``.

    Example:
        >>> from tests.stats.example import example_predictions
        >>> disagreements_by_class(example_predictions(), "c", "a")["disagree"].to_dict()
        {0: 0, 1: 1}
    """
    different = predicted_classes(predictions, child, source) != predicted_classes(predictions, parent, source)
    labels = predictions.labels[:, predictions.column(parent)]
    rows = {label: _counts(different[labels == label]) for label in np.unique(labels).tolist()}
    return pd.DataFrame.from_dict(rows, orient="index", columns=["images", "disagree", "share", "low", "high"])


def exemplars(predictions: Predictions, children: Sequence[str], parent: str) -> IntArray:
    """The original images for which most of a parent's compressed children predict another class than the parent.

    Args:
        predictions: The per-image results.
        children: One or more compressed classifiers.
        parent: The classifier they were compressed from.

    Returns:
        Ascending positions among the N images of ``predictions``.

    Source: S. Hooker et al., arXiv 1911.05248, "pruning identified exemplars"; there over many runs.

    Example:
        >>> from tests.stats.example import example_predictions
        >>> exemplars(example_predictions(), ["c"], "a").tolist()
        [4]
    """
    voters = np.stack([predicted_classes(predictions, child, ORIGINAL) for child in children], axis=1)
    return np.flatnonzero(modal(voters) != predicted_classes(predictions, parent, ORIGINAL))


def children_of(parents: Mapping[str, str]) -> dict[str, list[str]]:
    """The children of each parent, in order.

    Example:
        >>> children_of({"vgg_pruned": "vgg", "vgg_int8": "vgg"})
        {'vgg': ['vgg_pruned', 'vgg_int8']}
    """
    return {
        parent: [child for child, other in parents.items() if other == parent]
        for parent in dict.fromkeys(parents.values())
    }


def _counts(different: BoolArray) -> dict[str, Any]:
    """How many of some images two classifiers disagree on, with the share and its interval."""
    count, images = int(different.sum()), len(different)
    share = count / images if images else float("nan")
    low, high = map(float, wilson_interval(share, images))
    return {"images": images, "disagree": count, "share": share, "low": low, "high": high}
