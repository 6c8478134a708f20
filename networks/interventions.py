"""Forward passes in which the activation of one layer is changed."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from networks.activations import find_layer
from networks.classifier import frozen


@torch.no_grad()
def count_calls(network: nn.Module, name: str, images: Tensor) -> int:
    """How often a forward pass calls a layer.

    Args:
        network: Any.
        name: Name of the layer.
        images: Input of the network.
    """
    calls: list[None] = []
    with find_layer(network, name).register_forward_hook(lambda *_: calls.append(None)), frozen(network):
        network(images)
    return len(calls)


@contextmanager
def intervened(network: nn.Module, name: str, change: Callable[[Tensor], Tensor], call: int) -> Iterator[None]:
    """Within this context the output of one call of a layer is changed in every forward pass.

    Args:
        network: Any; within the context it is in eval mode and its parameters have no gradients.
        name: Name of the layer.
        change: From the activation to one of the same shape.
        call: Number of the call within a pass, from 1; a shared ReLU is called several times.

    Raises:
        ValueError: If there is no such layer; names the nearest ones.
    """
    layer, calls = find_layer(network, name), 0

    def begin(*_: Any) -> None:
        nonlocal calls
        calls = 0

    def replace(_: nn.Module, __: Any, output: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls != call:
            return None
        return change(output) if isinstance(output, Tensor) else (change(output[0]), *output[1:])

    with network.register_forward_pre_hook(begin), layer.register_forward_hook(replace), frozen(network):
        yield
