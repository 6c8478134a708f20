"""The images of one split of a folder tree."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from datamodules.base import UNREADABLE, Item, LabelledSplit
from datamodules.cropped import CroppedImages, Failures, square
from datamodules.image_files import read_image
from datamodules.image_index import ImageIndex
from datamodules.prepared import PreparedImages
from datamodules.sampling import Draw


class FolderSplit(LabelledSplit):
    """Images, read from their files one at a time: a random square for a ``Draw``, the central one for an ``int``.

    Args:
        index: The images of a tree.
        positions: Positions in ``index`` of the images of this split, in its order.
        labels: The label of each image of the split.
        data: Decides the size of the squares, whether images are turned, and what happens at an unreadable image.
    """

    def __init__(self, index: ImageIndex, positions: np.ndarray, labels: np.ndarray, data: CroppedImages) -> None:
        super().__init__(labels)
        self.index, self.positions = index, positions
        self.size, self.resize, self.upright = data.size, data.resize, data.upright
        self.prepared: PreparedImages | None = None
        self._failures = Failures(len(positions), data.on_error)

    def __getitem__(self, key: Draw | int) -> Item:
        if isinstance(key, Draw):
            return self._training_image(key)
        if self.prepared is None:
            image = self._square(key)
        else:
            image = self.prepared.read(key)
            if image is None:
                self._failures.note(key)
        if image is None:
            return torch.zeros(3, self.size, self.size, dtype=torch.uint8), UNREADABLE, key
        return image, self.label(key), key

    def path(self, position: int) -> Path:
        """The file of an image."""
        return self.index.path(int(self.positions[position]))

    def unreadable(self) -> list[Path]:
        """The images that could not be read so far."""
        return [self.path(position) for position in self._failures.indices()]

    def read(self, position: int, view: Callable[[Any], Any] | None = None) -> Tensor | None:
        """A whole image, uint8 ``(3, H, W)``; ``None`` if it cannot be read and may be skipped.

        Args:
            position: Its position in the split.
            view: What is done to the PIL image first.
        """
        try:
            return read_image(self.path(position), view=view, as_shown=self.upright)
        except ValueError as error:
            if self._failures.note(position):
                return None
            raise ValueError(f"{error}; or data.on_error=skip") from error

    def _training_image(self, draw: Draw) -> Item:
        """A random square of an image, or of the next one that can be read."""
        for step in range(len(self)):
            position = (draw.image + step) % len(self)
            image = self._square(position, draw.seed)
            if image is not None:
                return image, self.label(position), position
        raise ValueError("no training image can be read: data.on_error=skip has skipped them all")

    def _square(self, position: int, seed: int | None = None) -> Tensor | None:
        """The square of an image; ``None`` if it cannot be read and may be skipped."""
        image = self.read(position)
        return None if image is None else square(image, self.path(position), self.size, self.resize, seed)
