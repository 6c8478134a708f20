"""Penultimate features: the input of a classifier's last layer."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from torch import Tensor, nn


@contextmanager
def penultimate_features(network: nn.Module) -> Iterator[Callable[[], Tensor]]:
    """Within this context the input of the network's last layer is kept; afterwards the network is unchanged.

    The last layer is the last linear layer or 1×1 convolution that a forward pass calls.

    Args:
        network: A classifier.

    Yields:
        A function that returns the features of the last forward pass, ``(N, d)`` in float32, averaged over positions
        or tokens if there are any.

    Raises:
        ValueError: If the network has no such layer.
    """
    inputs: list[Tensor] = []

    def keep(_: nn.Module, arguments: tuple[Any, ...]) -> None:
        inputs[:] = [arguments[0]]  # every linear layer calls this; the input of the one called last stays

    layers = [layer for layer in network.modules() if is_final(layer)]
    if not layers:
        raise ValueError("the classifier has no linear layer and no 1×1 convolution: it has no penultimate features")
    with ExitStack() as hooks:
        for layer in layers:
            hooks.enter_context(layer.register_forward_pre_hook(keep))
        yield lambda: averaged(inputs[0])


def is_final(layer: nn.Module) -> bool:
    """Whether a layer could be a classifier's last one."""
    return isinstance(layer, nn.Linear) or (isinstance(layer, nn.Conv2d) and layer.kernel_size == (1, 1))


def averaged(features: Tensor) -> Tensor:
    """Features ``(N, d)`` from ``(N, d)``, ``(N, d, H, W)`` or tokens ``(N, T, d)``."""
    features = features.detach().float()
    if features.ndim == 4:
        return features.mean(dim=(2, 3))
    return features.flatten(1, -2).mean(dim=1) if features.ndim > 2 else features
