"""Which layers of a network stand for it, and what feeds them."""

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
PASSING = ("Pool", "Dropout", "Identity", "Flatten", "Pad", "Norm", "Permute")  # kinds that find nothing of their own
BLOCKS = ("Block", "EncoderLayer")  # of transformers


def last_convolution(network: nn.Module, layer: str, images: Tensor) -> str:
    """What feeds a layer: the input of the last convolution (or linear layer) that it calls.

    A convolution of what another one has been given before it does not count: that is a shortcut, or a branch beside
    others. A layer that has none is fed by the last one that was called before it, or else by its own input.

    Args:
        network: Any.
        layer: The layer's name.
        images: As the network takes them, ``(1, 3, H, W)``.

    Returns:
        A name for :func:`~networks.activations.recorded`, which ends in ``:input``.
    """
    calls: list[tuple[str, bool]] = []  # name, and whether within the layer
    inside, given_before = [False], list[weakref.ref[Tensor]]()
    before_the_end: list[tuple[str, bool]] = []

    def enter(*_: Any) -> None:
        inside[0] = True
        calls[:] = [(name, False) for name, _ in calls]  # of several calls of the layer the last counts

    def leave(*_: Any) -> None:
        inside[0] = False
        before_the_end[:] = calls

    def note(name: str) -> Callable[..., None]:
        def before(_: nn.Module, arguments: tuple[Any, ...]) -> None:
            given = first_tensor(list(arguments))
            if given is None or any(other() is given for other in given_before):
                return
            given_before.append(weakref.ref(given))
            calls.append((name, inside[0]))

        return before

    with frozen(network), torch.no_grad(), ExitStack() as hooks:
        found = find_layer(network, layer)
        hooks.callback(found.register_forward_pre_hook(enter).remove)
        for name, module in network.named_modules():
            if isinstance(module, WEIGHING):
                hooks.callback(module.register_forward_pre_hook(note(name)).remove)
        hooks.callback(found.register_forward_hook(leave).remove)
        network(images)
    if isinstance(found, WEIGHING):
        return layer + INPUT
    within = [name for name, is_within in before_the_end if is_within] or [name for name, _ in before_the_end]
    return (within[-1] if within else layer) + INPUT


def last_of_stages(layers: Sequence[Layer], count: int = 3) -> list[str]:
    """The last layers of the last stages of a network; a stage are layers with equally many places.

    Of these the outermost count, because the next stage may begin with as many. Of networks whose layers all have
    equally many (transformers), layers a third, two thirds and all of the way through.

    Args:
        layers: All of them, as :func:`~networks.activations.list_layers` gives them.
        count: How many.

    Raises:
        ValueError: If none has places.
    """
    finding = [layer for layer in layers if not any(word in layer.kind for word in PASSING)]
    stages: dict[tuple[int, ...], str] = {}
    for layer in finding:
        places = places_of(layer.shape)
        if len(places) == 2 and places[0] * places[1] > 1:
            known = stages.get(places)
            if known is None or layer.name.count(".") <= known.count("."):
                stages.pop(places, None)
                stages[places] = layer.name
    if len(stages) > 2:
        return list(stages.values())[-count:]
    tokens = [layer for layer in finding if len(layer.shape) == 2 and layer.shape[0] > 1]
    tokens = [layer for layer in tokens if any(word in layer.kind for word in BLOCKS)] or tokens
    if tokens:
        usual = Counter(layer.shape for layer in tokens).most_common(1)[0][0]
        tokens = [layer for layer in tokens if layer.shape == usual]
        ends = [(number + 1) * len(tokens) // count - 1 for number in range(count)]
        return list(dict.fromkeys(tokens[max(0, end)].name for end in ends))
    if not stages:
        raise ValueError("no layer of the network has places: name some as layer=[...] (layer=list prints all of them)")
    return list(stages.values())


def places_of(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Height and width of what a layer makes of an image; empty for anything else."""
    if len(shape) != 3:
        return ()
    return shape[:2] if shape[0] == shape[1] != shape[2] else shape[1:]
