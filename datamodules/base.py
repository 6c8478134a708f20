"""The base of every source of images."""

import hashlib
from abc import abstractmethod
from pathlib import Path
from typing import Any, Literal, Protocol

import pytorch_lightning as pl
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.data import DataLoader

from datamodules.augmentation import Augmentation, paper_augmentation
from datamodules.loading import make_loader
from datamodules.sampling import Draw, EvaluationSampler, TrainingSampler
from networks.seeding import combined_seed

OnError = Literal["raise", "skip"]
CLASS = "unlabelled"  # the only class of images without labels
UNREADABLE = -1  # label of an image that could not be read; it never reaches a module
Split = Literal["train", "val", "test"]
Item = tuple[Tensor, int, int]
Batch = tuple[Tensor, Tensor, Tensor]


class ImageDataset(Protocol):
    """A split: uint8 images ``(3, H, W)`` with a label and the image's position in the split."""

    def __len__(self) -> int:
        """Number of images."""

    def label(self, index: int) -> int:
        """The label of an image, without reading it."""

    def __getitem__(self, key: Any) -> Item:
        """Image, label, index; the key is a ``Draw`` in training and an ``int`` in evaluation."""


class LabelledSplit(torch.utils.data.Dataset[Item]):
    """A split with all labels in memory; a subclass reads the images.

    Args:
        labels: Whole numbers, ``(N,)``.
    """

    def __init__(self, labels: Any) -> None:
        self.labels = labels

    def __len__(self) -> int:
        return len(self.labels)

    def label(self, index: int) -> int:
        """The label of an image, without reading it."""
        return int(self.labels[index])


class TensorSplit(LabelledSplit):
    """A split with all images in memory: a random square for a ``Draw``, the whole image for an ``int``.

    Args:
        images: uint8, shape ``(N, 3, H, W)``.
        labels: Shape ``(N,)``.
        size: Side of the random squares, in pixels.
        margin: Black pixels on each side of an image before a random square is cut out.
    """

    def __init__(self, images: Tensor, labels: Tensor, size: int, margin: int = 0) -> None:
        super().__init__(labels)
        self.images, self.size, self.margin = images, size, margin

    def __getitem__(self, key: Draw | int) -> Item:
        if not isinstance(key, Draw):
            return self.images[key], self.label(key), key
        image = F.pad(self.images[key.image], (self.margin,) * 4)
        return random_crop(image, self.size, key.seed), self.label(key.image), key.image


