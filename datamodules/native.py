"""Original images with the preprocessing of one network's published evaluation, straight from the files."""

import torch
from torch import Tensor

from datamodules.base import UNREADABLE, Split
from datamodules.folder import ImageFolder
from datamodules.folder_split import FolderSplit
from datamodules.wrapped import WrappedImages
from networks.classifier import Preprocessing


class NativeView(WrappedImages):
    """The images of a folder, resized and cropped by PIL as a network's published evaluation does it.

    Args:
        images: The images of the folder.
        preprocessing: The network's preprocessing; its ``size`` must be set.
    """

    images: ImageFolder

    def __init__(self, images: ImageFolder, preprocessing: Preprocessing) -> None:
        super().__init__(images)
        self.preprocessing = preprocessing

    @property
    def smallest_side(self) -> int:
        """Side of the square images in a batch, in pixels."""
        return self.preprocessing.size or self.images.smallest_side

    def split(self, name: Split) -> "NativeSplit":
        """A split, never augmented."""
        return NativeSplit(self.images.split(name), self.preprocessing, self.smallest_side)


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
