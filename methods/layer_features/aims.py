"""From a set of images to what a synthesis aims at: what layers see in each image, in groups, and their targets."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from methods.layer_features.clusters import Clusters, Target, find_clusters, find_target
from methods.layer_features.numbers import METHODS
from methods.layer_features.objective import Aim, comparable_aim, published_aim
from methods.layer_features.presets import Preset
from methods.layer_features.synthesis import Rows
from methods.layer_features.without_resizing import WithoutResizing
from networks.activations import recorded
from networks.layouts import spatial_mean


@dataclass(frozen=True)
class LayerView:
    """What a layer sees in N images.

    Attributes:
        means: Its activations, averaged over places, float32, ``(N, C)``.
        inputs: The sum of the absolute inputs of its last convolution, ``(N,)``.
    """

    means: Tensor
    inputs: Tensor


@dataclass(frozen=True)
class LayerAims:
    """Groups of images that a layer sees alike, and the target of each.

    Attributes:
        layer: Its name.
        inputs: The name of what feeds it.
        view: What it sees.
        clusters: The groups.
        targets: One for each.
    """

    layer: str
    inputs: str
    view: LayerView
    clusters: Clusters
    targets: Sequence[Target]

    @property
    def features(self) -> Tensor:
        """The targets, float32, ``(K, C)``."""
        return torch.from_numpy(np.stack([target.features for target in self.targets])).float()

    def blends(self, pixels: Tensor) -> Tensor:
        """The weighted mean of each target's images, in [0, 1], ``(K, 3, H, W)``; of all of them as uint8."""
        return torch.stack([
            (pixels[target.members].float() / 255 * torch.from_numpy(target.weights).float().view(-1, 1, 1, 1)).sum(0)
            for target in self.targets
        ])  # fmt: skip

    def channels(self, count: int, preset: Preset) -> int:
        """How many channels count as the largest: ``count``, but a quarter of the layer's at most if comparable."""
        width = self.view.means.shape[1]
        return min(count, max(1, width // 4) if preset.comparable else width)

    def rows(self, count: int, preset: Preset) -> Rows:
        """A row for each method and cluster, method by method."""
        targets, channels = self.features, self.channels(count, preset)
        if preset.comparable:
            sums = [float(self.view.inputs[target.members] @ torch.from_numpy(target.weights).float())
                    for target in self.targets]  # fmt: skip
            aim = comparable_aim(targets, torch.tensor(sums), channels)
        else:
            aim = published_aim(targets, channels)
        parts = (aim.targets, aim.pull, aim.scale, aim.input_scale)
        repeated = Aim(*(torch.cat([part] * len(METHODS)) for part in parts))
        groups = range(len(self.targets))
        methods = [method for method in METHODS for _ in groups]
        return Rows(self.layer, self.inputs, methods, list(groups) * len(METHODS), repeated)


def find_aims(
    layer: str,
    inputs: str,
    view: LayerView,
    preset: Preset,
    *,
    clusters: int,
    components: int,
    members: int,
    seed: int,
) -> LayerAims:
    """Group images by what a layer sees in them, and find each group's target.

    Args:
        layer: Its name.
        inputs: The name of what feeds it.
        view: What it sees.
        preset: Decides whether targets are made of the nearest members.
        clusters: How many groups.
        components: How many principal components.
        members: How many images a target is made of.
        seed: Of k-means.
    """
    found = find_clusters(view.means.numpy(), clusters, components, seed)
    groups = range(len(found.centres))
    targets = [find_target(view.means.numpy(), found, group, members, preset.nearest) for group in groups]
    return LayerAims(layer, inputs, view, found, targets)


@torch.no_grad()
def view_layers(
    network: WithoutResizing, layers: Mapping[str, str], images: Tensor, device: torch.device, chunk: int = 32
) -> dict[str, LayerView]:
    """What layers see in images, in full precision.

    Args:
        network: The network, which is moved to the device.
        layers: The name of what feeds each layer, by its name.
        images: uint8, or in [0, 1], ``(N, 3, H, W)``.
        device: Where it is computed.
        chunk: Images of a forward pass.

    Raises:
        ValueError: If an activation is not finite; names the layer.
    """
    network.to(device)
    means: dict[str, list[Tensor]] = {layer: [] for layer in layers}
    sums: dict[str, list[Tensor]] = {layer: [] for layer in layers}
    with recorded(network, [*layers, *layers.values()]) as read:
        for part in images.split(chunk):
            whole = part.to(device)
            network(whole.float() / 255 if whole.dtype == torch.uint8 else whole)
            found = read()
            for layer, inputs in layers.items():
                means[layer].append(spatial_mean(found[layer].float()).cpu())
                sums[layer].append(found[inputs].float().flatten(1).abs().sum(dim=1).cpu())
    views = {layer: LayerView(torch.cat(means[layer]), torch.cat(sums[layer])) for layer in layers}
    broken = [layer for layer, view in views.items() if not torch.isfinite(view.means).all()]
    if broken:
        raise ValueError(f"layer {broken[0]} makes numbers of the images that are not finite: the weights are broken")
    return views
