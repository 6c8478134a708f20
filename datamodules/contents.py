"""Which image files are the same: a short hash of each file's content, made once and stored beside the index."""

import hashlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import numpy.typing as npt

from datamodules.arrays import read_array
from datamodules.image_index import ImageIndex

BLOCK = 1 << 14  # bytes at the beginning, in the middle and at the end
READING_THREADS = 16
CHUNK = 100_000  # files whose tasks are queued at once: 12 million fit in memory


def content_hashes(index: ImageIndex) -> npt.NDArray[np.uint64]:
    """A hash of each file's size and of three blocks of its content, ``(N,)``: equal files have equal hashes.

    Files are not read whole, because trees may hold millions; two different files of one size that agree in all three
    blocks would count as equal.

    Args:
        index: The files.
    """
    stored = None if index.store is None else index.store / f"contents-{index.digest[:16]}.npy"
    if stored is not None and stored.exists():
        try:
            known = read_array(stored, np.uint64, 1)
            if len(known) == len(index):
                return known
        except (OSError, ValueError):
            pass  # damaged: made again
    hashes = np.empty(len(index), dtype=np.uint64)
    with ThreadPoolExecutor(READING_THREADS) as pool:
        for start in range(0, len(index), CHUNK):
            positions = range(start, min(start + CHUNK, len(index)))
            made = pool.map(lambda at: content_hash(index.path(at)), positions)
            hashes[positions.start : positions.stop] = list(made)
    if stored is not None:
        try:
            np.save(stored, hashes)
        except OSError:  # the cache cannot be written
            stored.unlink(missing_ok=True)
    return hashes


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
