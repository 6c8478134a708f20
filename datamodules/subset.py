"""A few of the test images, spread evenly over the classes: for what is too dear to measure on all of them."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from datamodules.base import ImageDataModule, ImageDataset, Split


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
    places = (2 * np.arange(count) + 1) * size // (2 * count)  # the middles of equal parts
    return sorted(by_class[places].tolist())


class ImageSubset(ImageDataModule):
    """Other images, of which only some are tested; each keeps its index.

    Args:
        images: All of them.
        chosen: Positions, ascending.
        source: The split that they are chosen of, and that is ``test`` here.
    """

    def __init__(self, images: ImageDataModule, chosen: Sequence[int], source: Split = "test") -> None:
        super().__init__(images.batch_size, images.seed, images.workers)
        self.images, self.chosen, self.source = images, list(chosen), source
        self.classes, self.on_error, self.labelled = images.classes, images.on_error, images.labelled
        self.superclasses, self.attributes = images.superclasses, images.attributes

    @property
    def smallest_side(self) -> int:
        """That of all images."""
        return self.images.smallest_side

    def split(self, name: Split) -> ImageDataset:
        """The chosen images for ``test``, all of them else."""
        return ChosenSplit(self.images.split(self.source), self.chosen) if name == "test" else self.images.split(name)

    def showcase(self, count: int) -> dict[str, Tensor]:
        """Those of all images."""
        return self.images.showcase(count)

    def unreadable(self) -> list[Path]:
        """The images that this process met and could not read."""
        return self.images.unreadable()


class ChosenSplit(torch.utils.data.Dataset[tuple[Tensor, int, int]]):
    """See :class:`ImageSubset`."""

    def __init__(self, split: ImageDataset, chosen: Sequence[int]) -> None:
        self.all, self.chosen = split, list(chosen)

    def __len__(self) -> int:
        return len(self.chosen)

    def label(self, index: int) -> int:
        """The label of an image, without reading it."""
        return self.all.label(self.chosen[index])

    @property
    def values(self) -> Tensor:
        """What is known of the images beside their labels, where it is."""
        known: Tensor = self.all.values[self.chosen]  # type: ignore[attr-defined]
        return known

    def __getitem__(self, index: int) -> tuple[Tensor, int, int]:
        return self.all[self.chosen[index]]
