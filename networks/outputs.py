"""What networks give for a batch of images, read as logits: tensors in tuples or mappings, probabilities, one logit."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

LOGITS = ("logits", "out", "output", "prediction_logits")  # the names of fields that are looked for, in this order
SMALLEST = 1e-12  # probabilities below count as this one
Read = Callable[[Any], Tensor]


class OutputReader:
    """Turns the output of one network into logits ``(N, classes)``; made by :func:`reader_of`.

    Args:
        path: Keys or positions that lead to the tensor.
        convert: What is done to it, if anything.
        note: In words.
    """

    def __init__(self, path: tuple[Any, ...], convert: Read | None, note: str) -> None:
        self.path, self.convert, self.note = path, convert, note

    def __call__(self, output: Any) -> Tensor:
        """The logits."""
        for key in self.path:
            output = getattr(output, key) if isinstance(key, str) and not isinstance(output, Mapping) else output[key]
        return output if self.convert is None else self.convert(output)


@torch.no_grad()
def reader_for(network: Callable[[Tensor], Any], images: Tensor, classes: int | None = None) -> OutputReader | None:
    """How the output of a network is read; ``None``: it is logits already.

    One number between 0 and 1 for each image may be a probability or a logit. Images of exaggerated contrast tell:
    probabilities stay in [0, 1].

    Args:
        network: From images ``(N, 3, H, W)`` to its output, in eval mode.
        images: A few.
        classes: The number of classes, where it is known.

    Raises:
        ValueError: If the network fails, or its output cannot be read as logits or has another number of classes.
    """
    try:
        output = network(images)
    except Exception as error:  # a network of a user can raise anything
        shape = " × ".join(map(str, images.shape))
        raise ValueError(f"fails on images of {shape}: {type(error).__name__}: {error}") from error
    reader = reader_of(output, len(images), classes)
    if reader is not None and reader.convert is from_one_probability:
        noise = torch.rand(8, *images.shape[1:], generator=torch.Generator().manual_seed(0)).to(images)
        extreme = torch.cat([contrast * (images - 0.5) for contrast in (20, -20)] + [40 * (noise - 0.5)])
        reader = reader_of(network(extreme), len(extreme), classes)
    logits = output if reader is None else reader(output)
    if classes is not None and logits.shape[1] != classes:
        raise ValueError(f"has {logits.shape[1]} logits, and classes={classes}: give classes={logits.shape[1]}")
    return reader


def reader_of(output: Any, images: int, classes: int | None = None) -> OutputReader | None:
    """How the output of a network is read, judged by that for one batch; ``None``: it is logits already.

    Args:
        output: What the network gave for ``images`` images.
        images: Their number.
        classes: The number of classes, where it is known; it decides between several tensors.

    Raises:
        ValueError: If it cannot be read as logits; says what it is.
    """
    path = path_to_logits(output, images, classes)
    tensor = OutputReader(path, None, "")(output)
    where = (
        ""
        if not path
        else f"{path[-1]!r} of its output is"
        if isinstance(path[-1], str)
        else "one part of its output is"
    )
    rows = tensor.ndim in (1, 2) or tensor.shape[2:] == (1, 1)
    if not rows or len(tensor) != images:
        raise ValueError(
            f"its output is {shape_of(tensor)} for {images} images: expected one row of logits for each image"
        )
    if tensor.ndim == 4 and tensor.shape[2:] == (1, 1):
        return OutputReader(path, flat, f"{where} used without its two dimensions of one pixel")
    if tensor.ndim == 1 or (tensor.ndim == 2 and tensor.shape[1] == 1):
        if bool((tensor >= 0).all() and (tensor <= 1).all()):
            return OutputReader(
                path, from_one_probability, "its one number is taken as a probability of the second of two classes"
            )
        return OutputReader(path, from_one_logit, "its one logit is that of the second of two classes")
    sums = tensor.detach().double().sum(dim=1)
    if bool((tensor >= 0).all()) and torch.allclose(sums, torch.ones_like(sums), atol=1e-3):
        return OutputReader(path, from_probabilities, "its output is probabilities; their logarithm is used")
    return OutputReader(path, None, f"{where} used as logits") if path else None


def path_to_logits(output: Any, images: int, classes: int | None) -> tuple[Any, ...]:
    """The keys or positions that lead to the logits in an output."""
    if isinstance(output, Tensor):
        return ()
    fields = fields_of(output)
    if not fields:
        raise ValueError(f"its output is a {type(output).__name__} without tensors: expected logits (N, classes)")
    for name in LOGITS:
        if name in fields:
            return (name, *path_to_logits(fields[name], images, classes))
    if len(fields) == 1:
        [(key, value)] = fields.items()
        return (key, *path_to_logits(value, images, classes))
    rows = {
        key: value
        for key, value in fields.items()
        if isinstance(value, Tensor) and value.ndim == 2 and len(value) == images
    }
    right = {key: value for key, value in rows.items() if value.shape[1] == classes}
    for candidates in (right, rows):
        if len(candidates) == 1:
            return tuple(candidates)
    described = ", ".join(f"{key}: {shape_of(value)}" for key, value in fields.items())
    raise ValueError(
        f"its output holds several tensors ({described}), and which one is the logits cannot be told: give the number "
        "of its classes, as network.classes=1000, or let it return the logits alone"
    )


def fields_of(output: Any) -> dict[Any, Any]:
    """The tensors, and what may hold some, of a tuple, list, mapping, named tuple or dataclass."""
    if isinstance(output, Mapping):
        fields: dict[Any, Any] = dict(output)
    elif hasattr(output, "_asdict"):
        fields = output._asdict()
    elif dataclasses.is_dataclass(output):
        fields = {field.name: getattr(output, field.name) for field in dataclasses.fields(output)}
    elif isinstance(output, list | tuple):
        fields = dict(enumerate(output))
    else:
        fields = {}
    return {key: value for key, value in fields.items() if isinstance(value, Tensor) or fields_of(value)}


def shape_of(value: Any) -> str:
    """The shape of a tensor, or the class of something else."""
    return " × ".join(map(str, value.shape)) or "one number" if isinstance(value, Tensor) else type(value).__name__


def flat(output: Tensor) -> Tensor:
    """``(N, C, 1, 1)`` as ``(N, C)``."""
    return output.flatten(1)


def from_probabilities(output: Tensor) -> Tensor:
    """The logarithm of probabilities: softmax gives them back."""
    return output.clamp(min=SMALLEST).log()


def from_one_logit(output: Tensor) -> Tensor:
    """Logits ``(N, 2)`` of which softmax gives the sigmoid of the one logit to the second class."""
    one = output.reshape(-1, 1)  # a network may drop the dimension of one image
    return torch.cat([torch.zeros_like(one), one], dim=1)


def from_one_probability(output: Tensor) -> Tensor:
    """Logits ``(N, 2)`` of which softmax gives the probability to the second class."""
    one = output.reshape(-1, 1)  # a network may drop the dimension of one image
    return torch.cat([1 - one, one], dim=1).clamp(min=SMALLEST).log()
