"""Images of tar shards as streams: in order, or shuffled in windows and resumable at any batch."""

import io
import lzma
import tarfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.data import IterableDataset, get_worker_info

from datamodules.base import UNREADABLE, Item
from datamodules.cropped import Failures, square
from datamodules.image_files import EXTENSIONS, read_image

DAMAGED = (tarfile.TarError, zlib.error, lzma.LZMAError, OSError, EOFError, ValueError)  # archives may be compressed
WINDOW = 1000  # images shuffled among each other


@dataclass(frozen=True)
class Shard:
    """A tar file, the number of its images, and how many images the shards before it hold."""

    path: Path
    count: int
    first: int


@dataclass(frozen=True)
class View:
    """How an image of a shard becomes one of a batch."""

    size: int
    resize: int | None
    failures: Failures

    def read(self, content: bytes, name: str, index: int, seed: int | None) -> Item:
        """A random square of an encoded image, or the central one if there is no seed; with label and index."""
        try:
            image = read_image(io.BytesIO(content), name)
        except ValueError:
            if self.failures.note(index):
                return torch.zeros(3, self.size, self.size, dtype=torch.uint8), UNREADABLE, index
            raise
        return square(image, name, self.size, self.resize, seed), 0, index


@dataclass(eq=False)
class ShardStream(IterableDataset[Item]):
    """Every image of some shards once over all ranks, in order, in pairs of neighbours.

    Attributes:
        shards: The shards.
        view: Decodes and crops an image.
        rank: Number of this process.
        world_size: Number of processes.
    """

    shards: list[Shard]
    view: View
    rank: int
    world_size: int

    def __len__(self) -> int:
        total = sum(shard.count for shard in self.shards)
        return sum(min(2, total - 2 * pair) for pair in range(self.rank, (total + 1) // 2, self.world_size))

    def label(self, index: int) -> int:
        """Always 0."""
        return 0

    def __getitem__(self, key: Any) -> Item:
        raise TypeError("shards are a stream: iterate over them")

    def __iter__(self) -> Iterator[Item]:
        start = self.shards[0].first
        for shard in self.shards:
            for number, (name, content) in enumerate(members(shard.path)):
                index = shard.first + number - start
                if index // 2 % self.world_size == self.rank:
                    yield self.view.read(content, name, index, None)


@dataclass(eq=False)
class TrainingStream(ShardStream):
    """A rank's share of the shards, cut into as many streams as there are loading processes, read in turn.

    Attributes:
        batch_size: Images of a batch on this rank.
        seed: The study's seed.
        streams: Number of streams, one for each loading process; batches come from them in turn.
        start: Batches of this rank to skip, because they were seen before an interruption.
    """

    batch_size: int
    seed: int
    streams: int
    start: int

    def __len__(self) -> int:
        """Images that every rank can have: a multiple of the batch."""
        ranks = (self.batches(rank) for rank in range(self.world_size))
        return self.batch_size * min(sum(batches) for batches in ranks)

    def __iter__(self) -> Iterator[Item]:
        seen, turn = self.progress()
        worker = get_worker_info()
        number = ((worker.id if worker else 0) + turn) % self.streams
        yield from self.stream(number, seen[number] * self.batch_size)

    def stream(self, number: int, skipped: int) -> Iterator[Item]:
        """The images of one stream, without the first ``skipped``."""
        for shard in self.shards_of(self.rank, number):
            if skipped >= shard.count:
                skipped -= shard.count
                continue
            generator = np.random.default_rng([self.seed, shard.first])
            window: list[tuple[int, str, bytes]] = []
            for position_in_shard, (name, content) in enumerate(members(shard.path)):
                window.append((shard.first + position_in_shard, name, content))
                if len(window) == WINDOW or position_in_shard == shard.count - 1:
                    order = generator.permutation(len(window))
                    seeds = generator.integers(2**62, size=len(window))
                    for position in order[skipped:]:
                        index, name, content = window[position]
                        yield self.view.read(content, name, index, int(seeds[position]))
                    skipped = max(0, skipped - len(window))
                    window = []

    def shards_of(self, rank: int, number: int) -> list[Shard]:
        """The shards of a rank's stream, in the order they are read."""
        order = np.random.default_rng(self.seed).permutation(len(self.shards))
        first, every = rank + number * self.world_size, self.world_size * self.streams
        return [self.shards[position] for position in order[first::every]]

    def batches(self, rank: int) -> list[int]:
        """The number of whole batches in each stream of a rank."""
        return [
            sum(shard.count for shard in self.shards_of(rank, number)) // self.batch_size
            for number in range(self.streams)
        ]

    def progress(self) -> tuple[list[int], int]:
        """How many batches of each stream were seen before ``start``, and which stream's turn it is."""
        total, seen, turn = self.batches(self.rank), [0] * self.streams, 0
        for _ in range(self.start):
            while seen[turn] == total[turn]:
                turn = (turn + 1) % self.streams
            seen[turn] += 1
            turn = (turn + 1) % self.streams
        return seen, turn


def members(path: Path) -> Iterator[tuple[str, bytes]]:
    """Name and content of every image in a shard.

    Raises:
        ValueError: If the file is no whole tar archive; names it.
    """
    from webdataset import tariterators

    try:
        with path.open("rb") as stream:  # webdataset does not close files that it opens itself
            files = tariterators.tar_file_expander([{"url": str(path), "stream": stream}])
            for sample in tariterators.group_by_keys(files):
                for suffix, content in sample.items():
                    if f".{suffix.rsplit('.', 1)[-1]}" in EXTENSIONS:
                        yield f"{path}: {sample['__key__']}.{suffix}", content
    except DAMAGED as error:
        reason = error.args[0] if error.args else type(error).__name__
        raise ValueError(f"{path} is no whole tar archive ({reason}): copy it again, or remove it") from error
