"""A set of images: those of a folder and its subfolders, or some of a split."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torchvision.transforms.v2 import functional as transforms

from datamodules.base import UNREADABLE, ImageDataset, OnError
from datamodules.image_files import EXTENSIONS, read_image
from datamodules.image_index import image_index
from datamodules.views.subset import stratified_indices


@dataclass(frozen=True)
class ImageSet:
    """Images of equal size.

    Attributes:
        pixels: uint8, shape ``(N, 3, S, S)``.
        names: Path within the folder, or index in the split, of each image.
        skipped: Files that could not be read.
    """

    pixels: Tensor
    names: Sequence[str]
    skipped: Sequence[Path] = ()

    def fingerprint(self) -> str:
        """A hash of every pixel."""
        return hashlib.sha256(self.pixels.numpy().tobytes()).hexdigest()[:16]


def folder_images(root: Path, count: int | None, size: int, on_error: OnError, cache: Path | None) -> ImageSet:
    """Images of a folder and its subfolders, spread evenly over their sorted paths: the central squares, resized.

    They are read as programs show them, turned as their EXIF orientation says.

    Args:
        root: The folder.
        count: Largest number of images; ``None``: all.
        size: Side of the squares, in pixels.
        on_error: ``raise``: a file that cannot be read is an error; ``skip``: it is left out and listed.
        cache: Folder of the index of the tree; ``None``: no index is kept.

    Raises:
        FileNotFoundError: If the folder is missing.
        ValueError: If it holds no image that can be read, or, with ``raise``, one that cannot; names it.
    """
    if not root.is_dir():
        raise FileNotFoundError(f"images={root} is not a folder; expected a folder of images")
    index = image_index(root, cache)
    number = min(count or len(index), len(index))
    # the middle of each of `number` equal parts; every position where there are no more images than wanted
    positions = ((2 * np.arange(number) + 1) * len(index) // max(1, 2 * number)).tolist()
    squares, names, skipped = [], [], []
    for position in positions:
        path = index.path(position)
        try:
            squares.append(central_square(read_image(path, as_shown=True), size))
            names.append(str(path.relative_to(index.root)))
        except ValueError as error:
            if on_error == "raise":
                raise ValueError(f"{error}; or layer_features.on_error=skip") from error
            skipped.append(path)
    if not squares:
        unread = f", and none of {len(skipped)} can be read, such as {skipped[0]}" if skipped else ""
        raise ValueError(f"images={root} holds no image ({', '.join(sorted(EXTENSIONS))}){unread}")
    return ImageSet(torch.stack(squares), names, skipped)


def split_images(split: ImageDataset, count: int | None, size: int) -> ImageSet:
    """Images of a split, spread evenly over its classes: the central squares, resized, without unreadable images.

    Args:
        split: A split for evaluation.
        count: Largest number of images; ``None``: all.
        size: Side of the squares, in pixels.
    """
    samples = {index: split[index] for index in stratified_indices(split, count)}
    kept = {index: image for index, (image, label, _) in samples.items() if label != UNREADABLE}
    if not kept:
        raise ValueError("none of the study's images can be read: correct data.root")
    return ImageSet(torch.stack([central_square(image, size) for image in kept.values()]), list(map(str, kept)))


def central_square(image: Tensor, size: int) -> Tensor:
    """The largest square in the middle of an image ``(3, H, W)``, resized to ``(3, size, size)``."""
    side = min(image.shape[-2:])
    square = transforms.center_crop(image, [side, side])
    return square if side == size else transforms.resize(square, [size, size], antialias=True)
