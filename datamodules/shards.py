"""Tar shards, read as a stream: for pre-training on more images than a folder can hold."""

import hashlib
import io
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset, get_worker_info
from torchvision.transforms.v2 import functional as transforms

from datamodules.base import UNREADABLE, Batch, ImageDataModule, OnError, Split, crop_at, random_crop
from datamodules.folder import check_options
from datamodules.image_files import EXTENSIONS, read_image

COUNTS = "sizes.json"  # beside the shards: {"00000.tar": 10000, ...}, as img2dataset and OpenCLIP write it
WINDOW = 1000  # images shuffled among each other


@dataclass(frozen=True)
class Shard:
    """A tar file, the number of its images, and how many images the shards before it hold."""

    path: Path
    count: int
    first: int


class ImageShards(ImageDataModule):
    """Images of ``root/*.tar``, each seen at most once, in an order that depends on the seed alone.

    The order of the shards is shuffled, and within a shard every 1,000 consecutive images. The last shards by name are
    held out for the loss checks. Every label is 0; other files in the shards are passed over.

    Args:
        root: The folder of the shards. Their numbers of images are read from ``sizes.json`` there, else counted once.
        size: Height and width of the images in a batch, in pixels.
        resize: Length of an image's shorter side before cropping, in pixels; ``None`` crops images as they are.
        held_out_shards: Number of shards kept out of training.
        on_error: As for :class:`~datamodules.folder.ImageFolder`; in training, a batch without its skipped images is
            smaller.
        cache: Where counts are kept; ``None`` keeps none.
        **options: As for :class:`~datamodules.base.ImageDataModule`.

    Raises:
        FileNotFoundError: If there are no shards.
        ValueError: If there are too few, or an option does not fit.
    """

    labelled = False
    single_pass = True

    def __init__(
        self,
        root: str,
        *,
        size: int,
        resize: int | None,
        held_out_shards: int,
        on_error: OnError = "raise",
        cache: str | None = None,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        check_options(size, resize, "folders", None, on_error)
        check_webdataset()
        self.size, self.resize, self.on_error, self.classes = size, resize, on_error, ["unlabelled"]
        paths = sorted(Path(root).glob("*.tar"))
        if not paths:
            raise FileNotFoundError(f"data.root={root} holds no *.tar; expected shards as webdataset writes them")
        if not 1 <= held_out_shards < len(paths):
            raise ValueError(
                f"data.held_out_shards={held_out_shards} must be at least 1 and fewer than the {len(paths)} shards"
            )
        self._shards = counted(paths, Path(cache) / "shards" if cache else None)
        self._held_out = held_out_shards
        total = sum(shard.count for shard in self._shards)
        self._failed = torch.zeros(total, dtype=torch.uint8).share_memory_() if on_error == "skip" else None

    @property
    def smallest_side(self) -> int:
        """Side of the square images in a batch, in pixels."""
        return self.size

    def split(self, name: Split) -> "ShardStream":
        """A stream of the training images, or of those held out."""
        train = name == "train"
        shards = self._shards[: -self._held_out] if train else self._shards[-self._held_out :]
        view = View(self.size, self.resize, self._failed)
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
        return self._stream_loader(stream, self._batch_size_per_rank, workers, drop_last=True)

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
        failed = [] if self._failed is None else self._failed.nonzero().flatten().tolist()
        return [
            shard.path / str(index - shard.first)
            for index in failed
            for shard in self._shards
            if shard.first <= index < shard.first + shard.count
        ]

    def _evaluation_loader(self, name: Split) -> DataLoader[Batch]:
        return self._stream_loader(self.split(name), self._evaluation_batch_size, min(1, self.workers))

    @staticmethod
    def _stream_loader(stream: Any, batch_size: int, workers: int, **options: Any) -> DataLoader[Batch]:
        return DataLoader(stream, batch_size=batch_size, num_workers=workers, **options)


@dataclass(frozen=True)
class View:
    """How an image of a shard becomes one of a batch."""

    size: int
    resize: int | None
    failed: Tensor | None

    def read(self, content: bytes, name: str, index: int, seed: int | None) -> tuple[Tensor, int, int]:
        """A random square of an encoded image, or the central one if there is no seed; with label and index."""
        try:
            image = read_image(io.BytesIO(content), name)
        except ValueError:
            if self.failed is None:
                raise
            self.failed[index] = 1
            return torch.zeros(3, self.size, self.size, dtype=torch.uint8), UNREADABLE, index
        if self.resize is not None:
            image = transforms.resize(image, [self.resize], antialias=True)
        height, width = image.shape[-2:]
        if min(height, width) < self.size:
            raise ValueError(f"{name} is {height}×{width} pixels, smaller than data.size={self.size}: set data.resize")
        if seed is not None:
            return random_crop(image, self.size, seed), 0, index
        return crop_at(image, (height - self.size) // 2, (width - self.size) // 2, self.size), 0, index


class ShardStream(IterableDataset[tuple[Tensor, int, int]]):
    """Every image of some shards once over all ranks, in order, in pairs of neighbours."""

    def __init__(self, shards: list[Shard], view: View, rank: int = 0, world_size: int = 1) -> None:
        self.shards, self.view, self.rank, self.world_size = shards, view, rank, world_size

    def __len__(self) -> int:
        total = sum(shard.count for shard in self.shards)
        return sum(min(2, total - 2 * pair) for pair in range(self.rank, (total + 1) // 2, self.world_size))

    def label(self, index: int) -> int:
        """Always 0."""
        return 0

    def __getitem__(self, key: Any) -> tuple[Tensor, int, int]:
        raise TypeError("shards are a stream: iterate over them")

    def __iter__(self) -> Iterator[tuple[Tensor, int, int]]:
        start = self.shards[0].first
        for shard in self.shards:
            for place, (name, content) in enumerate(members(shard.path)):
                index = shard.first + place - start
                if index // 2 % self.world_size == self.rank:
                    yield self.view.read(content, name, index, None)


class TrainingStream(ShardStream):
    """A rank's share of the shards, cut into as many streams as there are loading processes, read in turn.

    Args:
        shards: All training shards.
        view: What becomes of an image.
        batch_size: Images of a batch on this rank.
        seed: The study's seed.
        rank: This process's number.
        world_size: Number of processes that train.
        streams: Number of streams; process ``k`` of the loader reads one, batches come from them in turn.
        start: Batches of this rank to leave out, because they were seen before an interruption.
    """

    def __init__(
        self,
        shards: list[Shard],
        view: View,
        *,
        batch_size: int,
        seed: int = 0,
        rank: int = 0,
        world_size: int = 1,
        streams: int = 1,
        start: int = 0,
    ) -> None:
        super().__init__(shards, view, rank, world_size)
        self.batch_size, self.seed, self.streams, self.start = batch_size, seed, streams, start

    def __len__(self) -> int:
        """Images that every rank can have: a multiple of the batch."""
        ranks = (self.batches(rank) for rank in range(self.world_size))
        return self.batch_size * min(sum(batches) for batches in ranks)

    def __iter__(self) -> Iterator[tuple[Tensor, int, int]]:
        seen, turn = self.progress()
        worker = get_worker_info()
        for step in range(1 if worker else self.streams):
            assert worker or self.streams == 1
            number = ((worker.id if worker else step) + turn) % self.streams
            yield from self.stream(number, seen[number] * self.batch_size)

    def stream(self, number: int, skipped: int) -> Iterator[tuple[Tensor, int, int]]:
        """The images of one stream, from some place on."""
        for shard in self.shards_of(self.rank, number):
            if skipped >= shard.count:
                skipped -= shard.count
                continue
            generator = np.random.default_rng([self.seed, shard.first])
            window: list[tuple[int, str, bytes]] = []
            for place, (name, content) in enumerate(members(shard.path)):
                window.append((shard.first + place, name, content))
                if len(window) == WINDOW or place == shard.count - 1:
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
        return [
            self.shards[place] for place in order[rank + number * self.world_size :: self.world_size * self.streams]
        ]

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
    """Name and content of every image in a shard."""
    from webdataset import tariterators

    with path.open("rb") as stream:  # opened here, because the library does not close what it opens
        files = tariterators.tar_file_expander([{"url": str(path), "stream": stream}])
        for sample in tariterators.group_by_keys(files):
            for suffix, content in sample.items():
                if f".{suffix.rsplit('.', 1)[-1]}" in EXTENSIONS:
                    yield f"{path}: {sample['__key__']}.{suffix}", content


def counted(paths: list[Path], cache: Path | None) -> list[Shard]:
    """Shards with their numbers of images, from ``sizes.json``, the cache, or by reading each once."""
    noted = paths[0].parent / COUNTS
    if noted.exists():
        known = json.loads(noted.read_text(encoding="utf-8"))
        missing = [path.name for path in paths if path.name not in known]
        if missing:
            raise ValueError(f"{noted} does not name {missing[0]}: complete it, or remove it to have images counted")
        counts = [int(known[path.name]) for path in paths]
    else:
        counts = cached_counts(paths, cache)
    firsts = np.cumsum([0, *counts]).tolist()
    return [Shard(path, count, first) for path, count, first in zip(paths, counts, firsts, strict=False)]


def cached_counts(paths: list[Path], cache: Path | None) -> list[int]:
    """The number of images in each shard; those counted before and not changed since are not read again."""
    key = hashlib.sha256(str(paths[0].parent.resolve()).encode()).hexdigest()[:16]
    store = cache / f"{key}.json" if cache else None
    known = json.loads(store.read_text(encoding="utf-8")) if store and store.exists() else {}
    stamps = {path: f"{path.name} {path.stat().st_size} {path.stat().st_mtime_ns}" for path in paths}
    missing = [path for path in paths if stamps[path] not in known]
    with ThreadPoolExecutor() as pool:
        found = pool.map(lambda path: sum(1 for _ in members(path)), missing)
        known |= {stamps[path]: count for path, count in zip(missing, found, strict=True)}
    if store and missing:
        store.parent.mkdir(parents=True, exist_ok=True)
        temporary = store.with_name(f".{store.name}.partial")
        temporary.write_text(json.dumps({stamp: known[stamp] for stamp in stamps.values()}), encoding="utf-8")
        temporary.replace(store)
    return [known[stamps[path]] for path in paths]


def check_webdataset() -> None:
    """Say how to get the library that reads shards, which is an extra."""
    try:
        import webdataset  # noqa: F401
    except ImportError as error:
        raise ValueError("data=shards needs the webdataset package: pip install webdataset") from error