class ImageDataModule(pl.LightningDataModule):
    """Images for training and evaluation: batches ``(images in [0, 1], labels, index)``.

    A subclass defines the classes and the splits. ``index`` is the image's position in its split and
    keys every per-image result. Images travel as uint8 and become floats on the device.

    Args:
        batch_size: Images per step over all devices.
        seed: Decides the order and the augmentation of the training images.
        workers: Processes that load images, per rank.
        augmentation: Of training images: ``crop_flip``, or ``paper``, which adds the augmentations of the paper.

    Attributes:
        classes: Name of each class, in the order of the labels.
        smallest_side: Height or width of the images in a batch, whichever is smaller, in pixels.
        superclasses: The super-class of each class, where the data define them.
        attributes: Names of further labels of every image; if there are any, a split's ``values`` hold them, small
            integers ``(N, attributes)``.
        labelled: Whether the labels mean anything.
        single_pass: Whether no training image may be seen twice.
        consumed_batches: Batches of this rank to skip in the first epoch, because they were seen before a resumption.
    """

    classes: list[str]
    smallest_side: int
    superclasses: list[str] | None = None
    attributes: tuple[str, ...] = ()
    labelled = True
    single_pass = False
    on_error: OnError = "raise"
    consumed_batches = 0

    def __init__(self, *, batch_size: int, seed: int, workers: int, augmentation: Augmentation) -> None:
        super().__init__()
        self.batch_size, self.seed, self.workers, self.augmentation = batch_size, seed, workers, augmentation

    @abstractmethod
    def split(self, name: Split) -> ImageDataset:
        """Images of one split: augmented for ``train``, fixed for ``val`` and ``test``."""

    def showcase(self, count: int) -> dict[str, Tensor]:
        """Up to ``count`` whole images, float ``(3, H, W)`` in [0, 1], by name: for pictures, never for numbers.

        None where the test images are already whole.
        """
        return {}

    def fingerprint(self) -> str:
        """A short hash that changes when the images, their labels or their splits do."""
        digest = hashlib.sha256(repr(self.classes).encode())
        names: tuple[Split, ...] = ("train", "val", "test")
        for name in names:
            dataset = self.split(name)
            digest.update(f"{name} {len(dataset)}".encode())
            # About 64 images of each split: reading all of them would take longer than many a step
            for position in range(0, len(dataset), max(1, len(dataset) // 64)):
                image, label, _ = dataset[Draw(position, 0) if name == "train" else position]
                digest.update(bytes([label % 256]) + image.numpy().tobytes())
        return digest.hexdigest()[:16]

    def train_dataloader(self) -> DataLoader[Batch]:
        """Shuffled, augmented training images; the same number of full batches on every rank."""
        dataset = self.split("train")
        consumed = self.consumed_batches * self._batch_size_per_rank
        sampler = TrainingSampler(dataset, self.batch_size, self.seed, self._rank, self._world_size, consumed)
        if self.trainer is not None:  # Lightning does this only after loading processes have begun the epoch
            sampler.set_epoch(self.trainer.current_epoch)
        return self._loader(dataset, sampler, self._batch_size_per_rank)

    def val_dataloader(self) -> DataLoader[Batch]:
        """The validation split, each image once."""
        return self._evaluation_loader("val")

    def test_dataloader(self) -> DataLoader[Batch]:
        """The test split, each image once."""
        return self._evaluation_loader("test")

    def on_after_batch_transfer(self, batch: Batch, dataloader_idx: int) -> Batch:
        """Turn uint8 pixels into floats in [0, 1], on the device; augment them there in training.

        Images that could not be read are left out.
        """
        images, labels, index = batch
        if self.on_error == "skip":
            kept = labels != UNREADABLE
            images, labels, index = images[kept], labels[kept], index[kept]
        images = images.float() / 255  # here, not in the loading processes: uint8 is a quarter of the traffic
        if self.augmentation == "paper" and self.trainer is not None and self.trainer.training:
            # A seed for each image, which depends on the study's seed, the epoch and the image alone
            seeds = [combined_seed(self.seed, self.trainer.current_epoch, image) for image in index.tolist()]
            images = paper_augmentation(images, seeds)
        return images, labels, index

    def same_images(self, one: Split, other: Split) -> bool:
        """Whether two splits are of the same images."""
        return one == other

    def use_prepared(self) -> list[Path]:
        """Read evaluation images from the files of ``task=prepare`` if there are any; returns the folders used."""
        return []

    def unreadable(self) -> list[Path]:
        """The images that this process met, could not read and skipped."""
        return []

    def notes(self) -> list[str]:
        """What a user should know of these images, a sentence each."""
        return []

    def _evaluation_loader(self, name: Split) -> DataLoader[Batch]:
        dataset = self.split(name)
        sampler = EvaluationSampler(dataset, self._rank, self._world_size)
        return self._loader(dataset, sampler, self._evaluation_batch_size)

    def _loader(self, dataset: Any, sampler: Any, batch_size: int) -> DataLoader[Batch]:
        keep = self.workers > 0
        return make_loader(
            dataset, batch_size=batch_size, workers=self.workers, sampler=sampler, persistent_workers=keep
        )

    @property
    def _batch_size_per_rank(self) -> int:
        """Images of one forward pass in training."""
        accumulated = self.trainer.accumulate_grad_batches if self.trainer is not None else 1
        parts = self._world_size * accumulated
        per_rank, rest = divmod(self.batch_size, parts)
        if rest or per_rank < 1:
            what = f"{self._world_size} devices" + (f" × {accumulated} accumulated batches" if accumulated > 1 else "")
            raise ValueError(
                f"batch_size={self.batch_size} cannot be shared by {what}: "
                f"use a multiple of {parts} (batch sizes count all devices)"
            )
        return per_rank

    @property
    def _evaluation_batch_size(self) -> int:
        """Images of one forward pass in evaluation: an even number, so that pairs stay in one batch."""
        return max(2, (self.batch_size // self._world_size + 1) // 2 * 2)

    @property
    def _rank(self) -> int:
        return self.trainer.global_rank if self.trainer is not None else 0

    @property
    def _world_size(self) -> int:
        return self.trainer.world_size if self.trainer is not None else 1


def random_crop(image: Tensor, size: int, seed: int) -> Tensor:
    """Cut a random square out of an image ``(3, H, W)`` and mirror it half of the time; decided by ``seed``."""
    top, left, flip = torch.rand(3, generator=torch.Generator().manual_seed(seed)).tolist()
    crop = crop_at(image, int(top * (image.shape[-2] - size + 1)), int(left * (image.shape[-1] - size + 1)), size)
    return crop.flip(-1) if flip < 0.5 else crop


def crop_at(image: Tensor, top: int, left: int, size: int) -> Tensor:
    """The square of an image ``(3, H, W)`` whose corner is at ``(top, left)``."""
    return image[..., top : top + size, left : left + size]
