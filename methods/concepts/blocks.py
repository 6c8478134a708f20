"""Blocks: matrices with a row for each image, kept in files, what is known of them, and passes over their rows."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytorch_lightning as pl
import torch
from torch import Tensor
from torch.utils.data import DataLoader

Rows = tuple[Tensor, list[Tensor]]
Indices = npt.NDArray[np.int64]


@dataclass(frozen=True)
class StoredMatrix:
    """A matrix in an ``.npy`` file.

    The file is mapped anew for each reading: a mapping that stays open would fill the memory with pages already read.

    Attributes:
        path: The file.
        shape: Rows and columns.
    """

    path: Path
    shape: tuple[int, int]

    @classmethod
    def create(cls, path: Path, rows: int, width: int, dtype: str) -> "StoredMatrix":
        """Make a file of zeros; what had its name, such as a link, is removed and not written through."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        np.lib.format.open_memmap(path, mode="w+", dtype=np.dtype(dtype), shape=(rows, width))
        return cls.find(path)

    @classmethod
    def find(cls, path: Path) -> "StoredMatrix":
        """Describe a file that exists."""
        return cls(path, np.load(path, mmap_mode="r").shape)

    def read(self, rows: slice | Indices) -> Tensor:
        """Some rows ``(n, m)``: those of a slice stay in the file until they are used, others are copied."""
        return torch.from_numpy(np.load(self.path, mmap_mode="c")[rows])

    def write(self, rows: Indices, values: npt.NDArray[Any]) -> None:
        """Put values ``(n, m)`` into rows."""
        matrix = np.load(self.path, mmap_mode="r+")
        matrix[rows] = values
        matrix.flush()


@dataclass(frozen=True)
class Blocks:
    """What is known of the blocks ``X_b`` before they are factorised.

    Attributes:
        widths: m_b of each block.
        rows: N, the number of images.
        squares: ‖X_b‖² of each block.
        sums: Sum of the entries of each block.
        weights: a_b of each block.
    """

    widths: Sequence[int]
    rows: int
    squares: Sequence[float]
    sums: Sequence[float]
    weights: Sequence[float]

    def __post_init__(self) -> None:
        empty = [number for number, square in enumerate(self.squares) if not 0 < square < float("inf")]
        if empty:
            raise ValueError(f"block number {empty[0]} is all 0 or not finite: leave it out")
        if not all(0 <= weight < float("inf") for weight in self.weights) or not any(self.weights):
            raise ValueError(f"weights={list(self.weights)}: give numbers from 0 on, not all 0")

    @property
    def roots(self) -> list[float]:
        """√a_b of each block."""
        return [weight**0.5 for weight in self.weights]

    @property
    def norms(self) -> list[float]:
        """a_b‖X_b‖² of each block."""
        return [weight * square for weight, square in zip(self.weights, self.squares, strict=True)]

    @property
    def mean(self) -> float:
        """The mean of the stacked, weighted matrix."""
        total = sum(root * entries for root, entries in zip(self.roots, self.sums, strict=True))
        return total / (self.rows * sum(self.widths))


class BlockRows(pl.LightningDataModule):
    """Passes over the rows of several matrices, in chunks: ``(numbers of the rows, rows of every matrix)``.

    Every pass has the same chunks in the same order, and each row once; every rank has as many chunks as the others,
    and the same ones in every pass. Nothing is shuffled, padded or left out.

    Args:
        matrices: The matrices, all with the same number of rows.
        chunk: Most rows of a chunk; a group larger than that makes a larger chunk.
        order: Rows of the matrices that are used, in the order of their numbers; ``None``: all.
        groups: The group of each row that is used: then no group is split among chunks.
    """

    def __init__(
        self,
        matrices: Sequence[StoredMatrix],
        chunk: int,
        order: Indices | None = None,
        groups: Indices | None = None,
    ) -> None:
        super().__init__()
        self.matrices, self.chunk, self.groups = list(matrices), chunk, groups
        self.order = np.arange(matrices[0].shape[0]) if order is None else order

    def chunks(self, ranks: int = 1) -> list[Indices]:
        """The numbers of the rows of every chunk, as many chunks for each rank; some chunks may be empty."""
        count = ranks * max(1, -(-len(self.order) // (self.chunk * ranks)))
        numbers = np.arange(len(self.order))
        if self.groups is None:
            return np.array_split(numbers, count)
        by_group = np.argsort(self.groups, kind="stable")
        ends = np.flatnonzero(np.diff(self.groups[by_group], append=self.groups.max() + 1)) + 1  # of whole groups
        wanted = np.linspace(0, len(numbers), count + 1)[1:-1]
        cuts = [ends[np.abs(ends - position).argmin()] for position in wanted]
        return np.split(numbers[by_group], cuts)

    def train_dataloader(self) -> DataLoader[Rows]:
        """The chunks of this rank."""
        rank, ranks = (0, 1) if self.trainer is None else (self.trainer.global_rank, self.trainer.world_size)
        chunks: Any = self.chunks(ranks)[rank::ranks]
        read: Any = self.read  # without batches, collate_fn is given one chunk, not a list as its type says
        return DataLoader(chunks, batch_size=None, collate_fn=read)

    def read(self, numbers: Indices) -> Rows:
        """Rows by their numbers, of each matrix ``(n, m)``."""
        rows = self.order[numbers]
        consecutive = len(rows) > 0 and bool((np.diff(rows) == 1).all())
        wanted = slice(int(rows[0]), int(rows[-1]) + 1) if consecutive else rows
        return torch.from_numpy(numbers), [matrix.read(wanted) for matrix in self.matrices]

    def every_chunk(self) -> Iterator[Rows]:
        """All chunks, in this process."""
        return (self.read(numbers) for numbers in self.chunks() if len(numbers))
