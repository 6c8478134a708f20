"""The results of syntheses: the record of their images, and tables of how near each image came to its target."""

from dataclasses import dataclass
from itertools import combinations

import numpy as np
import numpy.typing as npt
import pandas as pd

Array = npt.NDArray
Floats = npt.NDArray[np.floating]
SYNTHESIS, MAXIMIZATION, INVERSION, START = "synthesis", "activation_maximization", "feature_inversion", "start"
METHODS = (SYNTHESIS, MAXIMIZATION, INVERSION)
BASELINES = (MAXIMIZATION, INVERSION)
KEYS = ["network", "layer", "seed", "cluster"]
NUMBERS = ("cosine", "l2", "activation", "gain", "overlap", "rank", "nearer_images", "pixel_variation")


@dataclass(frozen=True)
class FeatureRecord:
    """R images that were synthesised for the L layers of one network with one seed, from N real images.

    Attributes:
        layers: Names of the layers, ``(L,)``.
        layer: Index of each image's layer, ``(R,)``.
        cluster: Cluster of each image, 0 the largest, ``(R,)``.
        method: Method of each image, one of ``METHODS``, ``(R,)``.
        images: uint8, shape ``(R, 3, H, W)``.
        starts: Start images, uint8, shape ``(R, 3, H, W)``.
        nearest: Indices of the real images with the most similar activations, nearest first, ``(R, P)``.
        assignment: Cluster of each real image in each layer, ``(L, N)``.
        positions: Positions of the real images in the plane, ``(L, N, 2)``.
        real: The real images, reduced, uint8, ``(N, 3, h, h)``.
        names: Names of the real images, ``(N,)``.
        history: Columns ``methods.layer_features.synthesis.HISTORY`` of each image in each of I iterations, float32,
            ``(I, R, 5)``.
        curves: Loss and cosine of each layer and each of ``METHODS``, mean over clusters, float32, ``(L, 3, 2, I)``.
        strip: The images after some iterations, uint8, ``(S, R, 3, H, W)``.
        iterations: Numbers of these iterations, ``(S,)``.
    """

    layers: Array
    layer: Array
    cluster: Array
    method: Array
    images: Array
    starts: Array
    nearest: Array
    assignment: Array
    positions: Array
    real: Array
    names: Array
    history: Array
    curves: Array
    strip: Array
    iterations: Array

    def row(self, layer: int, cluster: int, method: str) -> int:
        """Index of the image of a layer, a cluster and a method."""
        [row] = np.flatnonzero((self.layer == layer) & (self.cluster == cluster) & (self.method == method))
        return int(row)

    def clusters(self, layer: int) -> list[int]:
        """The clusters of a layer, the largest first."""
        return sorted(set(self.cluster[self.layer == layer].tolist()))


def cosine(one: Floats, other: Floats) -> Floats:
    """Cosine of the angle between rows ``(R, C)``; NaN if one of them is zero."""
    lengths = np.linalg.norm(one, axis=1) * np.linalg.norm(other, axis=1)
    return np.divide((one * other).sum(axis=1), lengths, out=np.full(len(one), np.nan), where=lengths > 0)


def nearest_images(means: Floats, real: Floats, count: int) -> npt.NDArray[np.int64]:
    """Indices of the real images with the most similar activations, nearest first, ``(R, count)``.

    Args:
        means: z of R images, ``(R, C)``.
        real: z of the N real images, ``(N, C)``.
        count: Number of images, or N if that is less.
    """
    return np.stack([np.argsort(np.linalg.norm(real - row, axis=1), kind="stable")[:count] for row in means])


