"""Images and neurons grouped by concepts: clusters, how far they agree with labels, and nearest neighbours."""

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score, roc_auc_score
from sklearn.metrics.cluster import contingency_matrix

from methods.concepts.record import Array, Floats, Integers
from stats.proportion import wilson_interval

NOWHERE = -1  # cluster of an image or a neuron that has no concept
NEIGHBOURS = 10
BINS = 5
AT_ONCE = 2**24  # similarities in memory at a time
SAME = 1e-12  # difference of similarities that is rounding alone


def image_clusters(image_factor: Array) -> Integers:
    """The strongest concept of each image.

    Args:
        image_factor: At least 0, ``(N, k)``; the scaled one, so that concepts can be compared.

    Returns:
        Concepts ``(N,)``; ``NOWHERE`` for an image without any. Of equally strong concepts the first.
    """
    return np.where(image_factor.max(axis=1) > 0, image_factor.argmax(axis=1), NOWHERE)


def neuron_clusters(factor: Array, image_factor: Array) -> tuple[Integers, Floats]:
    """The strongest concept of each neuron of a block, and its share of the neuron.

    The strength of concept r in neuron i over all images is ``factor[r, i] * ‖image_factor[:, r]‖``, which does not
    depend on the scale of the concept.

    Args:
        factor: Factor of the block, at least 0, ``(k, m)``.
        image_factor: At least 0, ``(N, k)``, in the same scale.

    Returns:
        Concepts ``(m,)``, ``NOWHERE`` for a neuron without any; and their selectivity ``(m,)``: the strength of the
        concept divided by the sum over concepts, from 1 / k to 1, NaN for a neuron without any.
    """
    strength = factor.astype(float) * np.linalg.norm(image_factor.astype(float), axis=0)[:, None]
    total, largest = strength.sum(axis=0), strength.max(axis=0)
    some = total > 0
    selectivity = np.divide(largest, total, out=np.full(len(total), np.nan), where=some)
    return np.where(some, strength.argmax(axis=0), NOWHERE), selectivity


def layer_profile(stacked: list[Array]) -> Floats:
    """How each concept is spread over the blocks: the shares of a_b‖W_b[r]‖².

    Args:
        stacked: Weighted stacked rows by block, ``√a_b W_b``, each ``(k, m_b)``.

    Returns:
        Shares ``(k, B)``; each row sums to 1, or is 0 for a concept that is in no block.
    """
    energy = np.stack([(part.astype(float) ** 2).sum(axis=1) for part in stacked], axis=1)
    total = energy.sum(axis=1, keepdims=True)
    return np.divide(energy, total, out=np.zeros_like(energy), where=total > 0)


def label_agreement(clusters: Array, labels: Array) -> dict[str, float]:
    """How far clusters of images agree with labels.

    Args:
        clusters: Integers ``(N,)``; the images without a concept count as one cluster.
        labels: Integers ``(N,)``.

    Returns:
        ``purity`` in (0, 1], the share of images that have the commonest label of their cluster: more clusters make it
        higher, whatever they are. ``nmi`` in [0, 1], normalised mutual information (arithmetic). ``ari``, the adjusted
        Rand index: at most 1, and 0 by chance.
    """
    commonest = contingency_matrix(labels, clusters).max(axis=0)
    return {
        "purity": float(commonest.sum() / len(labels)),
        "nmi": float(normalized_mutual_info_score(labels, clusters)),
        "ari": float(adjusted_rand_score(labels, clusters)),
    }


