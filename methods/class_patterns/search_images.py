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
from datamodules.views.subset import ChosenSplit
from methods.class_patterns.patterns import Array
from networks.seeding import seeded_generator

NO_IMAGE = -1  # the source of a canvas of noise


class SearchImages(pl.LightningDataModule):
    """Some images of a split, for a search that divides its patterns, not its images, among the ranks.

    Every rank gets the same batches ``(images in [0, 1], labels, index, members)``, in an order that depends only on
    the seed and the epoch; ``members`` are the classes that see each image, boolean ``(B, classes)``.

    Args:
        images: All images.
        name: Their split.
        chosen: Indices of the search images in it.
        batch_size: Images of a step.
        seed: Seed of the order.
        targets: Classes that have batches of their own, see :class:`SearchBatches`; ``None``: one batch for all.

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
        dataset = SearchSplit(self.images.split(self.source), self.source, self.chosen)
        # batches of their own draw from a pass over all images, one by one
        sampler = TrainingSampler(dataset, self.batch_size if self.targets is None else 1, self.seed)
        if self.trainer is not None:
            sampler.set_epoch(self.trainer.current_epoch)
        labels = torch.tensor([dataset.label(position) for position in range(len(dataset))])
        classes, consumed, workers = len(self.images.classes), self.consumed_batches, self.images.workers
        batches = SearchBatches(sampler, labels, self.targets, classes, self.batch_size, consumed)
        options = {"batch_sampler": batches, "persistent_workers": workers > 0}
        return make_loader(dataset, batch_size=1, workers=workers, **options)  # the size is that of the sampler

    def on_after_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:
        """Turn uint8 pixels into floats in [0, 1]; leave out images that could not be read."""
        *batch, members = batch
        kept = (batch[1] != UNREADABLE) | (self.images.on_error != "skip")
        return *self.images.on_after_batch_transfer(tuple(batch), dataloader_idx), members[kept]


class Member(NamedTuple):
    """A search image of a step, and the classes that see it, boolean ``(classes,)``."""

    draw: Draw
    classes: Tensor


class SearchSplit(ChosenSplit):
    """See :class:`SearchImages`."""

    def __init__(self, split: ImageDataset, name: Split, chosen: Sequence[int]) -> None:
        super().__init__(split, chosen)
        self.name = name

    def __getitem__(self, key: Member) -> tuple[Any, ...]:  # type: ignore[override]
        return *read(self.all, self.name, self.chosen[key.draw.image], key.draw.seed), key.classes


@dataclass(eq=False)
class SearchBatches(Sampler[list[Member]]):
    """A batch of the shuffled images for all classes, or one for every class.

    As in training, a partial last batch for all is left out; each epoch leaves out other images. A batch of a class is
    of images of other classes. A step loads each image once that is in the batch of some class. The last batch of a
    class may be partial; a class with many images has fewer batches than others, and none in the last steps.

    Args:
        sampler: The order of all images.
        labels: The label of each image, ``(N,)``.
        targets: The classes that have batches of their own; ``None``: one batch for all.
        classes: Number of all classes.
        batch_size: Images of a batch.
        consumed: Steps of the first pass to leave out.
    """

    sampler: TrainingSampler
    labels: Tensor
    targets: Sequence[int] | None
    classes: int
    batch_size: int
    consumed: int

    def __len__(self) -> int:
        counts = [int((self.labels != target).sum()) for target in self.targets or ()]
        return -(-max(counts or [len(self.sampler)]) // self.batch_size)

    def __iter__(self) -> Iterator[list[Member]]:
        order = list(self.sampler)
        labels = self.labels[[draw.image for draw in order]]
        batches: list[tuple[Any, Tensor]] = [(slice(None), torch.arange(len(order)))]  # all classes see all images
        if self.targets is not None:
            batches = [(target, (labels != target).nonzero().flatten()) for target in self.targets]
        consumed, self.consumed = self.consumed, 0
        for step in range(consumed, len(self)):
            used: dict[int, Tensor] = {}
            for target, positions in batches:
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
    shape = read(split, name, 0, 0)[0].shape
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
    images = ((index, *read(split, name, index, 0)[:2]) for index in indices)
    readable = ((index, image) for index, image, label in images if label != UNREADABLE)
    return list(itertools.islice(readable, count))


def read(split: ImageDataset, name: Split, index: int, seed: int) -> tuple[Tensor, int, int]:
    """An image of a split, its label and index; in training images, the seed decides the crop."""
    return split[Draw(index, seed) if name == "train" else index]
