"""The preprocessing of a user's own network: what the user or the network itself says of it; nothing is guessed."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import safetensors

from networks.classifier import Preprocessing
from networks.exported import exported_metadata
from networks.own_network import own_metadata
from networks.weight_files import is_safetensors

EXPORTED = "exported"  # the source of a program, whose file is that of its weights
ANY = "any"  # size of a network that takes images of any size
LINES = (
    "its size, mean and std are not known. Add these three lines to the command, with the values that it was trained "
    "with (these are the usual ones of ImageNet; network.size=any keeps images as they are): network.size=224 "
    "network.mean=[0.485,0.456,0.406] network.std=[0.229,0.224,0.225]"
)
STATED = ("size", "resize", "mean", "std", "interpolation", "class_names")


def declared_preprocessing(
    source: str,
    weights: str | None,
    size: int | str | None,
    resize: int | None,
    mean: Sequence[float] | None,
    std: Sequence[float] | None,
    interpolation: str | None,
) -> Preprocessing:
    """The preprocessing that is given, completed by what the network itself states; nothing that matters is guessed.

    Args:
        source: ``module:my_package.my_module.MyNet``, or ``exported`` for a program.
        weights: The file of the weights, or of the program. The metadata of a safetensors file, and the extra file
            ``metadata.json`` of a program, may hold the other arguments.
        size: Side of the input in pixels, ``any``, or ``None``: what the network states.
        resize: Shorter side before the centre is cut out; ``None``: what the network states, else nothing is cut off.
        mean: Per-channel mean, for pixels in [0, 1]; ``None``: what the network states.
        std: Per-channel standard deviation; ``None``: what the network states.
        interpolation: ``bilinear`` or ``bicubic``; ``None``: what the network states, else bilinear.

    Raises:
        ValueError: If size, mean or std are neither given nor stated; has the lines to add.
    """
    given = {"size": size, "resize": resize, "mean": mean, "std": std, "interpolation": interpolation}
    what, known = f"exported:{weights}" if source == EXPORTED else source, stated(source, weights)
    return checked(what, {name: known.get(name) if value is None else value for name, value in given.items()})


def stated(source: str, weights: str | None) -> dict[str, Any]:
    """What a network states of itself; see :func:`declared_preprocessing`."""
    if source == EXPORTED:
        return exported_metadata(weights or "")
    return own_metadata(source.partition(":")[2]) | file_metadata(weights)


def stated_names(source: str, weights: str | None) -> list[str] | None:
    """What a network states that its classes are called; see :func:`declared_preprocessing`.

    Raises:
        ValueError: If what is stated is no list of names.
    """
    names = stated(source, weights).get("class_names")
    if names is not None and (not isinstance(names, list | tuple) or not all(isinstance(name, str) for name in names)):
        raise ValueError(f"class_names in the metadata of {weights} must be a list of names")
    return None if names is None else [*names]


def file_metadata(weights: str | None) -> dict[str, Any]:
    """What a safetensors file says in its metadata, where all values are text: JSON, or plain words.

    Raises:
        ValueError: If the file is not whole.
    """
    path = Path(weights or "")
    if not path.is_file() or not is_safetensors(path):
        return {}
    try:
        with safetensors.safe_open(path, "pt") as file:
            said: dict[str, str] = file.metadata() or {}
    except safetensors.SafetensorError as error:
        raise ValueError(f"{path} is not a whole safetensors file ({error}): make or copy it again") from error
    return {name: value_of(said[name]) for name in STATED if name in said}


def value_of(text: str) -> Any:
    """A value that is written as JSON, or the text itself."""
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text


def checked(what: str, chosen: Mapping[str, Any]) -> Preprocessing:
    """A preprocessing of which every part is there and has a right value.

    Raises:
        ValueError: Names the part.
    """
    if any(chosen[name] is None for name in ("size", "mean", "std")):
        raise ValueError(f"{what}: {LINES}")
    for name in ("mean", "std"):
        values = chosen[name]
        numbers = isinstance(values, list | tuple) and all(isinstance(value, int | float) for value in values)
        if not numbers or len(values) != 3 or (name == "std" and not min(values) > 0):
            raise ValueError(f"{what}: network.{name}={values}: give three numbers, as network.{name}=[0.5,0.5,0.5]")
    side = None if chosen["size"] == ANY else chosen["size"]
    if side is not None and (isinstance(side, bool) or not isinstance(side, int) or side < 1):
        raise ValueError(f"{what}: network.size={side}: give the side of its input in pixels, or any")
    kind = chosen["interpolation"] or "bilinear"
    if kind not in ("bilinear", "bicubic"):
        raise ValueError(f"{what}: network.interpolation={kind}: give bilinear or bicubic")
    return Preprocessing(side, chosen["resize"], tuple(chosen["mean"]), tuple(chosen["std"]), kind)
