"""Weight files: safetensors, or a PyTorch state dict, read without running pickled code."""

import pickle
import re
import struct
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn

CONTAINER_ENTRIES = ("model_state", "model_state_dict", "state_dict")
AUXILIARY_HEADS = ("network.AuxLogits.", "network.aux1.", "network.aux2.")
CONTAINER_PREFIXES = r"^((module|segnet)\.)+"
UNREADABLE = (
    pickle.UnpicklingError, RuntimeError, EOFError, ValueError, LookupError, AttributeError, TypeError, OSError,
    MemoryError, struct.error,
)  # fmt: skip


def read_weights(path: str | Path) -> dict[str, Tensor]:
    """Read a weight file.

    Args:
        path: ``.safetensors``, or anything ``torch.save`` wrote of a state dict, perhaps under a ``model_state`` entry
            and with ``module.`` or ``segnet.`` before every key, as in the weights published with arXiv 1803.08337.

    Returns:
        Tensors by name, on the CPU, without those prefixes.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it holds no state dict, or would need to run pickled code.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"weights file {path} does not exist: correct the path")
    if path.suffix == ".safetensors":
        try:
            return safetensors.torch.load_file(path)
        except safetensors.SafetensorError as error:
            raise ValueError(f"{path} is not a whole safetensors file ({error}): make or copy it again") from error
    try:
        with warnings.catch_warnings():
            # PyTorch warns of files written with a newer pickle protocol, and reads them
            warnings.filterwarnings("ignore", message="Detected pickle protocol")
            content = torch.load(path, map_location="cpu", weights_only=True)
    except UNREADABLE as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        if "weights_only" in reason:  # PyTorch's advice would run code from the file
            reason = "it holds other things than tensors, or is damaged"
        raise ValueError(
            f"{path} is not a file of plain weights ({reason}): save the model's state_dict() and use that"
        ) from error
    for entry in CONTAINER_ENTRIES:
        if isinstance(content, Mapping) and entry in content:
            content = content[entry]
    if not isinstance(content, Mapping) or not all(isinstance(value, Tensor) for value in content.values()):
        raise ValueError(f"{path} holds no state dict: save the model's state_dict() and use that")
    return {re.sub(CONTAINER_PREFIXES, "", key): value for key, value in content.items()}


def load_weights(module: nn.Module, path: str | Path) -> None:
    """Load a weight file into a module; every key and shape must fit.

    Args:
        module: The network; unchanged when an error is raised.
        path: See :func:`read_weights`.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If a key is missing or unexpected or a shape differs; names them.
    """
    expected = module.state_dict()
    weights = todays_names(read_weights(path), expected)
    for key, tensor in expected.items():  # PyTorch before 0.4.1 did not count batches
        if key.endswith("num_batches_tracked"):
            weights.setdefault(key, torch.zeros_like(tensor))
    problems: dict[str, list[Any]] = {
        "missing": [key for key in expected if key not in weights],
        "unexpected": [key for key in weights if key not in expected],
        "of another shape": [
            f"{key} {tuple(weights[key].shape)} instead of {tuple(tensor.shape)}"
            for key, tensor in expected.items()
            if key in weights and weights[key].shape != tensor.shape
        ],
    }
    differences = "; ".join(f"{kind}: {shortened(keys)}" for kind, keys in problems.items() if keys)
    if differences:
        raise ValueError(f"{path} holds the weights of another network than {type(module).__name__} ({differences})")
    module.load_state_dict(weights)


def todays_names(weights: dict[str, Tensor], expected: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Weights of a file, renamed to the names that a network expects.

    A file of a bare network gets the prefix of its :class:`~networks.classifier.Classifier`; the old layer names of
    torchvision's DenseNets are replaced; auxiliary heads that the network was built without are left out.
    """
    wrapped = all(key.startswith("network.") for key in expected)
    if wrapped and not all(key.startswith("network.") for key in weights):
        weights = {f"network.{key}": value for key, value in weights.items()}
    renamed = {re.sub(r"(denselayer\d+\.(?:norm|conv))\.(\d)", r"\1\2", key): value for key, value in weights.items()}
    return {key: value for key, value in renamed.items() if key in expected or not key.startswith(AUXILIARY_HEADS)}


def shortened(items: list[Any]) -> str:
    """The first three items, and how many more there are."""
    more = f" and {len(items) - 3} more" if len(items) > 3 else ""
    return ", ".join(str(item) for item in items[:3]) + more
