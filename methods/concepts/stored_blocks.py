"""Matrices with a row for each image, kept in files and read a few rows at a time."""

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


@dataclass(frozen=True)
class StoredMatrix:
    """A matrix in an ``.npy`` file.

    A file is mapped for each reading and let go of afterwards, so no more of it stays in memory than is asked for.

    Attributes:
        path: The file.
        offset: Where its numbers begin, in bytes.
        shape: Rows and columns.
        dtype: Of its numbers.
    """

    path: Path
    offset: int
    shape: tuple[int, int]
    dtype: str

    @classmethod
    def create(cls, path: Path, rows: int, width: int, dtype: str) -> "StoredMatrix":
        """Make the file, all zeros."""
        path.parent.mkdir(parents=True, exist_ok=True)
        np.lib.format.open_memmap(path, mode="w+", dtype=np.dtype(dtype), shape=(rows, width))
        return cls.find(path)

    @classmethod
    def find(cls, path: Path) -> "StoredMatrix":
        """A file that is there."""
        matrix = np.load(path, mmap_mode="r")
        rows, width = matrix.shape
        return cls(path, matrix.offset, (rows, width), matrix.dtype.str)

    def read(self, rows: slice | npt.NDArray[np.int64]) -> Tensor:
        """Some rows ``(n, m)``: a slice stays where it is until it is used, others are copied."""
        return torch.from_numpy(self._mapped("c")[rows])

    def write(self, rows: npt.NDArray[np.int64], values: npt.NDArray[Any]) -> None:
        """Put values ``(n, m)`` into rows."""
        matrix = self._mapped("r+")
        matrix[rows] = values
        matrix.flush()

    def _mapped(self, mode: Any) -> np.memmap:
        return np.memmap(self.path, dtype=self.dtype, mode=mode, offset=self.offset, shape=self.shape)


class BlockRows(pl.LightningDataModule):
    """Passes over the rows of several matrices, in chunks: ``(numbers of the rows, rows of every matrix)``.

    Every pass has the same chunks in the same order, each row once; each rank has the same number of chunks, and always
    the same ones. Nothing is shuffled, padded or left out.

    Args:
        matrices: With as many rows each.
        chunk: Most rows of a chunk; a group larger than that makes a larger one.
        order: Rows of the matrices that are used, in the order of their numbers; all by default.
        groups: The group of each row that is used: then no group is split among chunks.
    """

    def __init__(
        self,
        matrices: Sequence[StoredMatrix],
        chunk: int = 1024,
        order: npt.NDArray[np.int64] | None = None,
        groups: npt.NDArray[np.int64] | None = None,
    ) -> None:
        super().__init__()
        if chunk < 1:
            raise ValueError(f"chunk={chunk}: use 1 row or more")
        self.matrices, self.chunk, self.groups = list(matrices), chunk, groups
        self.order = np.arange(matrices[0].shape[0]) if order is None else order

    def chunks(self, ranks: int = 1) -> list[npt.NDArray[np.int64]]:
        """The numbers of the rows of every chunk, as many chunks for each of so many ranks; some may be empty."""
        count = ranks * max(1, -(-len(self.order) // (self.chunk * ranks)))
        numbers = np.arange(len(self.order))
        if self.groups is None:
            return np.array_split(numbers, count)
        by_group = np.argsort(self.groups, kind="stable")
        ends = np.flatnonzero(np.diff(self.groups[by_group], append=self.groups.max() + 1)) + 1  # of whole groups
        wanted = np.linspace(0, len(numbers), count + 1)[1:-1]
        cuts = [ends[np.abs(ends - place).argmin()] for place in wanted]
        return np.split(numbers[by_group], cuts)

    def train_dataloader(self) -> DataLoader[Rows]:
        """This rank's chunks."""
        rank, ranks = (0, 1) if self.trainer is None else (self.trainer.global_rank, self.trainer.world_size)
        return DataLoader(Chunks(self.matrices, self.order, self.chunks(ranks)[rank::ranks]), batch_size=None)

    def read(self, numbers: npt.NDArray[np.int64]) -> Rows:
        """Some rows of every matrix."""
        return read_rows(self.matrices, self.order, numbers)

    def every_chunk(self) -> Iterator[Rows]:
        """All chunks, in this process."""
        return (self.read(numbers) for numbers in self.chunks() if len(numbers))


class Chunks(torch.utils.data.Dataset[Rows]):
    """See :class:`BlockRows`."""

    def __init__(
        self, matrices: Sequence[StoredMatrix], order: npt.NDArray[np.int64], chunks: Sequence[npt.NDArray[np.int64]]
    ) -> None:
        self.matrices, self.order, self.numbers = matrices, order, chunks

    def __len__(self) -> int:
        return len(self.numbers)

    def __getitem__(self, place: int) -> Rows:
        return read_rows(self.matrices, self.order, self.numbers[place])


def read_rows(matrices: Sequence[StoredMatrix], order: npt.NDArray[np.int64], numbers: npt.NDArray[np.int64]) -> Rows:
    """Rows by their numbers, each matrix ``(n, m)``."""
    places = order[numbers]
    in_a_row = len(places) > 0 and bool((np.diff(places) == 1).all())
    wanted = slice(int(places[0]), int(places[-1]) + 1) if in_a_row else places
    return torch.from_numpy(numbers), [matrix.read(wanted) for matrix in matrices]
