"""Drawn images of any size and number, for tests; classes differ in colour and stripes."""

from typing import Any

import torch
from torch import Tensor

from datamodules.base import ImageDataModule, Item, LabelledSplit, Split
from datamodules.sampling import Draw

FIRST_SEED = {"train": 0, "val": 1_000_000, "test": 2_000_000}


class FakeImages(ImageDataModule):
    """Images that a small network can learn in seconds, made from the index alone.

    Args:
        class_count: Number of classes.
        size: Height and width, in pixels.
        images: Number of images in each split.
        **options: See :class:`~datamodules.base.ImageDataModule`.
    """

    def __init__(self, *, class_count: int, size: int, images: int, **options: Any) -> None:
        super().__init__(**options)
        self.classes = [f"class_{label}" for label in range(class_count)]
        self.smallest_side = self.size = size
        self.images = images

    def split(self, name: Split) -> "FakeSplit":
        """Images that no other split holds."""
        return FakeSplit(len(self.classes), self.size, self.images, FIRST_SEED[name])

    def showcase(self, count: int) -> dict[str, Tensor]:
        """The first test images, at twice the size."""
        dataset = FakeSplit(len(self.classes), 2 * self.size, self.images, FIRST_SEED["test"])
        return {f"fake_{index}": dataset[index][0].float() / 255 for index in range(min(count, len(dataset)))}


class FakeSplit(LabelledSplit):
    """One split of :class:`FakeImages`; images are drawn when they are read."""

    def __init__(self, class_count: int, size: int, images: int, first_seed: int) -> None:
        super().__init__(torch.arange(images) % class_count)
        self.size, self.first_seed = size, first_seed

    def __getitem__(self, key: Draw | int) -> Item:
        index = key.image if isinstance(key, Draw) else key
        generator = torch.Generator().manual_seed(self.first_seed + index)
        label = self.label(index)
        noise = 0.15 * torch.rand(3, self.size, self.size, generator=generator)
        phase = float(torch.rand(1, generator=generator)) * 6.28
        stripes = 0.5 + 0.5 * torch.sin(torch.arange(self.size) * (label + 1) * 6.28 / self.size + phase)
        colour = torch.tensor([0.3 + 0.5 * ((label + channel) % 3 == 0) for channel in range(3)])
        image = colour[:, None, None] * (0.4 + 0.6 * stripes) + noise
        return (image.clamp(0, 1) * 255).to(torch.uint8), label, index
