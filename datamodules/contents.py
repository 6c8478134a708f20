"""Which images of a tree are different, by their content: found once and stored beside the index."""

import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from datamodules.arrays import read_array
from datamodules.image_index import ImageIndex

BLOCK = 1 << 14  # bytes at the beginning, in the middle and at the end
READING_THREADS = 16
CHUNK = 10_000  # files whose tasks are queued at once: 16 MB, however many files there are
Hashes = npt.NDArray[np.uint64]
T = TypeVar("T")


def distinct_contents(index: ImageIndex) -> tuple[Hashes, npt.NDArray[np.int64]]:
    """The different contents of a tree: the short hash of each, ascending, and the position of the first file with it.

    Args:
        index: The files.

    Returns:
        Hashes ``(N,)`` and positions ``(N,)``.
    """
    stored = None if index.store is None else index.store / f"contents-{index.digest[:16]}.npy"
    table = None if stored is None else load(stored)
    if table is None:
        table = make_table(index)
        if stored is not None:
            save(stored, table)
    return table[0], table[1].astype(np.int64)


def make_table(index: ImageIndex) -> Hashes:
    """The hashes and, below them, the positions of the different contents of a tree, ``(2, N)``.

    Files that agree in their short hashes are read whole: scans and screenshots of one size may differ elsewhere. Those
    that differ are neighbours, in the order of the hashes of all their bytes.
    """
    hashes = content_hashes(index)
    order = np.argsort(hashes, kind="stable")
    ordered = hashes[order]
    kept = np.ones(len(order), dtype=bool)
    for start, end in runs(ordered):
        wholes: dict[bytes, int] = {}
        members = order[start:end].tolist()
        for position, whole in zip(members, each(whole_hash, index, members), strict=True):
            wholes.setdefault(whole, position)
        kept[start + len(wholes) : end] = False
        order[start : start + len(wholes)] = [wholes[whole] for whole in sorted(wholes)]
    return np.stack([ordered[kept], order[kept].astype(np.uint64)])


def runs(values: Hashes) -> Iterator[tuple[int, int]]:
    """Beginning and end of each run of two or more equal values."""
    edges = np.flatnonzero(np.diff(values, prepend=~values[:1], append=~values[-1:]))
    for run in np.flatnonzero(np.diff(edges) > 1).tolist():
        yield int(edges[run]), int(edges[run + 1])


def content_hashes(index: ImageIndex) -> Hashes:
    """A hash of each file's size and of three blocks of its content, ``(N,)``: equal files have equal hashes.

    Files are not read whole, because trees may hold millions.

    Args:
        index: The files.
    """
    return np.fromiter(each(content_hash, index, range(len(index))), dtype=np.uint64, count=len(index))


def each(function: Callable[[Path], T], index: ImageIndex, positions: Sequence[int]) -> Iterator[T]:
    """A function of files, in threads: most of the time goes into waiting for the disk."""
    with ThreadPoolExecutor(READING_THREADS) as pool:
        for start in range(0, len(positions), CHUNK):
            yield from pool.map(lambda at: function(index.path(at)), positions[start : start + CHUNK])


def load(path: Path) -> Hashes | None:
    """Read a table back; ``None`` if there is none, or it is damaged."""
    try:
        values = read_array(path, np.uint64, 1)
    except (OSError, ValueError):
        return None
    if len(values) % 2 != 1 or int(values[-1]) != digest_of(values[:-1]):
        return None
    return values[:-1].reshape(2, -1)


def save(path: Path, table: Hashes) -> None:
    """Keep a table, with its own digest behind it: whole or not at all."""
    temporary = path.with_name(f".{path.stem}.{os.getpid()}.npy")
    try:
        np.save(temporary, np.append(table.ravel(), np.uint64(digest_of(table))))
        temporary.replace(path)
    except OSError:  # the cache cannot be written
        temporary.unlink(missing_ok=True)


def digest_of(values: Hashes) -> int:
    """64 bits of the SHA-256 of an array."""
    return int.from_bytes(hashlib.sha256(np.ascontiguousarray(values).tobytes()).digest()[:8], "big")


def content_hash(path: Path) -> int:
    """The hash of one file; of one that cannot be read, that of its name."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, 2)
            digest = hashlib.sha256(size.to_bytes(8, "big"))
            for start in sorted({0, max(0, size // 2 - BLOCK // 2), max(0, size - BLOCK)}):
                file.seek(start)
                digest.update(file.read(BLOCK))
    except OSError:
        digest = hashlib.sha256(path.name.encode("utf-8", "surrogateescape"))
    return int.from_bytes(digest.digest()[:8], "big")


def whole_hash(path: Path) -> bytes:
    """The SHA-256 of a file; of one that cannot be read, that of its path."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").digest()
    except OSError:
        return hashlib.sha256(os.fsencode(path)).digest()
