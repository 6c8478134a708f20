"""The images that patterns are searched on, and the canvases that patterns are cut out of."""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pytorch_lightning as pl
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Sampler

from datamodules.base import UNREADABLE, Batch, ImageDataModule, ImageDataset, Split
from datamodules.loading import make_loader
from datamodules.sampling import Draw, TrainingSampler
from methods.class_patterns.patterns import Array
from networks.seeding import seeded_generator

NO_IMAGE = -1  # the source of a canvas of noise


class SearchImages(pl.LightningDataModule):
    """Some images of a split, for a search that divides its patterns, not its images, among the ranks.

    Every rank gets the same batches ``(images in [0, 1], labels, index)``, in an order that depends only on the seed
    and the epoch. As in training, a partial last batch is left out; each epoch leaves out other images. With
    ``targets``, a batch has a fourth part: the classes that see each image; see :class:`ClassBatches`.

    Args:
        images: All images.
        name: Their split.
        chosen: Indices of the search images in it.
        batch_size: Images of a step.
        seed: Seed of the order.
        targets: Classes that have batches of their own, without images of the class; ``None``: one batch for all.

    Attributes:
        consumed_batches: Batches of the present epoch that were seen before an interruption.
    """

    consumed_batches = 0

    def __init__(
        self,
        images: ImageDataModule,
        name: Split,
        chosen: Sequence[int],
        batch_size: int,
        seed: int,
        targets: Sequence[int] | None,
    ) -> None:
        super().__init__()
        self.images, self.source, self.chosen = images, name, list(chosen)
        self.batch_size, self.seed, self.targets = batch_size, seed, targets

    def train_dataloader(self) -> DataLoader[Batch]:
        """The chosen images, shuffled."""
        split = self.images.split(self.source)
        dataset, shared = SearchSplit(split, self.source, self.chosen), self.targets is None
        # class batches draw from a pass over all images, one by one, and leave out the consumed steps themselves
        batch_size, consumed = (self.batch_size, self.consumed_batches * self.batch_size) if shared else (1, 0)
        sampler = TrainingSampler(dataset, batch_size, self.seed, consumed=consumed)
        if self.trainer is not None:
            sampler.set_epoch(self.trainer.current_epoch)
        options: dict[str, Any] = {"sampler": sampler}
        if self.targets is not None:
            labels = torch.tensor([split.label(index) for index in self.chosen])
            classes, steps = len(self.images.classes), self.consumed_batches
            batches = ClassBatches(sampler, labels, self.targets, classes, self.batch_size, steps)
            options = {"batch_sampler": batches}
        workers = self.images.workers
        return make_loader(dataset, batch_size=batch_size, workers=workers, persistent_workers=workers > 0, **options)

    def on_after_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:
        """Turn uint8 pixels into floats in [0, 1]; leave out images that could not be read."""
        images, labels, index, *rest = batch
        kept = labels != UNREADABLE
        decoded = self.images.on_after_batch_transfer((images, labels, index), dataloader_idx)
        return *decoded, *(part[kept] if self.images.on_error == "skip" else part for part in rest)


class Member(NamedTuple):
    """A search image of a step, and the classes that see it, boolean ``(classes,)``."""

    draw: Draw
    classes: Tensor


@dataclass(eq=False)
class SearchSplit(torch.utils.data.Dataset[tuple[Any, ...]]):
    """See :class:`SearchImages`."""

    split: ImageDataset
    name: Split
    chosen: list[int]

    def __len__(self) -> int:
        return len(self.chosen)

    def __getitem__(self, key: Draw | Member) -> tuple[Any, ...]:
        draw = key.draw if isinstance(key, Member) else key
        image = read(self.split, self.name, self.chosen[draw.image], draw.seed)
        return (*image, key.classes) if isinstance(key, Member) else image


