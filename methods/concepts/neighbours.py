"""Whether an image lies among images of its own class, and whether the classifier errs where it does not."""

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.metrics import roc_auc_score

from methods.concepts.files import Array

Floats = npt.NDArray[np.float64]
NEIGHBOURS = 10
BINS = 5
AT_ONCE = 2**24  # similarities held at a time
SAME = 1e-12  # similarities that differ by rounding alone


def neighbour_votes(
    image_factor: Array, labels: Array, queries: Array | None = None, neighbours: int = NEIGHBOURS
) -> tuple[Floats, npt.NDArray[np.int64]]:
    """The labels of each image's nearest neighbours, by the cosine of their concepts.

    Where several images are equally near and not all of them find a place, they share it: so the order of the images
    has no part in it, and clusters, in which all are equally near, can be asked, too.

    Args:
        image_factor: Of the images that are neighbours, scaled, ``(N, k)``.
        labels: Theirs, ``(N,)``.
        queries: Scaled image factor of the images that are asked, ``(Q, k)``; ``None``: the neighbours themselves,
            each without itself.
        neighbours: How many; of fewer images, all.

    Returns:
        Votes ``(Q, C)``, each row with sum 1; and the C labels that there are, ascending.

    Raises:
        ValueError: If there are no neighbours.
    """
    alone = queries is None
    asked = unit(image_factor if queries is None else queries)
    others, (present, place) = unit(image_factor), np.unique(labels, return_inverse=True)
    count = min(neighbours, len(others) - alone)
    if count < 1:
        raise ValueError(f"{neighbours} neighbours of {len(others)} images: at least one is needed, besides the image")
    members = np.eye(len(present))[place]
    votes = np.empty((len(asked), len(present)))
    step = max(1, AT_ONCE // len(others))
    for start in range(0, len(asked), step):
        similar = asked[start : start + step] @ others.T
        if alone:
            rows = np.arange(len(similar))
            similar[rows, start + rows] = -np.inf
        votes[start : start + step] = place_weights(similar, count) @ members
    return votes / count, present


def place_weights(similar: Floats, count: int) -> Floats:
    """1 for the ``count`` most similar of each row ``(Q, N)``, equal parts for those that tie for the last places."""
    last = np.partition(similar, -count, axis=1)[:, -count, None]
    nearer, tied = similar > last + SAME, np.abs(similar - last) <= SAME
    left = count - nearer.sum(axis=1, keepdims=True)
    return nearer + tied * (left / tied.sum(axis=1, keepdims=True))


def unit(rows: Array) -> Floats:
    """Rows of length 1; 0 where all is 0."""
    values = rows.astype(float)
    length = np.linalg.norm(values, axis=1, keepdims=True)
    return np.divide(values, length, out=np.zeros_like(values), where=length > 0)


def impurity(votes: Floats, present: Array, labels: Array) -> Floats:
    """The share of an image's neighbours that have another label than the image.

    Args:
        votes: As :func:`neighbour_votes` gives them, ``(Q, C)``.
        present: Their labels, ``(C,)``.
        labels: Of the images that are asked, ``(Q,)``.

    Returns:
        In [0, 1], ``(Q,)``; 1 where no neighbour could have the label.
    """
    own: Floats = (votes * (present == np.asarray(labels)[:, None])).sum(axis=1)
    return np.clip(1 - own, 0, 1)


def neighbour_accuracy(votes: Floats, present: Array, labels: Array) -> float:
    """The share of images whose neighbours' commonest label is theirs; labels that tie share it."""
    first = votes >= votes.max(axis=1, keepdims=True) - SAME
    right = first & (present == np.asarray(labels)[:, None])
    return float((right.sum(axis=1) / first.sum(axis=1)).mean())


def error_auroc(values: Floats, labels: Array, predicted: Array) -> float:
    """How well a number of each image tells the classifier's errors: the area under the ROC curve.

    Args:
        values: Higher where an error is expected, ``(Q,)``.
        labels: ``(Q,)``.
        predicted: What the classifier says, ``(Q,)``.

    Returns:
        0.5 by chance, 1 at best; NaN where all answers are right, or none is.
    """
    wrong = np.asarray(labels) != np.asarray(predicted)
    return float(roc_auc_score(wrong, values)) if 0 < wrong.sum() < len(wrong) else float("nan")


def impurity_bins(values: Floats, labels: Array, predicted: Array, bins: int = BINS) -> pd.DataFrame:
    """The classifier's accuracy on images of each impurity.

    Args:
        values: Impurities in [0, 1], ``(Q,)``.
        labels: ``(Q,)``.
        predicted: What the classifier says, ``(Q,)``.
        bins: Of equal width; the last one holds 1.

    Returns:
        A row for each bin that has images: its ends ``low`` and ``high``, ``count``, ``accuracy``.
    """
    right = np.asarray(labels) == np.asarray(predicted)
    place = np.clip(np.floor(values * bins + SAME), 0, bins - 1).astype(int)
    rows = [
        {"low": bin / bins, "high": (bin + 1) / bins, "count": int(part.sum()), "accuracy": float(right[part].mean())}
        for bin in range(bins)
        if (part := place == bin).any()
    ]
    return pd.DataFrame(rows, columns=["low", "high", "count", "accuracy"])
