"""What an image that shows a layer's features minimises, image by image."""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Aim:
    """What R images aim at, in one layer of C channels.

    Attributes:
        targets: a, ``(R, C)``.
        pull: What each channel's activation is worth, ``(R, C)``.
        scale: Unit of the distance between z and a, ``(R, 1)``.
        input_scale: Unit of the sum of the layer's inputs, ``(R,)``.
    """

    targets: Tensor
    pull: Tensor
    scale: Tensor
    input_scale: Tensor


def pseudo_huber(values: Tensor) -> Tensor:
    """ρ(u) = √(u² + 1) − 1: as u² / 2 near 0, as |u| far from it."""
    return (values.square() + 1).sqrt() - 1


def terms(means: Tensor, inputs: Tensor, aim: Aim) -> Tensor:
    """The three terms of the objective: −Σ_c pull_c · z_c, mean_c ρ((z_c − a_c) / scale), and ‖p‖₁ / input_scale.

    Args:
        means: z, the layer's activations, averaged over places, ``(R, C)``.
        inputs: p, the input of the layer's last convolution, ``(R, ...)``.
        aim: What the images aim at.

    Returns:
        Shape ``(R, 3)``.

    Source: arXiv 2101.12447, section 3.
    """
    activation = -(aim.pull * means).sum(dim=1)
    distance = pseudo_huber((means - aim.targets) / aim.scale).mean(dim=1)
    sparsity = inputs.flatten(1).abs().sum(dim=1) / aim.input_scale
    return torch.stack([activation, distance, sparsity], dim=1)


def top_channels(targets: Tensor, count: int) -> Tensor:
    """Where each row's ``count`` largest channels are, boolean, of the shape of ``targets`` ``(R, C)``."""
    chosen = torch.zeros_like(targets, dtype=torch.bool)
    return chosen.scatter(1, targets.topk(min(count, targets.shape[1]), dim=1).indices, True)


def comparable_aim(targets: Tensor, inputs: Tensor, channels: int) -> Aim:
    """An aim whose terms are without unit, so that layers can share weights.

    Channels pull in proportion to the target, so that z = a is worth 1; differences are in units of the target's root
    mean square; inputs in units of those of the target's images.

    Args:
        targets: ``(R, C)``.
        inputs: ‖p‖₁ of each target's images, their weighted mean, ``(R,)``.
        channels: How many of the largest pull.
    """
    top = top_channels(targets, channels) * targets
    tiny = torch.finfo(targets.dtype).tiny
    pull = top / top.square().sum(dim=1, keepdim=True).clamp(min=tiny)
    scale = targets.square().mean(dim=1, keepdim=True).sqrt()
    return Aim(targets, pull, torch.where(scale > 0, scale, 1), torch.where(inputs > 0, inputs, 1))


def published_aim(targets: Tensor, channels: int) -> Aim:
    """The aim of the published code: raw sums, and every image is pulled to every target's channels.

    Args:
        targets: One row for each cluster of a layer, ``(K, C)``.
        channels: How many of the largest pull.
    """
    pull = (top_channels(targets, channels) * targets).sum(dim=0, keepdim=True).expand_as(targets)
    ones = targets.new_ones(len(targets))
    return Aim(targets, pull, ones[:, None], ones)
