"""How far clusters of images agree with their labels."""

import numpy as np
from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score
from sklearn.metrics.cluster import contingency_matrix

from methods.concepts.files import Array


def purity(clusters: Array, labels: Array) -> float:
    """The share of images that have the commonest label of their cluster.

    More clusters make it higher, whatever they are: compare it at the same number of clusters.

    Args:
        clusters: Integers ``(N,)``.
        labels: Integers ``(N,)``.

    Returns:
        In (0, 1].
    """
    return float(contingency_matrix(labels, clusters).max(axis=0).sum() / len(labels))


def label_agreement(clusters: Array, labels: Array) -> dict[str, float]:
    """Purity, normalised mutual information (arithmetic) and adjusted Rand index of clusters against labels.

    Args:
        clusters: Integers ``(N,)``; images without a concept are a cluster of their own.
        labels: Integers ``(N,)``.

    Returns:
        ``purity``, ``nmi`` in [0, 1], and ``ari``, at most 1 and 0 by chance.
    """
    clusters, labels = np.asarray(clusters), np.asarray(labels)
    return {
        "purity": purity(clusters, labels),
        "nmi": float(normalized_mutual_info_score(labels, clusters)),
        "ari": float(adjusted_rand_score(labels, clusters)),
    }
