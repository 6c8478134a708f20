"""Reading weight files: safetensors, or anything ``torch.save`` wrote of tensors, without running pickled code."""

import argparse
import pickle
import struct
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor

StateDict = dict[str, Tensor]
DEEPEST = 3  # entries within entries, as in {"ema": {"state_dict": …}}
UNREADABLE = (
    pickle.UnpicklingError, RuntimeError, EOFError, ValueError, LookupError, AttributeError, TypeError, OSError,
    MemoryError, struct.error,
)  # fmt: skip


def read_state_dicts(path: str | Path) -> dict[str, StateDict]:
    """Every state dict in a weight file.

    Args:
        path: A safetensors file, a state dict, or a checkpoint with state dicts among its entries, as those of
            Lightning, timm and torchvision; what is neither a tensor nor a mapping is passed over. The content decides
            how it is read, not the suffix.

    Returns:
        State dicts on the CPU by their entry, such as ``state_dict`` or ``ema.model``; ``""`` is the whole file.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it holds no state dict, is damaged, or would need to run pickled code.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"weights file {path} does not exist: correct the path")
    if is_safetensors(path):
        try:
            return {"": safetensors.torch.load_file(path)}
        except safetensors.SafetensorError as error:
            raise ValueError(f"{path} is not a whole safetensors file ({error}): make or copy it again") from error
    found = dict(state_dicts_in(read_pickled(path)))
    if not found:
        raise ValueError(f"{path} holds no state dict: save the model's state_dict() and use that")
    return found


def is_safetensors(path: Path) -> bool:
    """Whether a file is one of safetensors: by its first bytes, the length of a JSON header and its brace."""
    with path.open("rb") as file:
        start = file.read(9)
    return (path.suffix == ".safetensors" and not start.startswith((b"PK", b"\x80"))) or start[8:9] == b"{"


def read_pickled(path: Path) -> Any:
    """What ``torch.save`` wrote, read with ``weights_only``; an ``argparse.Namespace`` in it is only data."""
    try:
        with warnings.catch_warnings(), torch.serialization.safe_globals([argparse.Namespace]):
            # PyTorch warns of files written with a newer pickle protocol, and reads them
            warnings.filterwarnings("ignore", message="Detected pickle protocol")
            for message in ("Validating sparse tensor invariants", "TypedStorage is deprecated"):
                warnings.filterwarnings("ignore", message=message)
            with path.open("rb") as file:  # of a path, PyTorch looks at the suffix
                return torch.load(file, map_location="cpu", weights_only=True)
    except UNREADABLE as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        if "weights_only" in reason:  # PyTorch's advice would run code from the file
            reason = "it holds other things than tensors, or is damaged"
        raise ValueError(
            f"{path} is not a file of plain weights ({reason}): save the model's state_dict() and use that"
        ) from error


def state_dicts_in(content: Any, entry: str = "", depth: int = 0) -> Iterator[tuple[str, StateDict]]:
    """The mappings from names to tensors in what a file holds, by the path of their entry."""
    if not isinstance(content, Mapping) or depth > DEEPEST:
        return
    tensors = {name: value for name, value in content.items() if isinstance(name, str) and isinstance(value, Tensor)}
    others = {name: value for name, value in content.items() if isinstance(value, Mapping)}
    if tensors and len(tensors) + len(others) == len(content):
        yield entry, tensors
    elif tensors and not others and all(not isinstance(value, list | tuple) for value in content.values()):
        yield entry, tensors  # numbers and texts beside the tensors, as some libraries keep them
    for name, value in others.items():
        yield from state_dicts_in(value, f"{entry}.{name}".removeprefix("."), depth + 1)


def check_tensors(tensors: Mapping[str, Tensor], expected: Mapping[str, Tensor], path: Path) -> None:
    """Refuse tensors that would be cast in silence, or hold numbers that are not finite.

    Raises:
        ValueError: Names the file and the first such tensor.
    """
    for name, tensor in tensors.items():
        wanted = expected[name]
        if tensor.is_quantized or tensor.layout != torch.strided:
            kind = "quantized" if tensor.is_quantized else "sparse"
            raise ValueError(f"{path}: {name} is {kind}: save weights as plain tensors of floating-point numbers")
        if tensor.is_complex() != wanted.is_complex() or tensor.is_floating_point() != wanted.is_floating_point():
            raise ValueError(f"{path}: {name} holds {tensor.dtype}, the network expects {wanted.dtype}")
        if tensor.is_floating_point() and not tensor.isfinite().all():
            raise ValueError(f"{path}: {name} holds NaN or infinite numbers: make the weights anew")
