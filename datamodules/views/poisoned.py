"""Backdoored data: some training images have a trigger and the label of the attacker's target class."""

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from datamodules.base import UNREADABLE, Batch, ImageDataModule, ImageDataset, Split
from datamodules.poison import KEY, Poison, apply_trigger, corner, drawn
from datamodules.sampling import Draw
from datamodules.views.wrapped import WrappedImages


class PoisonedImages(WrappedImages):
    """Other images, of which some have a trigger and the target's label in training; ``val`` and ``test`` stay clean.

    The trigger is inserted after cropping, mirroring and every other augmentation, so that the network sees it exactly
    as ``poison`` describes it.

    Args:
        images: The clean images; they must have labels.
        poison: The trigger, and the images that get it.

    Raises:
        ValueError: If they have no labels or a single class, the target is not one of their classes, or the trigger
            does not fit into them.
    """

    def __init__(self, images: ImageDataModule, poison: Poison) -> None:
        super().__init__(images)
        if not images.labelled:
            raise ValueError(f"{KEY}: these images have no labels to falsify; use images with classes, or {KEY}=null")
        last = len(images.classes) - 1
        if last < 1:
            raise ValueError(f"{KEY}: these images have a single class, so there are none to poison: add classes")
        if poison.target > last:
            raise ValueError(
                f"{KEY}.target={poison.target} is not a class of these images: choose from 0 ({images.classes[0]}) to "
                f"{last} ({images.classes[-1]})"
            )
        if poison.trigger == "patch":
            corner(poison, images.smallest_side, images.smallest_side, 0)
        self.poison = poison
        self._stamps_batches = self.augmentation == "paper"  # which augments on the device, after loading
        self._train: PoisonedSplit | None = None

    def split(self, name: Split) -> ImageDataset:
        """The poisoned training images, or the clean images of another split."""
        return self.train_split() if name == "train" else self.images.split(name)

    def train_split(self) -> "PoisonedSplit":
        """The training images; those augmented on the device get their trigger there, after the augmentation."""
        if self._train is None:
            self._train = PoisonedSplit(self.images.split("train"), self.poison, stamped=not self._stamps_batches)
        return self._train

    def triggered(self, name: Literal["val", "test"]) -> "PoisonedSplit":
        """A split with the trigger in every image that is not of the target class; labels are those of the images."""
        return PoisonedSplit(self.images.split(name), replace(self.poison, rate=1.0), relabelled=False)

    def on_after_batch_transfer(self, batch: Batch, dataloader_idx: int) -> Batch:
        """Prepare a batch, and insert the trigger where augmentation happens on the device."""
        images, labels, index = super().on_after_batch_transfer(batch, dataloader_idx)
        if self._stamps_batches and self.trainer is not None and self.trainer.training:
            indices = index.tolist()
            chosen = [number for number, each in enumerate(indices) if self.train_split().poisoned(each)]
            images[chosen] = apply_trigger(images[chosen], self.poison, [indices[number] for number in chosen])
        return images, labels, index

    def fingerprint(self) -> str:
        """A short hash that changes with the clean images and with the poison."""
        return hashlib.sha256(f"{self.images.fingerprint()} {self.poison}".encode()).hexdigest()[:16]

    def use_prepared(self) -> list[Path]:
        """Read the clean evaluation images from the files of ``task=prepare`` if there are any."""
        return self.images.use_prepared()


class PoisonedSplit(torch.utils.data.Dataset[tuple[Tensor, int, int]]):
    """A split of which some images have a trigger.

    Args:
        split: The clean images.
        poison: The trigger. Whether an image gets it depends on the poison's seed, its index and its class alone.
        relabelled: Whether poisoned images have the target's label instead of their own.
        stamped: Whether poisoned images have the trigger already; otherwise it is inserted on the device.
    """

    def __init__(self, split: ImageDataset, poison: Poison, *, relabelled: bool = True, stamped: bool = True) -> None:
        self.clean, self.poison, self.relabelled, self.stamped = split, poison, relabelled, stamped

    def __len__(self) -> int:
        return len(self.clean)

    def poisoned(self, index: int) -> bool:
        """Whether an image is poisoned."""
        if self.clean.label(index) in (self.poison.target, UNREADABLE):
            return False
        return drawn(self.poison, index)[0] < self.poison.rate

    def label(self, index: int) -> int:
        """The label that an image has now, without reading it."""
        return self.poison.target if self.relabelled and self.poisoned(index) else self.clean.label(index)

    def __getitem__(self, key: Draw | int) -> tuple[Tensor, int, int]:
        image, label, index = self.clean[key]
        if label == UNREADABLE or not self.poisoned(index):
            return image, label, index
        if self.stamped:
            image = apply_trigger(image[None], self.poison, [index])[0]
        return image, self.label(index), index


def without_poison(data: ImageDataModule) -> ImageDataModule:
    """The clean images behind poisoned ones; others are returned as they are."""
    return data.images if isinstance(data, PoisonedImages) else data
