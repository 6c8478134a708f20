"""Where a compressed classifier and its parent disagree: how often, on which classes, on which images."""

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd

from stats.accuracy_csv import ORIGINAL, PRETRAINED
from stats.predictions import Predictions
from stats.proportion import wilson_interval

OWN = "own A_i"
Ints = npt.NDArray[np.int64]


def mcnemar(only_first: int, only_second: int) -> float:
    """Exact two-sided p-value of McNemar's test: are two classifiers equally often right on the same images?

    Args:
        only_first: Images that only the first has right.
        only_second: Images that only the second has right.

    Returns:
        Probability, in (0, 1], of a split at least as uneven if either were as likely; 1 where there are no such
        images.

    Source: Q. McNemar, Psychometrika 12 (1947); in its exact, binomial form.
    """
    images, fewer = only_first + only_second, min(only_first, only_second)
    ways = total = 1
    for chosen in range(fewer):
        ways = ways * (images - chosen) // (chosen + 1)
        total += ways
    return min(1.0, 2 * total / 2**images)


def modal(predicted: Ints) -> Ints:
    """The class that most voters see in each image; of equally frequent ones, that of the earliest voter.

    Args:
        predicted: Classes, shape ``(N, voters)``.

    Returns:
        Classes, shape ``(N,)``.
    """
    votes = (predicted[:, :, None] == predicted[:, None, :]).sum(axis=2)
    return np.take_along_axis(predicted, votes.argmax(axis=1)[:, None], axis=1)[:, 0]


def answers(predictions: Predictions, name: str, source: str) -> Ints:
    """The class that a classifier sees in each image of a source, ``(N,)``.

    Args:
        predictions: The per-image results.
        name: The classifier.
        source: A source of images, or ``own A_i`` for the classifier's own autoencoder; over seeds, the modal class.
    """
    rows = predictions.rows_of(name if source == OWN else source)
    return modal(predictions.predicted[:, rows, predictions.columns.index(name)])


def disagreements(predictions: Predictions, parents: Mapping[str, str]) -> pd.DataFrame:
    """How often each child sees another class than its parent.

    Args:
        predictions: The per-image results.
        parents: Each child's parent; both are among the classifiers.

    Returns:
        A row for each child and each of ``original``, ``pretrained`` and ``own A_i`` (both through their own
        autoencoders) as far as they were evaluated. Columns: ``child``, ``parent``, ``source``, ``images``,
        ``disagree`` (images), ``share``, ``low`` and ``high`` (its 95 % interval), ``parent_only`` and ``child_only``
        (images that only one has right), ``p`` (McNemar's test, not adjusted for the number of rows).
    """
    rows = []
    for child, parent in parents.items():
        for source in (ORIGINAL, PRETRAINED, OWN):
            names = (child, parent) if source == OWN else (source, source)
            if not all(predictions.rows_of(name) for name in names):
                continue
            ours, theirs = answers(predictions, child, source), answers(predictions, parent, source)
            right = [
                seen == predictions.labels[:, predictions.columns.index(name)]
                for seen, name in ((ours, child), (theirs, parent))
            ]
            count, images = int((ours != theirs).sum()), len(ours)
            child_only, parent_only = int((right[0] & ~right[1]).sum()), int((right[1] & ~right[0]).sum())
            share = count / images if images else float("nan")
            low, high = map(float, wilson_interval(share, images))
            rows.append(
                (child, parent, source, images, count, share, low, high, parent_only, child_only,
                 mcnemar(parent_only, child_only))
            )  # fmt: skip
    columns = ["child", "parent", "source", "images", "disagree", "share", "low", "high", "parent_only", "child_only"]
    return pd.DataFrame(rows, columns=[*columns, "p"])


def disagreements_by_class(predictions: Predictions, child: str, parent: str, source: str = ORIGINAL) -> pd.DataFrame:
    """How often a child sees another class than its parent, for each right class that has images.

    Returns:
        Index: the classes, ascending; columns ``images``, ``disagree``, ``share``, ``low``, ``high``.
    """
    different = answers(predictions, child, source) != answers(predictions, parent, source)
    labels = predictions.labels[:, predictions.columns.index(parent)]
    rows = {}
    for label in np.unique(labels).tolist():
        of_class = different[labels == label]
        share = float(of_class.mean())
        low, high = map(float, wilson_interval(share, len(of_class)))
        rows[label] = (len(of_class), int(of_class.sum()), share, low, high)
    return pd.DataFrame.from_dict(rows, orient="index", columns=["images", "disagree", "share", "low", "high"])


def exemplars(predictions: Predictions, children: Sequence[str], parent: str) -> Ints:
    """The original images in which most of a parent's compressed children see another class than the parent does.

    Args:
        predictions: The per-image results.
        children: One or more compressed classifiers.
        parent: What they were compressed from.

    Returns:
        Ascending positions among the N images of ``predictions``.

    Source: S. Hooker et al., arXiv 1911.05248, "pruning identified exemplars"; there over many runs.
    """
    voters = np.stack([answers(predictions, child, ORIGINAL) for child in children], axis=1)
    return np.flatnonzero(modal(voters) != answers(predictions, parent, ORIGINAL))


def children_of(parents: Mapping[str, str]) -> dict[str, list[str]]:
    """The children of each parent, in order."""
    return {
        parent: [child for child, other in parents.items() if other == parent]
        for parent in dict.fromkeys(parents.values())
    }
