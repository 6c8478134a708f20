"""The activations of a network's layers, by name, and the list of its layers."""

import difflib
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from networks.classifier import frozen

INPUT = ":input"  # at the end of a name: the input of the layer instead of its output
Read = Callable[[], dict[str, Tensor]]


@dataclass(frozen=True)
class Layer:
    """A layer that a forward pass calls.

    Attributes:
        name: Its name in ``named_modules``.
        kind: Name of its class.
        shape: Shape of its output for one image, without the batch.
    """

    name: str
    kind: str
    shape: tuple[int, ...]


@contextmanager
def recorded(network: nn.Module, names: Sequence[str]) -> Iterator[Read]:
    """Within this context every forward pass keeps the outputs of some layers, and ends after the last of them.

    ``network(images)`` then returns ``None``. Only the first pass runs to the end, to count how often layers are
    called: of a layer that is called several times (a shared ReLU), the last call counts. Copies are kept, so later
    in-place layers do not change them; gradients flow through them to the images. Within the context the network is in
    eval mode and its parameters get no gradient; afterwards hooks, modes and everything else are restored. Hooks do not
    see layers inside a network that is compiled as a whole.

    Args:
        network: Any.
        names: Names of layers in ``named_modules``; with ``:input`` appended, the layer's first input is kept instead.

    Yields:
        A function that returns the activations of the last pass, by name; of a tuple, the first tensor.

    Raises:
        ValueError: If there is no such layer (names the nearest ones), or, on reading, if no pass has called a layer.
    """
    recording = Recording(names)
    with frozen(network), ExitStack() as hooks:
        for name in recording.names:
            hooks.enter_context(recording.attach(name, find_layer(network, name.removesuffix(INPUT))))
        hooks.enter_context(recording.cut_short(network))
        yield recording.read


class Recording:
    """The activations of the latest forward pass.

    Args:
        names: See :func:`recorded`.
    """

    def __init__(self, names: Sequence[str]) -> None:
        self.names = list(dict.fromkeys(names))
        self.kept: dict[str, Tensor] = {}
        self.calls: list[str] = []  # of this pass
        self.needed: int | None = None  # how many calls there are, known after the first pass

    def attach(self, name: str, layer: nn.Module) -> Any:
        """Hook a layer; returns the handle, a context manager."""
        if name.endswith(INPUT):
            return layer.register_forward_pre_hook(
                lambda _, arguments, named: self.keep(name, next(iter((*arguments, *named.values())), None)),
                with_kwargs=True,
            )
        return layer.register_forward_hook(lambda _, arguments, output: self.keep(name, output))

    def keep(self, name: str, value: Any) -> None:
        """Keep a copy, and end the pass if it was the last one needed."""
        tensor = first_tensor(value)
        if tensor is None:
            raise ValueError(f"layer {name} has a {type(value).__name__} instead of a tensor: choose a layer within it")
        self.kept[name] = tensor.clone()
        self.calls.append(name)
        if len(self.calls) == self.needed:
            raise EnoughError

    @contextmanager
    def cut_short(self, network: nn.Module) -> Iterator[None]:
        """Within this context a forward pass forgets the previous one and ends after the last layer that is needed."""
        forward, before = network.forward, network.__dict__.get("forward")

        def one_pass(*arguments: Any, **named: Any) -> Any:
            self.kept, self.calls = {}, []
            try:
                output = forward(*arguments, **named)
            except EnoughError:
                return None
            self.needed = len(self.calls) or None
            return output

        network.__dict__["forward"] = one_pass
        try:
            yield
        finally:
            del network.__dict__["forward"]
            if before is not None:  # it was replaced before, as torch.compile does
                network.__dict__["forward"] = before

    def read(self) -> dict[str, Tensor]:
        """See :func:`recorded`."""
        missing = [name for name in self.names if name not in self.kept]
        if missing:
            raise ValueError(f"no forward pass has called layer {missing[0]}: make one, or choose another layer")
        return {name: self.kept[name] for name in self.names}


class EnoughError(Exception):
    """Ends a forward pass when all activations are there."""


def first_tensor(value: Any) -> Tensor | None:
    """A tensor itself, or the first one of a tuple or list."""
    if isinstance(value, Tensor):
        return value
    return first_tensor(value[0]) if isinstance(value, tuple | list) and value else None


def find_layer(network: nn.Module, name: str) -> nn.Module:
    """A layer by its name.

    Raises:
        ValueError: If there is none; names the nearest ones.
    """
    layers = {known: layer for known, layer in network.named_modules() if known}
    if name in layers:
        return layers[name]
    ends = [known for known in layers if known.rsplit(".", 1)[-1] == name]
    near = list(dict.fromkeys([*difflib.get_close_matches(name, layers, n=3), *ends]))[:3] or list(layers)[-3:]
    raise ValueError(f"the network has no layer {name!r}; did you mean {' or '.join(near)}? (list prints all of them)")


def list_layers(network: nn.Module, images: Tensor) -> list[Layer]:
    """Every layer that a forward pass calls and that returns a tensor, in the order in which they finish.

    Args:
        network: Any.
        images: One image, ``(1, 3, H, W)``.
    """
    layers: dict[str, Layer] = {}

    def note(name: str) -> Callable[..., None]:
        def after(layer: nn.Module, _: tuple[Any, ...], output: Any) -> None:
            tensor = first_tensor(output)
            if tensor is not None:
                layers.pop(name, None)  # a layer that is called again moves to the end
                layers[name] = Layer(name, type(layer).__name__, tuple(tensor.shape[1:]))

        return after

    with frozen(network), torch.no_grad(), ExitStack() as hooks:
        for name, layer in network.named_modules():
            if name:
                hooks.enter_context(layer.register_forward_hook(note(name)))
        network(images)
    return list(layers.values())
