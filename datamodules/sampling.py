"""The order of images on each rank: it depends on the seed, the epoch and the index alone."""

from collections.abc import Iterator, Sized
from typing import NamedTuple

import torch
from torch.utils.data import Sampler


class Draw(NamedTuple):
    """One training image: its index, and the seed of its augmentation in this epoch."""

    image: int
    seed: int


class TrainingSampler(Sampler[Draw]):
    """A shuffled pass over a split, the same share for every rank.

    The order depends only on ``seed`` and the epoch, each augmentation only on ``seed``, the epoch and the image.
    Lightning calls :meth:`set_epoch`. The shuffled order is cut to a multiple of the global batch, so that no rank
    waits for another and no batch is partial (a split smaller than one batch is one batch).

    Args:
        images: The split, or anything as long as it.
        batch_size: Images per step over all ranks.
        seed: The study's seed.
        rank: This process's number.
        world_size: Number of processes.
        consumed: Images of this rank to skip in the first pass, because they were seen before an interruption.
    """

    def __init__(
        self, images: Sized, batch_size: int, seed: int, rank: int = 0, world_size: int = 1, consumed: int = 0
    ) -> None:
        self.length, self.batch_size, self.seed = len(images), batch_size, seed
        self.rank, self.world_size, self.consumed = rank, world_size, consumed
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch whose order comes next."""
        self.epoch = epoch

    def __len__(self) -> int:
        used = self.length // self.batch_size * self.batch_size or self.length // self.world_size * self.world_size
        return used // self.world_size

    def __iter__(self) -> Iterator[Draw]:
        # A prime factor: no two pairs of seed and epoch that occur share an order
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + self.epoch)
        order = torch.randperm(self.length, generator=generator)
        seeds = torch.randint(2**62, (self.length,), generator=generator)
        consumed, self.consumed = self.consumed, 0  # only the first pass after a resumption is shorter
        for index in order[self.rank :: self.world_size][consumed : len(self)].tolist():
            yield Draw(index, int(seeds[index]))


class EvaluationSampler(Sampler[int]):
    """Every image of a split exactly once over all ranks, in pairs of neighbours, with nothing padded or repeated.

    Pair ``k`` is the images ``2k`` and ``2k + 1``; pairs go to the ranks in turn, so that what is computed on pairs
    does not depend on the number of ranks.

    Args:
        images: The split, or anything as long as it.
        rank: This process's number.
        world_size: Number of processes.
    """

    def __init__(self, images: Sized, rank: int = 0, world_size: int = 1) -> None:
        pairs = range(rank, (len(images) + 1) // 2, world_size)
        self.indices = [index for pair in pairs for index in (2 * pair, 2 * pair + 1) if index < len(images)]

    def __len__(self) -> int:
        return len(self.indices)

    def __iter__(self) -> Iterator[int]:
        return iter(self.indices)
