"""Which layers represent a network, and the inputs of their last convolutions."""

import weakref
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import Any

import torch
from torch import Tensor, nn

from networks.activations import INPUT, Layer, find_layer, first_tensor
from networks.classifier import frozen

WEIGHING = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.Linear)
PASSING = ("Pool", "Dropout", "Identity", "Flatten", "Pad", "Norm", "Permute")  # kinds that compute no features
BLOCKS = ("Block", "EncoderLayer")  # of transformers


def last_convolution(network: nn.Module, layer: str, images: Tensor) -> str:
    """Name the input of the last convolution (or linear layer) that a layer calls.

    A convolution does not count if an earlier one has the same input: it is a shortcut or a parallel branch. For a
    layer without a convolution, the last one that was called before the layer counts, or else the layer's input.

    Args:
        network: Any network.
        layer: The layer's name.
        images: Images for the network, ``(1, 3, H, W)``.

    Returns:
        A name for :func:`~networks.activations.recorded`, which ends in ``:input``.
    """
    module = find_layer(network, layer)
    if isinstance(module, WEIGHING):
        return layer + INPUT
    calls, last, begin = list[str](), list[str](), 0
    inputs = list[weakref.ref[Tensor]]()  # an id can be that of a later tensor, a weak reference cannot

    def enter(*_: Any) -> None:
        nonlocal begin
        begin = len(calls)

    def leave(*_: Any) -> None:  # of several calls of the layer the last one counts
        last[:] = (calls[begin:] or calls)[-1:]

    def note(name: str) -> Callable[..., None]:
        def before(_: nn.Module, arguments: tuple[Any, ...]) -> None:
            tensor = first_tensor(list(arguments))
            if tensor is not None and not any(other() is tensor for other in inputs):
                inputs.append(weakref.ref(tensor))
                calls.append(name)

        return before

    with frozen(network), torch.no_grad(), ExitStack() as hooks:
        hooks.callback(module.register_forward_pre_hook(enter).remove)
        for name, other in network.named_modules():
            if isinstance(other, WEIGHING):
                hooks.callback(other.register_forward_pre_hook(note(name)).remove)
        hooks.callback(module.register_forward_hook(leave).remove)
        network(images)
    return (last[0] if last else layer) + INPUT


def last_of_stages(layers: Sequence[Layer], count: int = 3) -> list[str]:
    """The last layers of the last stages of a network; the layers of a stage have the same height and width.

    The outermost layer of a stage counts, because the first layer of the next stage may have the same size. In networks
    with one size for all layers (transformers), the layers after equal shares of the blocks count.

    Args:
        layers: All layers, as :func:`~networks.activations.list_layers` gives them.
        count: Number of layers.

    Raises:
        ValueError: If no layer has a height and a width, or tokens.
    """
    computing = [layer for layer in layers if not any(word in layer.kind for word in PASSING)]
    stages: dict[tuple[int, ...], str] = {}
    for layer in computing:
        size = height_and_width(layer.shape)
        if len(size) != 2 or size[0] * size[1] == 1:
            continue
        if layer.name.count(".") <= stages.get(size, layer.name).count("."):
            stages.pop(size, None)  # so that the stages stay in the order of their last layers
            stages[size] = layer.name
    if len(stages) > 2:
        return list(stages.values())[-count:]
    tokens = [layer for layer in computing if len(layer.shape) == 2 and layer.shape[0] > 1]
    tokens = [layer for layer in tokens if any(word in layer.kind for word in BLOCKS)] or tokens
    if tokens:
        usual = Counter(layer.shape for layer in tokens).most_common(1)[0][0]
        tokens = [layer for layer in tokens if layer.shape == usual]
        ends = [(number + 1) * len(tokens) // count - 1 for number in range(count)]
        return list(dict.fromkeys(tokens[max(0, end)].name for end in ends))
    if not stages:
        raise ValueError(
            "no layer of the network has a height and a width: name some as layer=[...] (layer=list prints all of them)"
        )
    return list(stages.values())


def height_and_width(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Height and width of a layer's output for one image; empty if it has none."""
    if len(shape) != 3:
        return ()
    return shape[:2] if shape[0] == shape[1] != shape[2] else shape[1:]