def numbers_table(means: Floats, targets: Floats, images: Floats, real: Floats, channels: int) -> pd.DataFrame:
    """Numbers of R images, each with a target.

    Args:
        means: z of each image, ``(R, C)``.
        targets: a of each image, ``(R, C)``.
        images: In [0, 1], ``(R, 3, H, W)``.
        real: z of the N real images, ``(N, C)``.
        channels: Number of top channels.

    Returns:
        A row for each image: ``cosine`` and ``l2`` between z and a; ``activation`` of the target's top channels, 1 if
        z = a; ``overlap``, the share of top channels of z that are top channels of a; ``nearest_image``, the index of
        the real image with the most similar z, and its ``rank`` by the distance to the target among all real images, 1
        the nearest; ``nearer_images``, the share of real images that are nearer to the target than z;
        ``pixel_variation``, the mean absolute difference of neighbouring pixels.
    """
    rows = []
    for z, a, image in zip(means, targets, images, strict=True):
        top = np.argsort(-a, kind="stable")[:channels]  # of equal channels the first, on every machine
        square = float((a[top] ** 2).sum())
        real_distances = np.linalg.norm(real - a, axis=1)
        distance = float(np.linalg.norm(z - a))
        nearest = int(np.argmin(np.linalg.norm(real - z, axis=1)))
        rows.append({
            "l2": distance,
            "activation": float((z[top] * a[top]).sum()) / square if square else np.nan,
            "overlap": len(set(top) & set(np.argsort(-z, kind="stable")[:channels])) / len(top),
            "nearest_image": nearest,
            "rank": 1 + int((real_distances < real_distances[nearest]).sum()),
            "nearer_images": float((real_distances < distance).mean()),
            "pixel_variation": float((abs(np.diff(image, axis=1)).mean() + abs(np.diff(image, axis=2)).mean()) / 2),
        })  # fmt: skip
    table = pd.DataFrame(rows)
    table.insert(0, "cosine", cosine(means, targets))
    return table


def with_gain(table: pd.DataFrame) -> pd.DataFrame:
    """Add ``gain``: the activation divided by that of the start image of the same cluster."""
    starts = table[table["method"] == START].set_index(KEYS)["activation"].rename("before")
    joined = table.join(starts, on=KEYS)
    gain = joined["activation"] / joined["before"].where(joined["before"] > 0)
    return table.assign(gain=gain)


def diversity(means: Floats, targets: Floats, images: Floats) -> dict[str, float]:
    """Differences between the images of one method and layer, mean over pairs of clusters.

    Args:
        means: z of each cluster's image, ``(K, C)``.
        targets: a of each cluster, ``(K, C)``.
        images: In [0, 1], ``(K, 3, H, W)``.

    Returns:
        ``features``: distance of z, divided by that of the targets; ``pixels``: root mean square difference; NaN if
        there is one cluster.
    """
    pairs = list(combinations(range(len(means)), 2))
    if not pairs:
        return {"features": float("nan"), "pixels": float("nan")}
    features = np.mean([np.linalg.norm(means[one] - means[other]) for one, other in pairs])
    unit = np.mean([np.linalg.norm(targets[one] - targets[other]) for one, other in pairs])
    pixels = np.mean([np.sqrt(((images[one] - images[other]) ** 2).mean()) for one, other in pairs])
    return {"features": float(features / unit) if unit else float("nan"), "pixels": float(pixels)}


def means_table(numbers: pd.DataFrame, differences: pd.DataFrame) -> pd.DataFrame:
    """Means over clusters and seeds.

    Args:
        numbers: ``KEYS``, ``method`` and ``NUMBERS``.
        differences: ``network``, ``layer``, ``method``, and the columns of :func:`diversity`.

    Returns:
        A row for each network, layer and method: the mean of every number and of both differences.
    """
    keys = ["network", "layer", "method"]
    means = numbers.groupby(keys, sort=False)[list(NUMBERS)].mean()
    return means.join(differences.groupby(keys)[["features", "pixels"]].mean()).reset_index()


def summary_table(numbers: pd.DataFrame) -> pd.DataFrame:
    """Count in how many clusters the synthesis has a higher cosine to its target than other images.

    Args:
        numbers: ``KEYS``, ``method``, ``cosine`` and ``seconds``.

    Returns:
        A row for each network: ``clusters``, of all layers and seeds; ``above_<method>``, the number of clusters in
        which the cosine of the synthesis is above that of the start and of each of ``BASELINES``; ``above_both``
        baselines; the mean ``cosine_<method>``; and the mean ``seconds`` for each image.
    """
    wide = numbers.pivot(index=KEYS, columns="method", values="cosine")
    above = pd.DataFrame({f"above_{other}": wide[SYNTHESIS] > wide[other] for other in (START, *BASELINES)})
    above["above_both"] = above[[f"above_{baseline}" for baseline in BASELINES]].all(axis=1)
    counts = above.groupby(level="network", sort=False)
    cosines = numbers.groupby(["network", "method"])["cosine"].mean().unstack().add_prefix("cosine_")
    summary = counts.sum().assign(clusters=counts.size()).join(cosines)
    return summary.join(numbers.groupby("network")["seconds"].mean()).reset_index()
