"""Parameters and floating-point operations of a network."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from networks.activations import recorded
from networks.layouts import spatial_mean


def parameter_count(network: nn.Module) -> int:
    """Number of parameters."""
    return sum(parameter.numel() for parameter in network.parameters())


@torch.no_grad()
def flop_count(network: nn.Module, image: Tensor) -> int:
    """Floating-point operations of one forward pass, a multiplication and an addition counted as two.

    Convolutions and matrix products are counted, nothing else.

    Args:
        network: In eval mode.
        image: ``(1, 3, H, W)``.
    """
    with FlopCounterMode(display=False) as counter:
        network(image)
    return int(counter.get_total_flops())


def flop_count_to_layers(network: nn.Module, layers: Sequence[str], image: Tensor) -> tuple[int, int]:
    """Floating-point operations, counted as by :func:`flop_count`, of a pass to some layers and back to the image.

    Args:
        network: Any.
        layers: See :func:`~networks.activations.recorded`.
        image: ``(1, 3, H, W)``.
    """
    image = image.detach().clone().requires_grad_()
    with recorded(network, layers) as read:
        with torch.no_grad():
            network(image)  # the first pass goes to the end
        with FlopCounterMode(display=False) as counter:
            network(image)
            forward = int(counter.get_total_flops())
            torch.stack([spatial_mean(activation).sum() for activation in read().values()]).sum().backward()
            both = int(counter.get_total_flops())
    return forward, both - forward
