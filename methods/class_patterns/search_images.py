"""The images that patterns are searched on, and the canvases that patterns are cut out of."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import pytorch_lightning as pl
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Sampler

from datamodules.base import UNREADABLE, Batch, ImageDataModule, ImageDataset, Split
from datamodules.loading import make_loader
from datamodules.sampling import Draw, TrainingSampler
from networks.seeding import seeded_generator

Kind = Literal["own", "other", "noise", "learned"]
NOISE: tuple[Kind, ...] = ("noise", "learned")
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
        dataset, workers, consumed = SearchSplit(split, self.source, self.chosen), self.images.workers, 0
        batch_size = self.batch_size if self.targets is None else 1  # class batches draw from a pass over all images
        if self.targets is None:
            consumed = self.consumed_batches * self.batch_size
        sampler = TrainingSampler(dataset, batch_size, self.seed, consumed=consumed)
        if self.trainer is not None:
            sampler.set_epoch(self.trainer.current_epoch)
        options: dict[str, Any] = {"workers": workers, "persistent_workers": workers > 0}
        if self.targets is None:
            return make_loader(dataset, batch_size=self.batch_size, sampler=sampler, **options)
        labels = torch.tensor([split.label(index) for index in self.chosen])
        classes = len(self.images.classes)
        batches = ClassBatches(sampler, labels, self.targets, classes, self.batch_size, self.consumed_batches)
        return make_loader(dataset, batch_size=1, batch_sampler=batches, **options)

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


class SearchSplit(torch.utils.data.Dataset[tuple[Any, ...]]):
    """See :class:`SearchImages`."""

    def __init__(self, split: ImageDataset, name: Split, chosen: Sequence[int]) -> None:
        self.all, self.name, self.chosen = split, name, list(chosen)

    def __len__(self) -> int:
        return len(self.chosen)

    def __getitem__(self, key: Draw | Member) -> tuple[Any, ...]:
        draw = key.draw if isinstance(key, Member) else key
        index = self.chosen[draw.image]
        image = self.all[Draw(index, draw.seed) if self.name == "train" else index]
        return (*image, key.classes) if isinstance(key, Member) else image


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

    def __init__(
        self,
        sampler: TrainingSampler,
        labels: Tensor,
        targets: Sequence[int],
        classes: int,
        batch_size: int,
        consumed: int,
    ) -> None:
        self.sampler, self.labels, self.targets, self.classes = sampler, labels, list(targets), classes
        self.batch_size, self.consumed = batch_size, consumed

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


@dataclass(frozen=True)
class Canvases:
    """The canvases of P pairs of a target class and a canvas.

    Attributes:
        pixels: uint8, shape ``(P, 3, H, W)``; for learned colours, the start of the search.
        targets: The target class of each pair, ``(P,)``.
        kinds: Of each pair: ``own`` (an image of the class), ``other`` (of another class), ``noise``, or ``learned``
            (noise whose colours are optimised, too).
        numbers: Numbers the canvases of the same class and kind, from 0, ``(P,)``.
        sources: Index of the image in its split, ``(P,)``; ``NO_IMAGE`` for noise.
    """

    pixels: Tensor
    targets: Tensor
    kinds: list[Kind]
    numbers: list[int]
    sources: list[int]

    @property
    def learned(self) -> Tensor:
        """The pairs with learned colours, boolean ``(P,)``."""
        return torch.tensor([kind == "learned" for kind in self.kinds], dtype=torch.bool)


def choose_canvases(
    split: ImageDataset, name: Split, targets: Sequence[int], counts: Mapping[Kind, int], seed: int
) -> Canvases:
    """Canvases for every class: images spread over those of the class, random images of other classes, and noise.

    A class without images has no canvas of kind ``own``.

    Args:
        split: The images.
        name: Their split.
        targets: The classes.
        counts: How many canvases of each kind.
        seed: Seed of the images of other classes, and of the noise.

    Raises:
        ValueError: If there is no canvas at all.
    """
    labels = torch.tensor([split.label(index) for index in range(len(split))])
    rows: list[tuple[Tensor, int, Kind, int, int]] = []
    shape = read(split, name, 0)[0].shape
    for target in targets:
        generator = seeded_generator(seed, target)
        others = (labels != target).nonzero().flatten()
        candidates: dict[Kind, list[int]] = {
            "own": spread((labels == target).nonzero().flatten(), counts.get("own", 0)),
            "other": others[torch.randperm(len(others), generator=generator)].tolist(),
        }
        for kind, indices in candidates.items():
            images = first_readable(split, name, indices, counts.get(kind, 0))
            rows += [(image, target, kind, number, index) for number, (index, image) in enumerate(images)]
        for kind in NOISE:
            for number in range(counts.get(kind, 0)):
                noise = torch.randint(256, shape, generator=generator, dtype=torch.uint8)
                rows.append((noise, target, kind, number, NO_IMAGE))
    if not rows:
        raise ValueError(f"canvases {dict(counts)} of classes {list(targets)} are none: ask for one or more")
    pixels, row_targets, kinds, numbers, sources = zip(*rows, strict=True)
    return Canvases(torch.stack(pixels), torch.tensor(row_targets), list(kinds), list(numbers), list(sources))


def spread(indices: Tensor, count: int) -> list[int]:
    """All of some indices; the first ``count`` are the middles of equal parts, the others replace unreadable images."""
    middles = (2 * torch.arange(len(indices)) + 1) * len(indices) // (2 * max(1, min(count, len(indices))))
    return list(dict.fromkeys([*indices[middles[middles < len(indices)]].tolist(), *indices.tolist()]))


def first_readable(split: ImageDataset, name: Split, indices: Sequence[int], count: int) -> list[tuple[int, Tensor]]:
    """The first ``count`` images at these indices that can be read, each with its index."""
    images: list[tuple[int, Tensor]] = []
    for index in indices:
        if len(images) == count:
            break
        image, label = read(split, name, index)
        if label != UNREADABLE:
            images.append((index, image))
    return images


def read(split: ImageDataset, name: Split, index: int) -> tuple[Tensor, int]:
    """An image of a split, always the same crop of it, and its label."""
    key: Any = Draw(index, 0) if name == "train" else index
    image, label, _ = split[key]
    return image, label
