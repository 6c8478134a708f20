"""The images that patterns are searched on, and the canvases that patterns are cut out of."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, get_args

import pytorch_lightning as pl
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Sampler

from datamodules.base import UNREADABLE, Batch, ImageDataModule, ImageDataset, Split
from datamodules.loading import make_loader
from datamodules.sampling import Draw, TrainingSampler

Kind = Literal["own", "other", "noise", "learned"]
KINDS: tuple[Kind, ...] = get_args(Kind)
NOISE: tuple[Kind, ...] = ("noise", "learned")
NO_IMAGE = -1  # the source of a canvas of noise


class SearchImages(pl.LightningDataModule):
    """Some images of a split, for a search that shares its patterns, not its images, among the ranks.

    Every rank gets the same batches, in an order that depends on the seed and the epoch alone: ``(images in [0, 1],
    labels, index)``. As in training, a partial last batch is left out; each epoch leaves out others. With ``targets``,
    a batch has a fourth part: which classes each image is for; see :class:`ClassBatches`.

    Args:
        images: All images.
        name: Their split.
        chosen: Positions in it.
        batch_size: Images of a step.
        seed: Decides the order.
        targets: Classes that have batches of their own, without their own images; ``None``: one batch for all.

    Attributes:
        consumed_batches: Batches, in the epoch that a search continues in, that were seen before.
    """

    consumed_batches = 0

    def __init__(
        self,
        images: ImageDataModule,
        name: Split,
        chosen: Sequence[int],
        batch_size: int,
        seed: int,
        targets: Sequence[int] | None = None,
    ) -> None:
        super().__init__()
        self.images, self.source, self.chosen = images, name, list(chosen)
        self.batch_size, self.seed, self.targets = batch_size, seed, targets

    def train_dataloader(self) -> DataLoader[Batch]:
        """The chosen images, shuffled."""
        split = self.images.split(self.source)
        dataset, workers = SearchSplit(split, self.source, self.chosen), self.images.workers
        seen = 0 if self.targets is not None else self.consumed_batches * self.batch_size
        together = self.batch_size if self.targets is None else 1
        sampler = TrainingSampler(dataset, together, self.seed, consumed=seen)
        if self.trainer is not None:
            sampler.set_epoch(self.trainer.current_epoch)
        options: dict[str, Any] = {"workers": workers, "persistent_workers": workers > 0}
        if self.targets is None:
            return make_loader(dataset, batch_size=self.batch_size, sampler=sampler, **options)
        labels = torch.tensor([split.label(position) for position in self.chosen])
        classes, consumed = len(self.images.classes), self.consumed_batches
        batches = ClassBatches(sampler, labels, self.targets, classes, self.batch_size, consumed)
        return make_loader(dataset, batch_size=1, batch_sampler=batches, **options)

    def on_after_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:
        """Turn uint8 pixels into floats in [0, 1]; leave out images that could not be read."""
        images, labels, index, *rest = batch
        kept = labels != UNREADABLE
        found = self.images.on_after_batch_transfer((images, labels, index), dataloader_idx)
        return *found, *(part[kept] if self.images.on_error == "skip" else part for part in rest)


class Member(NamedTuple):
    """A search image of some step, and the classes that it is for, boolean ``(classes,)``."""

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
        position = self.chosen[draw.image]
        found = self.all[Draw(position, draw.seed) if self.name == "train" else position]
        return (*found, key.classes) if isinstance(key, Member) else found


class ClassBatches(Sampler[list[Member]]):
    """For every class its own batches: the shuffled images without those of the class, ``batch_size`` at a time.

    A step loads each image once that some class has in it. The last batch of a class may be partial; a class with many
    images of its own has fewer batches than others, and none in the last steps.

    Args:
        sampler: Decides the order of all images.
        labels: The class of each image, ``(N,)``.
        targets: The classes.
        classes: Number of all classes.
        batch_size: Images of a class's batch.
        consumed: Steps of the first pass to leave out.
    """

    def __init__(
        self,
        sampler: TrainingSampler,
        labels: Tensor,
        targets: Sequence[int],
        classes: int,
        batch_size: int,
        consumed: int = 0,
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
            for target, places in others.items():
                for place in places[step * self.batch_size : (step + 1) * self.batch_size].tolist():
                    used.setdefault(place, torch.zeros(self.classes, dtype=torch.bool))[target] = True
            yield [Member(order[place], used[place]) for place in sorted(used)]


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
