"""The images of one split of a folder tree."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torchvision.transforms.v2 import functional as transforms

from datamodules.base import UNREADABLE, OnError, crop_at, random_crop
from datamodules.image_files import read_image
from datamodules.image_index import ImageIndex
from datamodules.prepared import PreparedImages
from datamodules.sampling import Draw


class FolderSplit(torch.utils.data.Dataset[tuple[Tensor, int, int]]):
    """Images, read from their files one at a time: a random square for a ``Draw``, the central one for an ``int``.

    Args:
        index: The images of a tree.
        positions: Positions in ``index`` of the images of this split, in its order.
        labels: The label of each image of the split.
        size: Side of the squares, in pixels.
        resize: Length of the shorter side before cropping, in pixels, or ``None``.
        on_error: See :class:`~datamodules.folder.ImageFolder`.
    """

    def __init__(
        self,
        index: ImageIndex,
        positions: np.ndarray,
        labels: np.ndarray,
        size: int,
        resize: int | None,
        on_error: OnError,
    ) -> None:
        self.index, self.positions, self.labels = index, positions, labels
        self.size, self.resize = size, resize
        self.prepared: PreparedImages | None = None
        # In shared memory, because loading processes write it and the main process reads it
        self._failed = torch.zeros(len(positions), dtype=torch.uint8).share_memory_() if on_error == "skip" else None

    def __len__(self) -> int:
        return len(self.positions)

    def __getitem__(self, key: Draw | int) -> tuple[Tensor, int, int]:
        if isinstance(key, Draw):
            return self._training_image(key)
        if self.prepared is not None:
            image = self.prepared.read(key)
            if image is None and self._failed is not None:
                self._failed[key] = 1
        else:
            image = self._read(key)
            if image is not None:
                height, width = image.shape[-2:]
                image = crop_at(image, (height - self.size) // 2, (width - self.size) // 2, self.size)
        if image is None:
            return torch.zeros(3, self.size, self.size, dtype=torch.uint8), UNREADABLE, key
        return image, int(self.labels[key]), key

    def label(self, index: int) -> int:
        """The label of an image, without reading it."""
        return int(self.labels[index])

    def path(self, position: int) -> Path:
        """The file of an image."""
        return self.index.path(int(self.positions[position]))

    def unreadable(self) -> list[Path]:
        """The images that could not be read so far."""
        return [] if self._failed is None else [self.path(index) for index in self._failed.nonzero().flatten().tolist()]

    def _training_image(self, draw: Draw) -> tuple[Tensor, int, int]:
        """A random square of an image, or of the next one that can be read."""
        for step in range(len(self)):
            position = (draw.image + step) % len(self)
            image = self._read(position)
            if image is not None:
                return random_crop(image, self.size, draw.seed), int(self.labels[position]), position
        raise ValueError("no training image can be read: data.on_error=skip has skipped them all")

    def read(self, position: int, view: Callable[[Any], Any] | None = None) -> Tensor | None:
        """A whole image, uint8 ``(3, H, W)``; ``None`` if it cannot be read and may be skipped.

        Args:
            position: Its position in the split.
            view: What is done to the PIL image first.
        """
        try:
            return read_image(self.path(position), view=view)
        except ValueError as error:
            if self._failed is None:
                raise ValueError(f"{error}; or data.on_error=skip") from error
            self._failed[position] = 1
            return None

    def _read(self, position: int) -> Tensor | None:
        """An image resized as wanted, or ``None``."""
        image = self.read(position)
        if image is None or self.resize is None:
            resized = image
        else:
            resized = transforms.resize(image, [self.resize], antialias=True)
        if resized is not None and min(resized.shape[-2:]) < self.size:
            height, width = resized.shape[-2:]
            raise ValueError(
                f"{self.path(position)} is {height}×{width} pixels, smaller than data.size={self.size}: "
                "remove it, lower data.size, or set data.resize"
            )
        return resized
