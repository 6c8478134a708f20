"""Smaller versions of a trained network: weights pruned away, or numbers rounded to eight bits."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import prune as pruning

LEVELS = 127  # of 7 bits: PyTorch's x86 kernels leave the eighth free, so that their sums cannot overflow


def prune(network: nn.Module, amount: float) -> float:
    """Set the smallest weights of all convolutions and linear layers, taken together, to 0, in place.

    Biases, batch-norms and the joint input projection of an attention layer are left alone.

    Args:
        network: The network.
        amount: Share of those weights to remove, in [0, 1).

    Returns:
        The share that is 0 now; differs from ``amount`` by rounding to whole weights.

    Raises:
        ValueError: If ``amount`` is out of range.

    Source: global magnitude pruning as in S. Han et al., arXiv 1506.02626, by ``torch.nn.utils.prune``.
    """
    if not 0 <= amount < 1:
        raise ValueError(f"compressed.amount={amount} is not in [0, 1): give the share of weights to remove, as 0.8")
    weights = [(module, "weight") for module in prunable(network).values()]
    if amount and weights:
        pruning.global_unstructured(weights, pruning_method=pruning.L1Unstructured, amount=amount)
        for module, name in weights:
            pruning.remove(module, name)
    return sparsity(network)


def prunable(network: nn.Module) -> dict[str, nn.Module]:
    """The convolutions and linear layers of a network, by name."""
    return {name: module for name, module in network.named_modules() if isinstance(module, nn.Conv2d | nn.Linear)}


def masks(network: nn.Module) -> dict[str, Tensor]:
    """Where the weights of convolutions and linear layers are not 0, by the weight's name."""
    return {f"{name}.weight": module.get_parameter("weight") != 0 for name, module in prunable(network).items()}


def sparsity(network: nn.Module) -> float:
    """The share of the weights of convolutions and linear layers that is 0; 0 where there are none."""
    kept = masks(network).values()
    weights = sum(mask.numel() for mask in kept)
    return 1 - sum(int(mask.sum()) for mask in kept) / weights if weights else 0.0


@torch.no_grad()
def quantize_int8(network: nn.Module) -> nn.Module:
    """Make a network compute with int8 numbers, in place, so that gradients still reach its input.

    Linear layers: weights in int8 with one scale, and inputs rounded with one scale and zero per image. PyTorch's
    dynamic quantisation on x86 does the same with one scale per batch, so that its numbers depend on the other images
    of the batch. Convolutions: weights in int8 with a scale per output channel, inputs unchanged. Rounding is simulated
    in floats with a gradient of 1 (straight-through, arXiv 1308.3432), because int8 kernels have no gradient. As in
    PyTorch, the projections inside an attention layer stay floats.

    Args:
        network: The network, with its weights; must not be quantised already.

    Returns:
        The network.
    """
    for module in network.modules():
        if type(module) is nn.Linear:
            module.weight.copy_(round_weights(module.weight))
            module.register_forward_pre_hook(round_input)
        elif isinstance(module, nn.Conv2d):
            module.weight.copy_(round_weights(module.weight, per_channel=True))
    return network


def round_weights(weight: Tensor, per_channel: bool = False) -> Tensor:
    """The int8 numbers nearest to a weight, times their scale: symmetric, from -128 to 127 steps.

    Args:
        weight: Any shape, outputs first.
        per_channel: One scale for each output instead of one for all.
    """
    values = weight.detach()
    largest = values.flatten(1).abs().amax(1) if per_channel else values.abs().amax()[None]
    scale = (largest / 127.5).clamp(min=torch.finfo(torch.float32).eps).view(-1, *[1] * (values.dim() - 1))
    return (values / scale).round().clamp(-128, 127) * scale


def round_activations(x: Tensor) -> Tensor:
    """Each image's activations on 128 equal steps between their extremes, 0 among them; the gradient passes through.

    Args:
        x: Activations ``(N, ...)``; each of the N has its scale.
    """
    values = x.detach().float()
    flat = values.flatten(1)
    low, high = flat.amin(1).clamp(max=0), flat.amax(1).clamp(min=0)
    scale = torch.where(high > low, (high - low) / LEVELS, 1)
    shape = (-1, *[1] * (x.dim() - 1))
    scale, zero = scale.view(shape), (-low / scale).round().view(shape)
    rounded = ((values / scale + zero).round().clamp(0, LEVELS) - zero) * scale
    return x + (rounded.to(x.dtype) - x).detach()


def round_input(module: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
    """A forward hook that rounds the input of a layer."""
    return (round_activations(inputs[0]), *inputs[1:])
