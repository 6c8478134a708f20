"""Original images as one network's authors evaluated it: resized from the file at once, not over the study's size."""

from pathlib import Path

import torch
from torch import Tensor

from datamodules.base import UNREADABLE, ImageDataModule, Split
from datamodules.folder import ImageFolder
from datamodules.folder_split import FolderSplit
from networks.classifier import Preprocessing


class NativeView(ImageDataModule):
    """The images of a folder, resized and cropped by PIL as a network's published evaluation does it.

    Args:
        images: The folder.
        preprocessing: What the network wants; its ``size`` must be set.
    """

    def __init__(self, images: ImageFolder, preprocessing: Preprocessing) -> None:
        super().__init__(images.batch_size, images.seed, images.workers)
        self.images, self.preprocessing = images, preprocessing
        self.classes, self.on_error = images.classes, images.on_error

    @property
    def smallest_side(self) -> int:
        """Side of the square images in a batch, in pixels."""
        return self.preprocessing.size or self.images.smallest_side

    def split(self, name: Split) -> "NativeSplit":
        """A split, never augmented."""
        return NativeSplit(self.images.split(name), self.preprocessing, self.smallest_side)

    def showcase(self, count: int) -> dict[str, Tensor]:
        """The folder's own."""
        return self.images.showcase(count)

    def unreadable(self) -> list[Path]:
        """The images that this process met and could not read."""
        return self.images.unreadable()


class NativeSplit(torch.utils.data.Dataset[tuple[Tensor, int, int]]):
    """See :class:`NativeView`."""

    def __init__(self, split: FolderSplit, preprocessing: Preprocessing, size: int) -> None:
        self.split, self.preprocessing, self.size = split, preprocessing, size

    def __len__(self) -> int:
        return len(self.split)

    def label(self, index: int) -> int:
        """The label of an image, without reading it."""
        return self.split.label(index)

    def __getitem__(self, index: int) -> tuple[Tensor, int, int]:
        image = self.split.read(index, self.preprocessing.crop)
        if image is None:
            return torch.zeros(3, self.size, self.size, dtype=torch.uint8), UNREADABLE, index
        return image, self.label(index), index
