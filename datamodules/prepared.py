"""Evaluation images resized and cropped once: uint8 shards that are memory-mapped, with a checksum per image."""

import hashlib
import json
import secrets
import time
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from datamodules.arrays import read_array
from datamodules.digests import read_checked, with_digest
from datamodules.loading import make_loader

IMAGES_PER_SHARD = 1024
IMAGES_PER_BATCH = 32  # divides the former
SHARD = "{:05d}.npy"  # a note of the same name, .json, is beside it
OLD = 24 * 3600  # seconds
UNREADABLE = -1  # instead of a checksum
DECISIVE_PACKAGES = ("numpy", "pillow", "torch", "torchvision")
Progress = Callable[[Iterable[Any], int], Iterable[Any]]


def prepared_folder(cache: Path, transform: dict[str, Any]) -> Path:
    """The folder of a transform's prepared images: one for every transform and every version of the libraries."""
    versions = {package: version(package) for package in DECISIVE_PACKAGES}
    key = hashlib.sha256(json.dumps([transform, versions], sort_keys=True).encode()).hexdigest()[:16]
    return cache / "prepared" / key


class PreparedImages:
    """The images of a split, read from their shards.

    Args:
        folder: As :func:`prepare` filled it.
        images: Fingerprint of the images that it should have been made from.

    Raises:
        FileNotFoundError: If the folder holds no finished preparation.
        ValueError: If it was made from other images; also by ``read``, if a shard is damaged; names it.
    """

    def __init__(self, folder: Path, images: str) -> None:
        self.folder = folder
        try:
            described = read_checked(folder / "prepared.json")
            prepared_from, checksums = described["images"], described["checksums"]
        except (ValueError, KeyError) as error:
            raise ValueError(damaged(folder / "prepared.json")) from error
        if prepared_from != images:
            raise ValueError(
                f"{folder} was prepared from other images than there are now: "
                "run task=prepare again, or remove that folder to do without"
            )
        try:
            self.checksums = read_array(folder / "checksums.npy", np.int64, 1)
        except (OSError, ValueError) as error:
            raise ValueError(damaged(folder / "checksums.npy")) from error
        if checksum_of(self.checksums) != checksums:
            raise ValueError(damaged(folder / "checksums.npy"))
        self._shards: dict[int, np.ndarray] = {}

    def __len__(self) -> int:
        return len(self.checksums)

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_shards": {}}  # each process maps them itself

    def read(self, index: int) -> Tensor | None:
        """One image, uint8 ``(3, size, size)``; ``None`` if it could not be read when it was prepared."""
        number, position = divmod(index, IMAGES_PER_SHARD)
        path = self.folder / SHARD.format(number)
        if number not in self._shards:
            try:
                self._shards[number] = read_array(path, np.uint8, 4, mapped=True)
            except (OSError, ValueError) as error:
                raise ValueError(f"{path} is damaged or missing ({error}): run task=prepare again") from error
        checksum = int(self.checksums[index])
        if checksum == UNREADABLE:
            return None
        shard = self._shards[number]
        pixels = np.array(shard[position]) if position < len(shard) else np.empty(0)
        if zlib.crc32(pixels.data) != checksum:  # a damaged page of a memory map raises no error by itself
            raise ValueError(f"{path} is damaged at its image {position}: run task=prepare again, which repairs it")
        return torch.from_numpy(pixels)


