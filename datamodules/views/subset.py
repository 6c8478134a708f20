"""Some of the images of a split, spread evenly over the classes, for measurements that are too slow on all."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from datamodules.base import UNREADABLE, ImageDataModule, ImageDataset, Item, LabelledSplit, Split
from datamodules.sampling import Draw
from datamodules.views.wrapped import WrappedImages
from networks.seeding import combined_seed

NONE_READ = "none of the study's images can be read: correct data.root"


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


def spread_images(split: ImageDataset, count: int) -> Tensor:
    """At most ``count`` images of an evaluation split, spread over it: ``(N, 3, H, W)`` in [0, 1].

    Raises:
        ValueError: If none of them can be read.
    """
    step = max(1, len(split) // count)
    items = (split[index] for index in range(0, len(split), step)[:count])
    images = [image for image, label, _ in items if label != UNREADABLE]
    if not images:
        raise ValueError(NONE_READ)
    return torch.stack(images).float() / 255


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


class ImagesInMemory(WrappedImages):
    """Other images with a training split of a few images, which are read once and kept.

    Args:
        images: All images.
        chosen: Positions of the chosen images in their split, ascending; each image keeps its index. Those that cannot
            be read are left out, if the data say so.
        source: The split that they come from; of ``train``, each image is cropped once, which depends on ``seed`` and
            its index.
        batch_size: Images of a step, over all devices.
        seed: Of the order of the images.

    Attributes:
        pixels: uint8, ``(K, 3, H, W)``.
        index: Their positions in the split, ascending, ``(K,)``.
    """

    def __init__(
        self, images: ImageDataModule, chosen: Sequence[int], source: Split, *, batch_size: int, seed: int
    ) -> None:
        super().__init__(images)
        self.batch_size, self.seed, self.workers, self.augmentation = batch_size, seed, 0, "crop_flip"
        split = images.split(source)
        drawn = (split[Draw(at, combined_seed(images.seed, at)) if source == "train" else at] for at in chosen)
        read = [item for item in drawn if item[1] != UNREADABLE]
        if not read:
            raise ValueError(NONE_READ)
        pixels, labels, index = zip(*read, strict=True)
        self.pixels, self.labels, self.index = torch.stack(pixels), torch.tensor(labels), torch.tensor(index)

    def split(self, name: Split) -> ImageDataset:
        """The images in memory for ``train``; the other splits are those of the data."""
        return MemorySplit(self.pixels, self.labels, self.index) if name == "train" else self.images.split(name)


class MemorySplit(LabelledSplit):
    """See :class:`ImagesInMemory`."""

    def __init__(self, pixels: Tensor, labels: Tensor, index: Tensor) -> None:
        super().__init__(labels)
        self.pixels, self.index = pixels, index

    def __getitem__(self, key: Draw) -> Item:
        return self.pixels[key.image], self.label(key.image), int(self.index[key.image])
