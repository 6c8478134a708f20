"""A layer's activation changed on its way, and the rest of the network as ever."""

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
        name: Of the layer.
        images: As the network takes them.
    """
    calls = 0

    def count(*_: Any) -> None:
        nonlocal calls
        calls += 1

    handle = find_layer(network, name).register_forward_hook(count)
    try:
        with frozen(network):
            network(images)
    finally:
        handle.remove()
    return calls


@contextmanager
def intervened(network: nn.Module, name: str, change: Callable[[Tensor], Tensor], call: int) -> Iterator[None]:
    """While entered, what one call of a layer makes in every forward pass is changed; all else stays.

    Args:
        network: Any; in eval mode and without gradients of its parameters meanwhile.
        name: Of the layer.
        change: From the activation to one of the same shape.
        call: Which call of the pass, from 1; a shared ReLU is called several times.

    Raises:
        ValueError: If there is no such layer; says the nearest names.
    """
    layer, calls = find_layer(network, name), 0

    def begin(*_: Any) -> None:
        nonlocal calls
        calls = 0

    def replace(_: nn.Module, __: Any, made: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls != call:
            return None
        return change(made) if isinstance(made, Tensor) else (change(made[0]), *made[1:])

    handles = [network.register_forward_pre_hook(begin), layer.register_forward_hook(replace)]
    try:
        with frozen(network):
            yield
    finally:
        for handle in handles:
            handle.remove()