def prepare(split: Any, folder: Path, images: str, transform: dict[str, Any], workers: int, progress: Progress) -> int:
    """Write a split's images to shards; shards that exist and are whole are kept.

    Args:
        split: Gives ``(uint8 image (3, size, size), label, index)``; a negative label stands for an unreadable image.
        folder: Where to write.
        images: Fingerprint of the split's images.
        transform: How the images were made, for people to read.
        workers: Processes that load images.
        progress: Wraps an iterable of known length and shows progress.

    Returns:
        How many images were written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    count = len(split)
    shards = [range(start, min(start + IMAGES_PER_SHARD, count)) for start in range(0, count, IMAGES_PER_SHARD)]
    paths = [folder / SHARD.format(number) for number in range(len(shards))]
    written = (*paths, *map(note_of, paths), folder / "checksums.npy", folder / "prepared.json")
    if folders := [path for path in written if path.is_dir()]:
        raise ValueError(f"{folders[0]} is a folder: remove it, and run task=prepare again")
    missing = [number for number, path in enumerate(paths) if not is_whole(path, len(shards[number]), images)]
    (folder / "prepared.json").unlink(missing_ok=True)  # no reader takes a half-written folder for a finished one
    order = [position for number in missing for position in shards[number]]
    loader = make_loader(split, batch_size=IMAGES_PER_BATCH, workers=workers, sampler=order)
    batches = iter(progress(loader, len(loader)))
    for number in missing:
        write_shard(paths[number], batches, len(shards[number]), images)
    checksums = np.concatenate([np.array(read_checked(note_of(path))["checksums"], dtype=np.int64) for path in paths])
    temporary = temporary_path(folder / "checksums.npy")
    with temporary.open("xb") as file:
        np.save(file, checksums)
    temporary.replace(folder / "checksums.npy")
    described = {"images": images, "count": count, "transform": transform, "checksums": checksum_of(checksums)}
    write_json(folder / "prepared.json", described)
    return len(order)


def write_shard(path: Path, batches: Iterator[Any], count: int, images: str) -> None:
    """Write the next ``count`` images as one shard, whole or not at all, then its note."""
    checksums: list[int] = []
    temporary = temporary_path(path)
    shard: np.memmap | None = None
    try:
        while len(checksums) < count:
            pixels, labels, _ = next(batches)
            if shard is None:
                shard = np.lib.format.open_memmap(temporary, "w+", np.uint8, (count, *pixels.shape[1:]))
            for image, label in zip(pixels.numpy(), labels.tolist(), strict=True):
                shard[len(checksums)] = image
                checksums.append(zlib.crc32(image.data) if label >= 0 else UNREADABLE)
        if shard is not None:
            shard.flush()
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    write_json(note_of(path), {"images": images, "checksums": checksums})


def is_whole(path: Path, count: int, images: str) -> bool:
    """Whether a shard holds these images, undamaged."""
    with suppress(OSError, ValueError, KeyError):
        note, shard = read_checked(note_of(path)), read_array(path, np.uint8, 4, mapped=True)
        return bool(
            note["images"] == images
            and len(shard) == len(note["checksums"]) == count
            and all(
                checksum == UNREADABLE or zlib.crc32(np.array(image).data) == checksum
                for image, checksum in zip(shard, note["checksums"], strict=True)
            )
        )
    return False


def note_of(path: Path) -> Path:
    """The file beside a shard with the fingerprint and the checksums of its images."""
    return path.with_suffix(".json")


def checksum_of(checksums: npt.NDArray[np.int64]) -> str:
    """The digest of the checksums of all images."""
    return hashlib.sha256(np.ascontiguousarray(checksums).tobytes()).hexdigest()


def damaged(path: Path) -> str:
    """What to say of a damaged file."""
    return f"{path} is damaged: run task=prepare again, which repairs it"


def temporary_path(path: Path) -> Path:
    """A temporary path in the same folder that nobody can know beforehand; old leftovers of killed jobs are removed."""
    for leftover in path.parent.glob(f".{path.name}.*.partial"):
        with suppress(OSError):
            if time.time() - leftover.stat().st_mtime > OLD:  # younger ones may be of another job
                leftover.unlink()
    return path.with_name(f".{path.name}.{secrets.token_hex(8)}.partial")


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write a small file whole or not at all, with a digest of its content."""
    temporary = temporary_path(path)
    try:
        with temporary.open("x", encoding="utf-8") as file:
            json.dump(with_digest(content), file)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
