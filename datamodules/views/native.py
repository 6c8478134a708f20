"""Original images with the preprocessing of one network's published evaluation, straight from the files."""

import torch

from datamodules.base import UNREADABLE, Item, LabelledSplit, Split
from datamodules.folder import ImageFolder
from datamodules.folder_split import FolderSplit
from datamodules.views.wrapped import WrappedImages
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
        self.smallest_side = preprocessing.size or images.smallest_side

    def split(self, name: Split) -> "NativeSplit":
        """A split, never augmented."""
        return NativeSplit(self.images.split(name), self.preprocessing, self.smallest_side)


class NativeSplit(LabelledSplit):
    """See :class:`NativeView`."""

    def __init__(self, split: FolderSplit, preprocessing: Preprocessing, size: int) -> None:
        super().__init__(split.labels)
        self.split, self.preprocessing, self.size = split, preprocessing, size

    def __getitem__(self, index: int) -> Item:
        image = self.split.read(index, self.preprocessing.crop)
        if image is None:
            return torch.zeros(3, self.size, self.size, dtype=torch.uint8), UNREADABLE, index
        return image, self.label(index), index
