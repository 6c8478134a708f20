"""Some of the images of a split, spread evenly over the classes, for measurements that are too slow on all."""

from collections.abc import Sequence

import numpy as np
from torch import Tensor

from datamodules.base import ImageDataModule, ImageDataset, Item, LabelledSplit, Split
from datamodules.sampling import Draw
from datamodules.wrapped import WrappedImages


def stratified_indices(split: ImageDataset, count: int | None) -> list[int]:
    """Positions of ``count`` images of a split, ascending: each class has its share, spread over its images.

    Args:
        split: The images.
        count: How many; all of them if ``None`` or larger than the split.

    Raises:
        ValueError: If ``count`` is below 1 or the split is empty.
    """
    size = len(split)
    if size == 0 or (count is not None and count < 1):
        raise ValueError(f"{count} of {size} images: expected at least one")
    if count is None or count >= size:
        return list(range(size))
    by_class = np.argsort([split.label(position) for position in range(size)], kind="stable")
    middles = (2 * np.arange(count) + 1) * size // (2 * count)  # of ``count`` equal parts
    return sorted(by_class[middles].tolist())


class ImageSubset(WrappedImages):
    """Other images with a smaller test split; each image keeps its index.

    Args:
        images: All images.
        chosen: Positions of the chosen images in their split, ascending.
        source: The split that they come from.
    """

    def __init__(self, images: ImageDataModule, chosen: Sequence[int], source: Split = "test") -> None:
        super().__init__(images)
        self.chosen, self.source, self.attributes = list(chosen), source, images.attributes

    def split(self, name: Split) -> ImageDataset:
        """The chosen images for ``test``; the other splits are complete."""
        return ChosenSplit(self.images.split(self.source), self.chosen) if name == "test" else self.images.split(name)


class ChosenSplit(LabelledSplit):
    """See :class:`ImageSubset`."""

    def __init__(self, split: ImageDataset, chosen: Sequence[int]) -> None:
        super().__init__([split.label(index) for index in chosen])
        self.all, self.chosen = split, list(chosen)

    @property
    def values(self) -> Tensor:
        """The images' further labels, where the data have ``attributes``."""
        return self.all.values[self.chosen]  # type: ignore[attr-defined]

    def __getitem__(self, index: int) -> Item:
        return self.all[self.chosen[index]]


class TrainingSubset(WrappedImages):
    """Other images with a smaller training split, in batches of a size and an order of their own.

    Args:
        images: All images.
        chosen: Positions of the chosen images in their split, ascending; each image keeps its index.
        source: The split that they come from; of ``train``, the images are cropped anew in each epoch.
        batch_size: Images of a step, over all devices.
        seed: Of the order, and of the crops.
    """

    def __init__(
        self, images: ImageDataModule, chosen: Sequence[int], source: Split, *, batch_size: int, seed: int
    ) -> None:
        super().__init__(images)
        self.chosen, self.source, self.batch_size, self.seed = list(chosen), source, batch_size, seed
        self.augmentation = "crop_flip"

    def split(self, name: Split) -> ImageDataset:
        """The chosen images for ``train``; the other splits are complete."""
        if name != "train":
            return self.images.split(name)
        return DrawnSplit(self.images.split(self.source), self.chosen, self.source)


class DrawnSplit(ChosenSplit):
    """See :class:`TrainingSubset`."""

    def __init__(self, split: ImageDataset, chosen: Sequence[int], source: Split) -> None:
        super().__init__(split, chosen)
        self.source = source

    def __getitem__(self, key: Draw) -> Item:  # type: ignore[override]
        index = self.chosen[key.image]
        return self.all[Draw(index, key.seed) if self.source == "train" else index]
