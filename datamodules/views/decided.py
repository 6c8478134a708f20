"""Images whose labels are the decisions of a classifier: what it predicts on the original images."""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from datamodules.base import UNREADABLE, ImageDataModule, ImageDataset, Item, LabelledSplit, Split
from datamodules.sampling import Draw
from datamodules.views.wrapped import WrappedImages

UNDECIDED = -2  # label of an image whose decision was not made; no loss accepts it


class ConfidentImages(WrappedImages):
    """Other images without those of ``val`` and ``test`` on which a network only guesses.

    An image's index is its position among those that are kept.

    Args:
        images: All images.
        kept: For ``val`` and ``test``, the positions of the images that are kept, ascending.

    Raises:
        ValueError: If fewer than two images of a split are left.
    """

    def __init__(self, images: ImageDataModule, kept: Mapping[Split, Sequence[int]]) -> None:
        super().__init__(images)
        self.attributes = images.attributes
        for name, positions in kept.items():
            if len(positions) < 2:
                raise ValueError(
                    f"labels.least_confidence leaves {len(positions)} of {len(images.split(name))} images of {name}: "
                    "lower it"
                )
        self._splits = {name: KeptSplit(images.split(name), positions) for name, positions in kept.items()}

    def split(self, name: Split) -> ImageDataset:
        """The images that are kept; all for ``train``."""
        return self._splits[name] if name in self._splits else self.images.split(name)

    def fingerprint(self) -> str:
        """A short hash that changes with the images and with which are kept."""
        kept = {name: split.kept.tolist() for name, split in self._splits.items()}
        return hashlib.sha256(f"{self.images.fingerprint()} {kept}".encode()).hexdigest()[:16]


class KeptSplit(LabelledSplit):
    """See :class:`ConfidentImages`."""

    def __init__(self, split: ImageDataset, kept: Sequence[int]) -> None:
        super().__init__([split.label(index) for index in kept])
        self.all, self.kept = split, np.asarray(kept, dtype=np.int64)

    @property
    def values(self) -> Tensor:
        """The images' further labels, where the data have ``attributes``."""
        return self.all.values[self.kept]  # type: ignore[attr-defined]

    def __getitem__(self, index: int) -> Item:
        image, label, _ = self.all[int(self.kept[index])]
        return image, label, index


class DecidedImages(WrappedImages):
    """Other images, each with the class that a classifier predicts on it as its label.

    A training image is cropped anew each time it is drawn; its label is the decision on one fixed crop. What trains on
    decisions asks the classifier about the very crop instead
    (:class:`~lightning_modules.signal_autoencoder.SignalAutoencoder`).

    Args:
        images: The images; labels that they have are replaced.
        classes: Name of each class of the classifier.
        decisions: For a split its decisions, whole numbers ``(N,)``; -1 where an image could not be read. A split
            without decisions has the label -2, which no loss accepts.
    """

    def __init__(
        self, images: ImageDataModule, classes: Sequence[str], decisions: Mapping[Split, npt.NDArray[np.int64]]
    ) -> None:
        super().__init__(images)
        self.classes, self.superclasses, self.labelled = list(classes), None, True
        self.attributes, self.decisions = images.attributes, dict(decisions)

    def split(self, name: Split) -> "DecidedSplit":
        """A split with decisions as labels."""
        images = self.images.split(name)
        decisions = self.decisions.get(name)
        return DecidedSplit(images, np.full(len(images), UNDECIDED) if decisions is None else decisions)

    def fingerprint(self) -> str:
        """A short hash that changes with the images and with the decisions on those of ``val`` and ``test``."""
        digest = hashlib.sha256(f"{self.images.fingerprint()} {self.classes}".encode())
        for name in ("val", "test"):
            digest.update(np.ascontiguousarray(self.decisions[name], dtype=np.int64).tobytes())
        return digest.hexdigest()[:16]

    def same_images(self, one: Split, other: Split) -> bool:
        """Whether two splits are of the same images."""
        return self.images.same_images(one, other)


class DecidedSplit(LabelledSplit):
    """See :class:`DecidedImages`."""

    def __init__(self, split: ImageDataset, decisions: npt.NDArray[np.int64]) -> None:
        super().__init__(decisions)
        if len(split) != len(decisions):
            raise ValueError(f"{len(decisions)} decisions on {len(split)} images")
        self.all = split

    @property
    def values(self) -> Tensor:
        """The images' further labels, where the data have ``attributes``."""
        return self.all.values  # type: ignore[attr-defined]

    def __getitem__(self, key: Draw | int) -> Item:
        image, label, index = self.all[key]
        return image, label if label == UNREADABLE else self.label(index), index

    def __getattr__(self, name: str) -> Any:
        if name in ("path", "group"):  # of splits that have files, or independent units
            return getattr(self.all, name)
        raise AttributeError(name)


class OriginalImages(WrappedImages):
    """Other images, of which ``test`` is any split; each training image is one crop, decided by its index alone.

    Args:
        images: The images.
        source: The split.
    """

    def __init__(self, images: ImageDataModule, source: Split) -> None:
        super().__init__(images)
        self.source = source

    def split(self, name: Split) -> ImageDataset:
        """The images of the split."""
        split = self.images.split(self.source)
        return FixedCrops(split) if self.source == "train" else split


class FixedCrops(torch.utils.data.Dataset[Item]):
    """Training images, each cropped always alike."""

    def __init__(self, split: ImageDataset) -> None:
        self.all = split

    def __len__(self) -> int:
        return len(self.all)

    def label(self, index: int) -> int:
        """The label of an image, without reading it."""
        return self.all.label(index)

    def __getitem__(self, index: int) -> Item:
        image, label, drawn = self.all[Draw(index, 0)]
        return image, label if drawn == index else UNREADABLE, index  # another image stands for one that is unreadable
