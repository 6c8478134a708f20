"""The images that patterns are searched on, and the canvases that patterns are cut out of."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import pytorch_lightning as pl
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from datamodules.base import UNREADABLE, Batch, ImageDataModule, ImageDataset, Split
from datamodules.loading import make_loader
from datamodules.sampling import Draw, TrainingSampler

Kind = Literal["own", "other", "noise", "learned"]
KINDS: tuple[Kind, ...] = get_args(Kind)
NOISE: tuple[Kind, ...] = ("noise", "learned")
NO_IMAGE = -1  # the source of a canvas of noise


class SearchImages(pl.LightningDataModule):
    """Some images of a split, for a search that shares its patterns, not its images, among the ranks.

    Every rank gets the same full batches ``(images in [0, 1], labels, index)``, in an order that depends on the seed
    and the epoch alone. As in training, a partial last batch is left out; each epoch leaves out others.

    Args:
        images: All images.
        name: Their split.
        chosen: Positions in it.
        batch_size: Images of a step.
        seed: Decides the order.

    Attributes:
        consumed_batches: Batches, in the epoch that a search continues in, that were seen before.
    """

    consumed_batches = 0

    def __init__(self, images: ImageDataModule, name: Split, chosen: Sequence[int], batch_size: int, seed: int) -> None:
        super().__init__()
        self.images, self.source, self.chosen = images, name, list(chosen)
        self.batch_size, self.seed = batch_size, seed

    def train_dataloader(self) -> DataLoader[Batch]:
        """The chosen images, shuffled."""
        dataset = SearchSplit(self.images.split(self.source), self.source, self.chosen)
        seen = self.consumed_batches * self.batch_size
        sampler = TrainingSampler(dataset, self.batch_size, self.seed, consumed=seen)
        if self.trainer is not None:
            sampler.set_epoch(self.trainer.current_epoch)
        workers = self.images.workers
        return make_loader(
            dataset, batch_size=self.batch_size, workers=workers, sampler=sampler, persistent_workers=workers > 0
        )

    def on_after_batch_transfer(self, batch: Batch, dataloader_idx: int) -> Batch:
        """Turn uint8 pixels into floats in [0, 1]; leave out images that could not be read."""
        return self.images.on_after_batch_transfer(batch, dataloader_idx)


class SearchSplit(torch.utils.data.Dataset[tuple[Tensor, int, int]]):
    """See :class:`SearchImages`."""

    def __init__(self, split: ImageDataset, name: Split, chosen: Sequence[int]) -> None:
        self.all, self.name, self.chosen = split, name, list(chosen)

    def __len__(self) -> int:
        return len(self.chosen)

    def __getitem__(self, draw: Draw) -> tuple[Tensor, int, int]:
        position = self.chosen[draw.image]
        return self.all[Draw(position, draw.seed) if self.name == "train" else position]


@dataclass(frozen=True)
class Canvases:
    """What patterns are cut out of: P pairs of a class and a canvas.

    Attributes:
        pixels: uint8, shape ``(P, 3, H, W)``; of a learned one, where the search begins.
        targets: The classes that patterns shall stand for, ``(P,)``.
        kinds: ``own`` (an image of the class), ``other`` (of another class), ``noise``, or ``learned`` (colours are
            searched, too), for each pair.
        numbers: Counts canvases of the same class and kind, from 0, ``(P,)``.
        sources: The image's position in its split, ``(P,)``; ``NO_IMAGE`` for noise.
    """

    pixels: Tensor
    targets: Tensor
    kinds: list[Kind]
    numbers: list[int]
    sources: list[int]

    @property
    def learned(self) -> Tensor:
        """Whether the colours are searched, too, ``(P,)``."""
        return torch.tensor([kind == "learned" for kind in self.kinds], dtype=torch.bool)


def choose_canvases(
    split: ImageDataset, name: Split, targets: Sequence[int], counts: Mapping[Kind, int], seed: int
) -> Canvases:
    """Canvases for every class: spread over its own images, images of others and noise at random.

    A class without images gets no canvas of its own.

    Args:
        split: The images.
        name: Of which split.
        targets: The classes.
        counts: How many canvases of each kind.
        seed: Decides images of others, and noise.

    Raises:
        ValueError: If a count is negative or of an unknown kind, or there is no canvas at all.
    """
    unknown = [kind for kind in counts if kind not in KINDS]
    if unknown or any(count < 0 for count in counts.values()):
        raise ValueError(f"canvases are {dict(counts)}: give counts from 0 on, of {', '.join(KINDS)}")
    labels = torch.tensor([split.label(position) for position in range(len(split))])
    rows: list[tuple[Tensor, int, Kind, int, int]] = []
    shape = read(split, name, 0)[0].shape
    for target in targets:
        own = (labels == target).nonzero().flatten()
        middles = (2 * torch.arange(len(own)) + 1) * len(own) // (2 * max(1, min(counts.get("own", 0), len(own))))
        spread = dict.fromkeys([*own[middles[middles < len(own)]].tolist(), *own.tolist()])
        generator = torch.Generator().manual_seed(hash((seed, target)) % 2**62)
        others = (labels != target).nonzero().flatten()
        drawn = others[torch.randperm(len(others), generator=generator)].tolist()
        images_of: dict[Kind, list[int]] = {"own": list(spread), "other": drawn}
        for kind, positions in images_of.items():
            found = first_readable(split, name, positions, counts.get(kind, 0))
            rows += [(image, target, kind, number, place) for number, (place, image) in enumerate(found)]
        for kind in NOISE:
            for number in range(counts.get(kind, 0)):
                noise = torch.randint(256, shape, generator=generator, dtype=torch.uint8)
                rows.append((noise, target, kind, number, NO_IMAGE))
    if not rows:
        raise ValueError(f"canvases {dict(counts)} of classes {list(targets)} are none: ask for one or more")
    pixels, found_targets, kinds, numbers, sources = zip(*rows, strict=True)
    return Canvases(torch.stack(pixels), torch.tensor(found_targets), list(kinds), list(numbers), list(sources))


def first_readable(split: ImageDataset, name: Split, positions: Sequence[int], count: int) -> list[tuple[int, Tensor]]:
    """The first ``count`` images at these positions that can be read, each with its position."""
    found: list[tuple[int, Tensor]] = []
    for position in positions:
        if len(found) == count:
            break
        image, label = read(split, name, position)
        if label != UNREADABLE:
            found.append((position, image))
    return found


def read(split: ImageDataset, name: Split, position: int) -> tuple[Tensor, int]:
    """An image of a split, always the same crop of it, and its label."""
    key: Any = Draw(position, 0) if name == "train" else position
    image, label, _ = split[key]
    return image, label
