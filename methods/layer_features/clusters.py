"""Groups of images that a layer sees alike, and what a synthesis of each aims at."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
FEWEST_FOR_TSNE = 12
NEIGHBOURS = 30.0  # t-SNE's perplexity, where there are images enough


@dataclass(frozen=True)
class Clusters:
    """Groups of N images, the largest first.

    Attributes:
        labels: The group of each image, ``(N,)``.
        points: Of each image in the space of the principal components, ``(N, P)``.
        centres: Of each group in that space, ``(K, P)``.
        explained: Share of the variance that the components hold.
    """

    labels: Ints
    points: Floats
    centres: Floats
    explained: float

    @property
    def distances(self) -> Floats:
        """Of each image from its group's centre, ``(N,)``."""
        found: Floats = np.linalg.norm(self.points - self.centres[self.labels], axis=1)
        return found


@dataclass(frozen=True)
class Target:
    """What a group's synthesis aims at.

    Attributes:
        members: Images that it is made of, ``(M,)``.
        weights: Of these, sum 1, ``(M,)``.
        features: Their weighted mean, ``(C,)``.
    """

    members: Ints
    weights: Floats
    features: Floats


def find_clusters(features: npt.ArrayLike, count: int, components: int = 50, seed: int = 0) -> Clusters:
    """Group images by k-means on their principal components.

    Args:
        features: A row for each image, ``(N, C)``.
        count: Number of groups; as many as there are different images, if these are fewer.
        components: Number of principal components; as many as images or channels, if these are fewer.
        seed: Of k-means' beginnings.

    Raises:
        ValueError: If there is no image, or a feature is not finite.
    """
    rows = np.asarray(features, dtype=np.float64)
    if rows.ndim != 2 or not len(rows) or not np.isfinite(rows).all():
        raise ValueError(f"features of shape {rows.shape}: expected finite ones, a row for each of one or more images")
    different = len(np.unique(rows, axis=0))
    if different == 1:
        points = np.zeros((len(rows), 1))
        return Clusters(np.zeros(len(rows), dtype=np.int64), points, points[:1], 1.0)
    pca = PCA(min(components, *rows.shape), svd_solver="full").fit(rows)
    points = pca.transform(rows)
    found = KMeans(min(count, different), n_init=10, random_state=seed).fit(points)
    labels = found.labels_.astype(np.int64)
    sizes = np.bincount(labels, minlength=len(found.cluster_centers_))
    order = np.argsort(-sizes, kind="stable")
    places = np.argsort(order)
    return Clusters(places[labels], points, found.cluster_centers_[order], float(pca.explained_variance_ratio_.sum()))


def find_target(features: npt.ArrayLike, clusters: Clusters, group: int, members: int, nearest: bool = True) -> Target:
    """The weighted mean of some members of a group, weights softmax(1 / distance from the centre).

    Args:
        features: As for :func:`find_clusters`.
        clusters: The groups.
        group: Which.
        members: How many members, at most.
        nearest: The nearest to the centre; else the farthest, as the published code has it.

    Source: arXiv 2101.12447, section 3.
    """
    rows, distances = np.asarray(features, dtype=np.float64), clusters.distances
    own = np.flatnonzero(clusters.labels == group)
    order = own[np.argsort(distances[own] if nearest else -distances[own], kind="stable")][:members]
    inverse = 1 / np.maximum(distances[order], 1e-12)
    weights = np.exp(inverse - inverse.max())
    weights /= weights.sum()
    return Target(order, weights, weights @ rows[order])


def plane(clusters: Clusters, seed: int = 0) -> Floats:
    """A place in the plane for each image, for pictures only, ``(N, 2)``: t-SNE, or of few images two components."""
    points = clusters.points
    if len(points) < FEWEST_FOR_TSNE or points.shape[1] < 2:
        flat = np.zeros((len(points), 2))
        flat[:, : min(2, points.shape[1])] = points[:, :2]
        return flat
    perplexity = min(NEIGHBOURS, (len(points) - 1) / 3)
    placed: Floats = TSNE(2, perplexity=perplexity, init="pca", random_state=seed).fit_transform(points)
    return placed.astype(np.float64)
