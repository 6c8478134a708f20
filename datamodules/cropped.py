"""The base of all sources that cut squares out of images of any size."""

from pathlib import Path
from typing import Any, get_args

import torch
from torch import Tensor
from torchvision.transforms.v2 import functional as transforms

from datamodules.base import ImageDataModule, OnError, crop_at, random_crop


class CroppedImages(ImageDataModule):
    """Images of any size, of which the networks see squares.

    An image's shorter side is resized to ``resize``; then training takes a random square of ``size`` pixels, mirrored
    half of the time, and evaluation the central one.

    Args:
        size: Height and width of the images in a batch, in pixels.
        resize: Length of an image's shorter side before cropping, in pixels; ``None`` crops images as they are.
        on_error: At an unreadable image, ``raise`` stops with its path; ``skip`` leaves it out of evaluation, and
            lists it in :meth:`unreadable`.
        cache: The folder of what is computed once, such as indexes of trees; ``None`` keeps none.
        **options: See :class:`~datamodules.base.ImageDataModule`.

    Attributes:
        upright: Whether images are read as programs show them, turned as EXIF says (``read_image``).

    Raises:
        ValueError: If an option does not fit.
    """

    upright = False

    def __init__(self, *, size: int, resize: int | None, on_error: OnError, cache: str | None, **options: Any) -> None:
        super().__init__(**options)
        if resize is not None and resize < size:
            raise ValueError(f"data.resize={resize} is smaller than data.size={size}: make it at least as large")
        if on_error not in get_args(OnError):
            raise ValueError(f"data.on_error={on_error!r} is unknown; choose from {', '.join(get_args(OnError))}")
        self.smallest_side = self.size = size
        self.resize, self.on_error = resize, on_error
        self.cache = Path(cache) if cache else None


def square(image: Tensor, name: object, size: int, resize: int | None, seed: int | None) -> Tensor:
    """The square of an image that a network sees: a random one, or the central one if there is no seed.

    Args:
        image: Shape ``(3, H, W)``.
        name: Name of the image in errors.
        size: Side of the square, in pixels.
        resize: Length of the shorter side before cropping, in pixels, or ``None``.
        seed: Decides the random square.

    Raises:
        ValueError: If the image is smaller than the square.
    """
    if resize is not None:
        image = transforms.resize(image, [resize], antialias=True)
    height, width = image.shape[-2:]
    if min(height, width) < size:
        raise ValueError(
            f"{name} is {height}×{width} pixels, smaller than data.size={size}: "
            "remove it, lower data.size, or set data.resize"
        )
    if seed is not None:
        return random_crop(image, size, seed)
    return crop_at(image, (height - size) // 2, (width - size) // 2, size)


def for_showcase(image: Tensor) -> Tensor | None:
    """A whole uint8 image ``(3, H, W)`` for pictures: floats in [0, 1], at most 512 pixels; ``None`` if too thin."""
    longer = max(image.shape[-2:])
    if longer > 512 * min(image.shape[-2:]):
        return None
    if longer > 512:
        image = transforms.resize(image, [511], max_size=512, antialias=True)
    return image.float() / 255


class Failures:
    """The images that could not be read, noted by loading processes and read by the main process.

    Args:
        images: Number of images.
        on_error: ``raise`` notes none: an unreadable image is an error.
    """

    def __init__(self, images: int, on_error: OnError) -> None:
        # In shared memory, because loading processes write it and the main process reads it
        self._failed = torch.zeros(images, dtype=torch.uint8).share_memory_() if on_error == "skip" else None

    def note(self, index: int) -> bool:
        """Note an image; returns whether it may be skipped."""
        if self._failed is None:
            return False
        self._failed[index] = 1
        return True

    def indices(self) -> list[int]:
        """The images noted so far, ascending."""
        return [] if self._failed is None else self._failed.nonzero().flatten().tolist()