def neighbour_votes(
    image_factor: Array, labels: Array, queries: Array | None, neighbours: int
) -> tuple[Floats, npt.NDArray[np.int64]]:
    """The labels of the nearest neighbours of images, by the cosine of their concepts.

    Images that tie for the last of the nearest share the remaining votes. So the order of the images has no effect, and
    clusters, in which all images are equally near, can be compared, too.

    Args:
        image_factor: Scaled image factor of the images that can be neighbours, ``(N, k)``.
        labels: Their labels, ``(N,)``.
        queries: Scaled image factor of the images that have neighbours, ``(Q, k)``; ``None``: the same images, each
            without itself.
        neighbours: Number of neighbours; all images if there are fewer.

    Returns:
        Votes ``(Q, C)``, each row with sum 1; and the C labels that occur, ascending.

    Raises:
        ValueError: If there are no neighbours.
    """
    alone = queries is None
    rows = unit(image_factor if queries is None else queries)
    others, (present, dense) = unit(image_factor), np.unique(labels, return_inverse=True)
    count = min(neighbours, len(others) - alone)
    if count < 1:
        raise ValueError(f"{neighbours} neighbours of {len(others)} images: at least one is needed, besides the image")
    members = np.eye(len(present))[dense]
    votes = np.empty((len(rows), len(present)))
    step = max(1, AT_ONCE // len(others))
    for start in range(0, len(rows), step):
        similar = rows[start : start + step] @ others.T
        if alone:
            itself = np.arange(len(similar))
            similar[itself, start + itself] = -np.inf
        votes[start : start + step] = nearest_weights(similar, count) @ members
    return votes / count, present


def nearest_weights(similar: Floats, count: int) -> Floats:
    """1 for the ``count`` most similar of each row ``(Q, N)``; those that tie for the last share what is left."""
    last = np.partition(similar, -count, axis=1)[:, -count, None]
    nearer, tied = similar > last + SAME, np.abs(similar - last) <= SAME
    left = count - nearer.sum(axis=1, keepdims=True)
    return nearer + tied * (left / tied.sum(axis=1, keepdims=True))


def unit(rows: Array) -> Floats:
    """Rows scaled to length 1; a row of zeros stays."""
    values = rows.astype(float)
    length = np.linalg.norm(values, axis=1, keepdims=True)
    return np.divide(values, length, out=np.zeros_like(values), where=length > 0)


def impurity(votes: Floats, present: Array, labels: Array) -> Floats:
    """The share of an image's neighbours that have another label than the image.

    Args:
        votes: Result of :func:`neighbour_votes`, ``(Q, C)``.
        present: The labels of its columns, ``(C,)``.
        labels: Labels of the images that have neighbours, ``(Q,)``.

    Returns:
        In [0, 1], ``(Q,)``; 1 where no neighbour could have the label.
    """
    same: Floats = (votes * (present == np.asarray(labels)[:, None])).sum(axis=1)
    return np.clip(1 - same, 0, 1)


def neighbour_accuracy(votes: Floats, present: Array, labels: Array) -> float:
    """The share of images with the commonest label of their neighbours; labels that tie share an image."""
    first = votes >= votes.max(axis=1, keepdims=True) - SAME
    right = first & (present == np.asarray(labels)[:, None])
    return float((right.sum(axis=1) / first.sum(axis=1)).mean())


def error_auroc(values: Floats, labels: Array, predicted: Array) -> float:
    """How well a number of each image predicts the errors of the classifier: the area under the ROC curve.

    Args:
        values: Higher where an error is expected, ``(Q,)``.
        labels: ``(Q,)``.
        predicted: Predictions of the classifier, ``(Q,)``.

    Returns:
        0.5 by chance, 1 at best; NaN where all predictions are right, or none is.
    """
    wrong = np.asarray(labels) != np.asarray(predicted)
    return float(roc_auc_score(wrong, values)) if 0 < wrong.sum() < len(wrong) else float("nan")


def impurity_bins(values: Floats, labels: Array, predicted: Array) -> pd.DataFrame:
    """The accuracy of the classifier on images of each impurity.

    Args:
        values: Impurities in [0, 1], ``(Q,)``.
        labels: ``(Q,)``.
        predicted: Predictions of the classifier, ``(Q,)``.

    Returns:
        A row for each of :data:`BINS` bins of equal width that has images (the last bin holds 1): its ends ``low`` and
        ``high``, ``count``, ``accuracy``, and the 95 % interval of the accuracy, ``lower`` and ``upper``.
    """
    right = np.asarray(labels) == np.asarray(predicted)
    number = np.clip(np.floor(values * BINS + SAME), 0, BINS - 1).astype(int)
    bins = np.unique(number)
    members = [number == bin for bin in bins]
    count = np.array([int(part.sum()) for part in members], dtype=int)
    accuracy = np.array([float(right[part].mean()) for part in members])
    lower, upper = wilson_interval(accuracy, count)
    columns = {"low": bins / BINS, "high": (bins + 1) / BINS, "count": count, "accuracy": accuracy}
    return pd.DataFrame(columns | {"lower": lower, "upper": upper})
