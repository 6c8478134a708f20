"""The objective of a synthesised image: pull on the strongest channels, distance to a target, and sparse inputs."""

from collections.abc import Callable
from dataclasses import dataclass, fields

import torch
from torch import Tensor


@dataclass(frozen=True)
class LayerObjective:
    """The constants of the objectives of R images for one layer of C channels.

    Attributes:
        targets: Target activations a, ``(R, C)``.
        pull: Weight of each channel in the activation term, ``(R, C)``.
        scale: Unit of the distance between z and a, ``(R, 1)``.
        input_scale: Unit of ‖p‖₁, ``(R,)``.
    """

    targets: Tensor
    pull: Tensor
    scale: Tensor
    input_scale: Tensor

    def map(self, function: Callable[[Tensor], Tensor]) -> "LayerObjective":
        """Apply a function to every tensor."""
        return LayerObjective(*(function(getattr(self, field.name)) for field in fields(self)))


def pseudo_huber(values: Tensor) -> Tensor:
    """ρ(u) = √(u² + 1) − 1: about u² / 2 near 0, about |u| far from 0."""
    return (values.square() + 1).sqrt() - 1


def objective_terms(means: Tensor, inputs: Tensor, objective: LayerObjective) -> Tensor:
    """The three terms of the objective: −Σ_c pull_c · z_c, mean_c ρ((z_c − a_c) / scale), and ‖p‖₁ / input_scale.

    Args:
        means: z, the layer's activations, averaged over positions, ``(R, C)``.
        inputs: p, the input of the layer's last convolution, ``(R, ...)``.
        objective: Its constants.

    Returns:
        Shape ``(R, 3)``.

    Source: arXiv 2101.12447, section 3.
    """
    activation = -(objective.pull * means).sum(dim=1)
    distance = pseudo_huber((means - objective.targets) / objective.scale).mean(dim=1)
    sparsity = inputs.flatten(1).abs().sum(dim=1) / objective.input_scale
    return torch.stack([activation, distance, sparsity], dim=1)


def top_channels(targets: Tensor, count: int) -> Tensor:
    """A boolean mask of each row's ``count`` largest channels, of the shape of ``targets`` ``(R, C)``."""
    mask = torch.zeros_like(targets, dtype=torch.bool)
    return mask.scatter(1, targets.topk(min(count, targets.shape[1]), dim=1).indices, True)


def comparable_objective(targets: Tensor, inputs: Tensor, channels: int) -> LayerObjective:
    """Constants that give terms without a unit, so that the same weights fit every layer.

    The pull is proportional to the target, and z = a gives an activation term of −1; the unit of the distance is the
    root mean square of the target; the unit of the inputs is that of the images of the target.

    Args:
        targets: ``(R, C)``.
        inputs: The weighted mean of ‖p‖₁ over the images of each target, ``(R,)``.
        channels: Number of largest channels that are pulled.
    """
    top = top_channels(targets, channels) * targets
    tiny = torch.finfo(targets.dtype).tiny  # the target of a silent layer is 0: no division by 0
    pull = top / top.square().sum(dim=1, keepdim=True).clamp(min=tiny)
    scale = targets.square().mean(dim=1, keepdim=True).sqrt()
    return LayerObjective(targets, pull, torch.where(scale > 0, scale, 1), torch.where(inputs > 0, inputs, 1))


def published_objective(targets: Tensor, channels: int) -> LayerObjective:
    """Constants after the published code: raw sums, and every image is pulled to the channels of every cluster.

    Args:
        targets: One row for each cluster of a layer, ``(K, C)``.
        channels: Number of largest channels of each cluster that are pulled.
    """
    pull = (top_channels(targets, channels) * targets).sum(dim=0, keepdim=True).expand_as(targets)
    ones = targets.new_ones(len(targets))
    return LayerObjective(targets, pull, ones[:, None], ones)
