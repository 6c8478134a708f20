"""From a layer's activations to targets: groups of images with similar activations, and a target for each group."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from scipy.special import softmax  # type: ignore[import-untyped]
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE
from torch import Tensor, nn

from methods.layer_features.objective import LayerObjective, comparable_objective, published_objective
from methods.layer_features.settings import LayerFeatures
from networks.activations import recorded
from networks.layouts import spatial_mean

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
FEWEST_FOR_TSNE = 12
PERPLEXITY = 30.0  # of t-SNE, where there are enough images


@dataclass(frozen=True)
class LayerActivations:
    """Activations of a layer for N images.

    Attributes:
        means: z, averaged over positions, float32, ``(N, C)``.
        inputs: ‖p‖₁ of the input p of the layer's last convolution, ``(N,)``.
    """

    means: Tensor
    inputs: Tensor


@dataclass(frozen=True)
class Clusters:
    """Groups of N images, the largest first.

    Attributes:
        assignment: The cluster of each image, ``(N,)``.
        points: Principal components of each image, ``(N, P)``.
        centres: Centre of each cluster in the principal components, ``(K, P)``.
        explained: Share of the variance that the components explain.
    """

    assignment: Ints
    points: Floats
    centres: Floats
    explained: float

    @property
    def distances(self) -> Floats:
        """Distance of each image from the centre of its cluster, ``(N,)``."""
        return np.linalg.norm(self.points - self.centres[self.assignment], axis=1)


@dataclass(frozen=True)
class Target:
    """The target of a cluster's synthesis.

    Attributes:
        members: Indices of the M images that it is made of, ``(M,)``.
        weights: Their weights, with sum 1, ``(M,)``.
        features: a, the weighted mean of their activations, ``(C,)``.
    """

    members: Ints
    weights: Floats
    features: Floats


@dataclass(frozen=True)
class LayerTargets:
    """The clusters of the images in one layer, and the target of each cluster.

    Attributes:
        layer: Name of the layer.
        inputs: Name of the input of its last convolution.
        activations: Its activations for the set of images.
        clusters: The K clusters.
        targets: One target for each cluster.
    """

    layer: str
    inputs: str
    activations: LayerActivations
    clusters: Clusters
    targets: Sequence[Target]

    @property
    def features(self) -> Tensor:
        """The target activations of every cluster, float32, ``(K, C)``."""
        return torch.from_numpy(np.stack([target.features for target in self.targets])).float()

    def blends(self, pixels: Tensor) -> Tensor:
        """The weighted mean of the images of each target, in [0, 1], ``(K, 3, H, W)``; pixels are uint8."""
        return torch.stack([
            (pixels[target.members].float() / 255 * torch.from_numpy(target.weights).float().view(-1, 1, 1, 1)).sum(0)
            for target in self.targets
        ])  # fmt: skip

    def channels(self, settings: LayerFeatures) -> int:
        """Number of top channels; at most a quarter of the layer's channels if terms are comparable."""
        width = self.activations.means.shape[1]
        return min(settings.channels, max(1, width // 4) if settings.comparable else width)

    def objective(self, settings: LayerFeatures) -> LayerObjective:
        """The constants of the objective of each cluster's image."""
        channels = self.channels(settings)
        if not settings.comparable:
            return published_objective(self.features, channels)
        sums = [float(self.activations.inputs[target.members] @ torch.from_numpy(target.weights).float())
                for target in self.targets]  # fmt: skip
        return comparable_objective(self.features, torch.tensor(sums), channels)


def find_layer_targets(
    layer: str, inputs: str, activations: LayerActivations, settings: LayerFeatures, seed: int
) -> LayerTargets:
    """Cluster images by a layer's activations, and make the target of each cluster.

    Args:
        layer: Name of the layer.
        inputs: Name of the input of its last convolution.
        activations: Its activations.
        settings: ``clusters``, ``components``, ``members`` and ``nearest`` are used.
        seed: As for :func:`find_clusters`.
    """
    means = activations.means.numpy()
    groups = find_clusters(means, settings.clusters, settings.components, seed)
    targets = [
        find_target(means, groups, cluster, settings.members, settings.nearest)
        for cluster in range(len(groups.centres))
    ]
    return LayerTargets(layer, inputs, activations, groups, targets)


def find_clusters(features: npt.ArrayLike, count: int, components: int, seed: int) -> Clusters:
    """Cluster images by k-means on the principal components of their features.

    Args:
        features: A row for each image, ``(N, C)``.
        count: Number of clusters; fewer if there are fewer different images.
        components: Number of principal components; fewer if there are fewer images or channels.
        seed: Of the initial centres of k-means.

    Raises:
        ValueError: If there is no image, or a feature is not finite.
    """
    rows = np.asarray(features, dtype=np.float64)
    if rows.ndim != 2 or not len(rows) or not np.isfinite(rows).all():
        raise ValueError(f"features of shape {rows.shape}: expected finite ones, a row for each of one or more images")
    different = len(np.unique(rows, axis=0))
    if different == 1:  # principal components need a variance
        points = np.zeros((len(rows), 1))
        return Clusters(np.zeros(len(rows), dtype=np.int64), points, points[:1], 1.0)
    pca = PCA(min(components, *rows.shape), svd_solver="full").fit(rows)
    points = pca.transform(rows)
    means = KMeans(min(count, different), n_init=10, random_state=seed).fit(points)
    sizes = np.bincount(means.labels_, minlength=len(means.cluster_centers_))
    order = np.argsort(-sizes, kind="stable")  # k-means numbers its clusters at random
    rank = np.argsort(order)
    explained = float(pca.explained_variance_ratio_.sum())
    return Clusters(rank[means.labels_], points, means.cluster_centers_[order], explained)


def find_target(features: npt.ArrayLike, clusters: Clusters, cluster: int, members: int, nearest: bool) -> Target:
    """The mean of some members of a cluster, weighted with softmax(1 / distance from the centre).

    Args:
        features: As for :func:`find_clusters`.
        clusters: The clusters.
        cluster: Number of the cluster.
        members: Largest number of members.
        nearest: Whether to take the members nearest to the centre; else the farthest, as the published code does.

    Source: arXiv 2101.12447, section 3.
    """
    rows, distances = np.asarray(features, dtype=np.float64), clusters.distances
    candidates = np.flatnonzero(clusters.assignment == cluster)
    signed = distances[candidates] if nearest else -distances[candidates]
    chosen = candidates[np.argsort(signed, kind="stable")][:members]
    weights = softmax(1 / np.maximum(distances[chosen], 1e-12))  # the only image of a cluster is its centre
    return Target(chosen, weights, weights @ rows[chosen])


def plane_positions(clusters: Clusters) -> Floats:
    """Positions of images in the plane, for figures, ``(N, 2)``: t-SNE, or two principal components of few images."""
    points = clusters.points
    if len(points) < FEWEST_FOR_TSNE or points.shape[1] < 2:
        flat = np.zeros((len(points), 2))
        flat[:, : min(2, points.shape[1])] = points[:, :2]
        return flat
    # t-SNE needs several times as many images as its perplexity
    perplexity = min(PERPLEXITY, (len(points) - 1) / 3)
    return TSNE(2, perplexity=perplexity, init="pca", random_state=0).fit_transform(points).astype(np.float64)


@torch.no_grad()
def layer_activations(
    network: nn.Module, layers: Mapping[str, str], images: Tensor, device: torch.device, chunk: int
) -> dict[str, LayerActivations]:
    """Activations of layers for images, in full precision.

    Args:
        network: A network that takes images in [0, 1]; moved to the device.
        layers: The input of the last convolution of each layer, by the name of the layer.
        images: uint8, or in [0, 1], ``(N, 3, H, W)``.
        device: The device of the forward passes.
        chunk: Images of a forward pass.

    Raises:
        ValueError: If an activation is not finite; names the layer.
    """
    network.to(device)
    parts: dict[str, list[tuple[Tensor, Tensor]]] = {layer: [] for layer in layers}
    with recorded(network, [*layers, *layers.values()]) as read:
        for part in images.split(chunk):
            batch = part.to(device)
            network(batch.float() / 255 if batch.dtype == torch.uint8 else batch)
            activations = read()
            for layer, inputs in layers.items():
                sums = activations[inputs].float().flatten(1).abs().sum(dim=1)
                parts[layer].append((spatial_mean(activations[layer].float()).cpu(), sums.cpu()))
    whole = {layer: LayerActivations(*map(torch.cat, zip(*pairs, strict=True))) for layer, pairs in parts.items()}
    for layer, of_layer in whole.items():
        if not torch.isfinite(of_layer.means).all():
            raise ValueError(f"layer {layer} has activations that are not finite: the weights are broken")
    return whole
