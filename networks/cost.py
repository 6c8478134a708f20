"""What a network costs: its parameters and its floating-point operations."""

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode


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
