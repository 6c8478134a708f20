"""Tar shards, read as a stream: for pre-training on more images than a folder can hold."""

import hashlib
import importlib.util
import json
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor
from torch.utils.data import DataLoader

from datamodules.base import CLASS, Batch, Split
from datamodules.cropped import CroppedImages, Failures
from datamodules.digests import read_checked
from datamodules.loading import make_loader
from datamodules.prepared import write_json
from datamodules.shard_streams import Shard, ShardStream, TrainingStream, View, members

COUNTS = "sizes.json"  # beside the shards: {"00000.tar": 10000, ...}, as img2dataset and OpenCLIP write it


class ImageShards(CroppedImages):
    """Images of ``root/*.tar``, each seen at most once, in an order that depends on the seed alone.

    The order of the shards is shuffled, and within a shard every 1,000 consecutive images. The last shards by name are
    held out for the loss checks. Every label is 0; other files in the shards are passed over.

    Args:
        root: The folder of the shards. Their numbers of images are read from ``sizes.json`` there, else counted once.
        held_out_shards: Number of shards kept out of training.
        **options: See :class:`~datamodules.cropped.CroppedImages`; in training, skipped images make a batch smaller.

    Raises:
        FileNotFoundError: If there are no shards.
        ValueError: If there are too few, or an option does not fit.
    """

    labelled = False
    single_pass = True

    def __init__(self, root: str, *, held_out_shards: int, **options: Any) -> None:
        super().__init__(**options)
        if importlib.util.find_spec("webdataset") is None:  # an extra
            raise ValueError("data=shards needs the webdataset package: pip install webdataset")
        self.classes = [CLASS]
        paths = sorted(Path(root).glob("*.tar"))
        if not paths:
            raise FileNotFoundError(f"data.root={root} holds no *.tar; expected shards as webdataset writes them")
        if not 1 <= held_out_shards < len(paths):
            raise ValueError(
                f"data.held_out_shards={held_out_shards} must be at least 1 and fewer than the {len(paths)} shards"
            )
        self._shards, self._held_out = counted(paths, self.cache), held_out_shards
        self._failures = Failures(sum(shard.count for shard in self._shards), self.on_error)

    def split(self, name: Split) -> "ShardStream":
        """A stream of the training images, or of those held out."""
        train = name == "train"
        shards = self._shards[: -self._held_out] if train else self._shards[-self._held_out :]
        view = View(self.size, self.resize, self._failures)
        if not train:
            return ShardStream(shards, view, rank=self._rank, world_size=self._world_size)
        if len(shards) < self._world_size:
            raise ValueError(
                f"data.root has {len(shards)} training shards for {self._world_size} devices: use more shards"
            )
        return TrainingStream(
            shards,
            view,
            batch_size=self._batch_size_per_rank,
            seed=self.seed,
            rank=self._rank,
            world_size=self._world_size,
            streams=max(1, min(self.workers, len(shards) // self._world_size)),
            start=self.consumed_batches,
        )

    def train_dataloader(self) -> DataLoader[Batch]:
        """The stream in batches; as many loading processes as there are shards for, at most ``workers``."""
        stream = self.split("train")
        assert isinstance(stream, TrainingStream)
        workers = stream.streams if self.workers else 0
        return make_loader(stream, batch_size=self._batch_size_per_rank, workers=workers, drop_last=True)

    def showcase(self, count: int) -> dict[str, Tensor]:
        """The first images held out."""
        images = iter(self.split("val"))
        return {f"image {number}": next(images)[0].float() / 255 for number in range(count)}

    def fingerprint(self) -> str:
        """A short hash of the shards' names, sizes and numbers of images."""
        shards = [(shard.path.name, shard.path.stat().st_size, shard.count) for shard in self._shards]
        return hashlib.sha256(repr((shards, self.size, self.resize, self._held_out)).encode()).hexdigest()[:16]

    def unreadable(self) -> list[Path]:
        """Shard and number of the images that this process met and could not read."""
        return [
            shard.path / str(index - shard.first)
            for index in self._failures.indices()
            for shard in self._shards
            if shard.first <= index < shard.first + shard.count
        ]

    def _evaluation_loader(self, name: Split) -> DataLoader[Batch]:
        return make_loader(self.split(name), batch_size=self._evaluation_batch_size, workers=min(1, self.workers))


def counted(paths: list[Path], cache: Path | None) -> list[Shard]:
    """Shards with their numbers of images, from ``sizes.json``, the cache, or by reading each once."""
    listed = paths[0].parent / COUNTS
    if listed.exists():
        try:
            known = {str(name): image_count(count) for name, count in json.loads(listed.read_text("utf-8")).items()}
        except (ValueError, AttributeError, OSError, RecursionError) as error:
            raise ValueError(
                f'{listed} is not of the form {{"00000.tar": 10000}}: correct it, or remove it to have images counted'
            ) from error
        missing = [path.name for path in paths if path.name not in known]
        if missing:
            raise ValueError(f"{listed} does not name {missing[0]}: complete it, or remove it to have images counted")
        counts = [known[path.name] for path in paths]
    else:
        counts = cached_counts(paths, cache)
    firsts = np.cumsum([0, *counts]).tolist()
    return [Shard(path, count, first) for path, count, first in zip(paths, counts, firsts, strict=False)]


def image_count(count: Any) -> int:
    """A number of images as a JSON document gives it."""
    if type(count) is not int or not 0 <= count < 2**40:
        raise ValueError(f"{count} is no number of images")
    return count


def cached_counts(paths: list[Path], cache: Path | None) -> list[int]:
    """The number of images in each shard; those counted before and not changed since are not read again."""
    key = hashlib.sha256(str(paths[0].parent.resolve()).encode()).hexdigest()[:16]
    store = cache / "shards" / f"{key}.json" if cache else None
    known: dict[str, int] = {}
    with suppress(OSError, ValueError):  # there is none yet, or it is damaged: counted again
        known = read_checked(store) if store else {}
    stamps = {path: f"{path.name} {path.stat().st_size} {path.stat().st_mtime_ns}" for path in paths}
    missing = [path for path in paths if stamps[path] not in known]
    with ThreadPoolExecutor() as pool:
        counts = pool.map(lambda path: sum(1 for _ in members(path)), missing)
        known |= {stamps[path]: count for path, count in zip(missing, counts, strict=True)}
    if store and missing:
        store.parent.mkdir(parents=True, exist_ok=True)
        write_json(store, {stamp: known[stamp] for stamp in stamps.values()})
    return [known[stamps[path]] for path in paths]
