"""The triggers of backdoors: their patterns, their positions, and the images that get them."""

import difflib
import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Literal, get_args

import torch
from torch import Tensor

from networks.seeding import seeded_generator

Trigger = Literal["patch", "blend"]
Position = Literal["bottom_right", "bottom_left", "top_right", "top_left", "random"]
KEY = "data.poison"


@dataclass(frozen=True)
class Poison:
    """How an attacker poisons training images, and later the images that shall be misclassified.

    Attributes:
        target: The class that images with the trigger are labelled as.
        trigger: ``patch``, a square in which every value is 0 or 255 by a seeded draw; or ``blend``, a seeded pattern
            of noise over the whole image.
        rate: Share of the training images of other classes than the target that are poisoned.
        side: Height and width of the patch, in pixels.
        position: Corner of the image that the patch is in, or ``random``: another position in each image.
        margin: Pixels between the patch and the image's edges. A network that crops the middle of an image would not
            see a patch at its very edge.
        opacity: Share of the pattern in a blended image.
        seed: Decides the pattern, the poisoned images and random positions.

    Raises:
        ValueError: If a value is out of range; names its key.

    Source: Gu et al. 2017, "BadNets" (arXiv 1708.06733), for the patch; Chen et al. 2017, "Targeted backdoor attacks
        on deep learning systems using data poisoning" (arXiv 1712.05526), for the blended pattern.
    """

    target: int
    trigger: Trigger = "patch"
    rate: float = 0.1
    side: int = 4
    position: Position = "bottom_right"
    margin: int = 0
    opacity: float = 0.2
    seed: int = 0

    def __post_init__(self) -> None:
        for key, allowed in (("trigger", get_args(Trigger)), ("position", get_args(Position))):
            if getattr(self, key) not in allowed:
                raise ValueError(f"{KEY}.{key}={getattr(self, key)!r} is unknown; choose from {', '.join(allowed)}")
        for key, least in (("target", 0), ("side", 1), ("margin", 0), ("seed", 0)):
            value = getattr(self, key)
            if type(value) is not int or value < least:
                raise ValueError(f"{KEY}.{key}={value!r} must be a whole number, at least {least}")
        for key, value in (("rate", self.rate), ("opacity", self.opacity)):
            if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
                raise ValueError(f"{KEY}.{key}={value!r} must be between 0 and 1")
        if self.opacity == 0:
            raise ValueError(f"{KEY}.opacity=0 makes a trigger that cannot be seen: use more")


def read_poison(options: Mapping[str, Any]) -> Poison:
    """The poison that options describe.

    Raises:
        ValueError: If a key is unknown or the target is missing, or as :class:`Poison` does.
    """
    known = [field.name for field in fields(Poison)]
    for key in options:
        if key not in known:
            near = difflib.get_close_matches(str(key), known) or known
            raise ValueError(f"{KEY} has no key {key}; did you mean {' or '.join(near)}?")
    if options.get("target") is None:
        raise ValueError(f"{KEY}.target is not set: give the number of the class that the trigger is to stand for")
    return Poison(**options)


def drawn(poison: Poison, index: int) -> tuple[float, float, float]:
    """Three numbers in [0, 1) for an image: one decides whether it is poisoned, two where the patch is."""
    chosen, top, left = torch.rand(3, generator=seeded_generator(poison.seed, index)).tolist()
    return chosen, top, left


@functools.cache
def patch_pattern(seed: int, side: int) -> Tensor:
    """A patch, uint8 ``(3, side, side)``, each value 0 or 255."""
    values = torch.rand(3, side, side, generator=torch.Generator().manual_seed(seed))
    return (values < 0.5).to(torch.uint8) * 255


@functools.lru_cache(maxsize=4)
def blend_pattern(seed: int, height: int, width: int) -> Tensor:
    """Noise, uint8 ``(3, height, width)``."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(256, (3, height, width), generator=generator, dtype=torch.uint8)


def corner(poison: Poison, height: int, width: int, index: int | None = None) -> tuple[int, int]:
    """Row and column of the patch's upper left pixel.

    Args:
        poison: Its ``trigger`` is ``patch``.
        height: Height of the image, in pixels.
        width: Width of the image, in pixels.
        index: The image's position in its split, which decides a random position of the patch.

    Raises:
        ValueError: If the patch does not fit into the image, or a random position is needed and no index given.
    """
    lowest, rightmost = (length - poison.side - poison.margin for length in (height, width))
    if min(lowest, rightmost) < poison.margin:
        raise ValueError(
            f"{KEY}.side={poison.side} with {KEY}.margin={poison.margin} is larger than images of {height} × {width} "
            "pixels: make it smaller"
        )
    if poison.position == "random":
        if index is None:
            raise ValueError(f"{KEY}.position=random has another position in every image: give the image's index")
        _, down, right = drawn(poison, index)
        spread = lowest - poison.margin + 1, rightmost - poison.margin + 1
        return poison.margin + int(down * spread[0]), poison.margin + int(right * spread[1])
    row, column = poison.position.split("_")
    return lowest if row == "bottom" else poison.margin, rightmost if column == "right" else poison.margin


def trigger_mask(poison: Poison, height: int, width: int, index: int | None = None) -> Tensor:
    """Which pixels the trigger is in: those of the patch, or all pixels for a blended pattern.

    Args:
        poison: The trigger.
        height: Height of the image, in pixels.
        width: Width of the image, in pixels.
        index: The image's position in its split; needed for a patch at a random position only.

    Returns:
        Shape ``(height, width)``, bool.

    Raises:
        ValueError: See :func:`corner`.
    """
    if poison.trigger == "blend":
        return torch.ones(height, width, dtype=torch.bool)
    top, left = corner(poison, height, width, index)
    mask = torch.zeros(height, width, dtype=torch.bool)
    mask[top : top + poison.side, left : left + poison.side] = True
    return mask


def apply_trigger(images: Tensor, poison: Poison, index: Sequence[int] | None = None) -> Tensor:
    """Images with the trigger; the argument is not changed.

    Args:
        images: uint8, or floats about in [0, 1]; shape ``(N, 3, H, W)``.
        poison: The trigger.
        index: Each image's position in its split; needed for a patch at a random position only.

    Returns:
        Images of the same shape and dtype; uint8 is rounded to the nearest value.

    Raises:
        ValueError: If the shape is another, or the patch does not fit (:func:`corner`).
    """
    if images.ndim != 4 or images.shape[1] != 3:
        raise ValueError(f"images have shape {tuple(images.shape)}; expected (N, 3, H, W)")
    height, width = images.shape[-2:]
    whole = not images.is_floating_point()
    if poison.trigger == "blend":
        pattern = blend_pattern(poison.seed, height, width).to(images.device)
        pattern = pattern.float() if whole else pattern.to(images.dtype) / 255
        mixed = (1 - poison.opacity) * images + poison.opacity * pattern
        return mixed.round().to(images.dtype) if whole else mixed
    patch = patch_pattern(poison.seed, poison.side).to(images)
    patch = patch if whole else patch / 255
    stamped = images.clone()
    numbered: list[tuple[Any, int | None]] = [(slice(None), None)]  # all images at once, in the same corner
    if poison.position == "random" and index is not None:
        numbered = list(enumerate(index))
    for number, image in numbered:
        top, left = corner(poison, height, width, image)
        stamped[number, :, top : top + poison.side, left : left + poison.side] = patch
    return stamped