@dataclass(eq=False)
class ClassBatches(Sampler[list[Member]]):
    """A batch for every class: the shuffled images without those of the class, ``batch_size`` at a time.

    A step loads each image once that is in the batch of some class. The last batch of a class may be partial; a class
    with many images has fewer batches than others, and none in the last steps.

    Args:
        sampler: The order of all images.
        labels: The label of each image, ``(N,)``.
        targets: The classes that have batches.
        classes: Number of all classes.
        batch_size: Images of a batch.
        consumed: Steps of the first pass to leave out.
    """

    sampler: TrainingSampler
    labels: Tensor
    targets: Sequence[int]
    classes: int
    batch_size: int
    consumed: int

    def __len__(self) -> int:
        most = max(int((self.labels != target).sum()) for target in self.targets)
        return -(-most // self.batch_size)

    def __iter__(self) -> Iterator[list[Member]]:
        order = list(self.sampler)
        labels = self.labels[[draw.image for draw in order]]
        others = {target: (labels != target).nonzero().flatten() for target in self.targets}
        consumed, self.consumed = self.consumed, 0
        for step in range(consumed, len(self)):
            used: dict[int, Tensor] = {}
            for target, positions in others.items():
                for position in positions[step * self.batch_size : (step + 1) * self.batch_size].tolist():
                    used.setdefault(position, torch.zeros(self.classes, dtype=torch.bool))[target] = True
            yield [Member(order[position], used[position]) for position in sorted(used)]


def choose_canvases(
    split: ImageDataset, name: Split, targets: Sequence[int], counts: Mapping[str, int], seed: int
) -> dict[str, Array]:
    """Canvases for every class: images spread over those of the class, random images of other classes, and noise.

    A class without images has no canvas of kind ``own``.

    Args:
        split: The images.
        name: Their split.
        targets: The classes.
        counts: How many canvases of each kind: ``own`` (images of the class), ``other`` (of another class), ``noise``,
            ``learned`` (noise whose colours are optimised, too).
        seed: Seed of the images of other classes, and of the noise.

    Returns:
        ``canvases``, ``targets``, ``kinds``, ``numbers`` and ``sources`` of :class:`Patterns`; the source of noise is
        ``NO_IMAGE``.

    Raises:
        ValueError: If there is no canvas at all.
    """
    labels = torch.tensor([split.label(index) for index in range(len(split))])
    rows: list[tuple[Array, int, str, int, int]] = []
    shape = read(split, name, 0)[0].shape
    for target in targets:
        generator = seeded_generator(seed, target)
        own, others = ((labels == target).nonzero().flatten(), (labels != target).nonzero().flatten())
        shuffled = others[torch.randperm(len(others), generator=generator)].tolist()
        of_target = {
            "own": first_readable(split, name, spread(own, counts.get("own", 0)), counts.get("own", 0)),
            "other": first_readable(split, name, shuffled, counts.get("other", 0)),
        }
        for kind in ("noise", "learned"):
            noise = torch.randint(256, (counts.get(kind, 0), *shape), generator=generator, dtype=torch.uint8)
            of_target[kind] = [(NO_IMAGE, image) for image in noise]
        for kind, images in of_target.items():
            rows += [(image.numpy(), target, kind, number, index) for number, (index, image) in enumerate(images)]
    if not rows:
        raise ValueError(f"canvases {dict(counts)} of classes {list(targets)} are none: ask for one or more")
    fields = ("canvases", "targets", "kinds", "numbers", "sources")
    return dict(zip(fields, map(np.array, zip(*rows, strict=True)), strict=True))


def spread(indices: Tensor, count: int) -> list[int]:
    """All of some indices; the first ``count`` are the middles of equal parts, the others replace unreadable images."""
    middles = (2 * torch.arange(len(indices)) + 1) * len(indices) // (2 * max(1, min(count, len(indices))))
    return list(dict.fromkeys([*indices[middles[middles < len(indices)]].tolist(), *indices.tolist()]))


def first_readable(split: ImageDataset, name: Split, indices: Sequence[int], count: int) -> list[tuple[int, Tensor]]:
    """The first ``count`` images at these indices that can be read, each with its index."""
    images = ((index, *read(split, name, index)[:2]) for index in indices)
    readable = ((index, image) for index, image, label in images if label != UNREADABLE)
    return list(itertools.islice(readable, count))


def read(split: ImageDataset, name: Split, index: int, seed: int = 0) -> tuple[Tensor, int, int]:
    """An image of a split, its label and index; in training images, the seed decides the crop."""
    return split[Draw(index, seed) if name == "train" else index]
