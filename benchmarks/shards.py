"""Reading tar shards with webdataset, and the same images with litdata: images per second, decoding included.

python benchmarks/shards.py     (needs webdataset; litdata is compared if it is installed)
"""

import importlib.util
import io
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import skimage.data
import torch
import webdataset
from PIL import Image
from torch.utils.data import DataLoader

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from datamodules.image_files import read_image
from datamodules.shard_streams import members

IMAGES, PER_SHARD, BATCH, WORKERS, PASSES = 6000, 1000, 64, 2, 6


def make_shards(folder: Path) -> list[Path]:
    """Random 256-pixel crops of a photograph, as JPEGs, in tar files."""
    photograph = Image.fromarray(skimage.data.astronaut())
    corners = np.random.default_rng(0).integers(0, 256, (IMAGES, 2)).tolist()
    paths = [folder / f"{number:05d}.tar" for number in range(IMAGES // PER_SHARD)]
    for number, path in enumerate(paths):
        with webdataset.TarWriter(str(path)) as tar:
            for position in range(number * PER_SHARD, (number + 1) * PER_SHARD):
                left, top = corners[position]
                file = io.BytesIO()
                photograph.crop((left, top, left + 256, top + 256)).save(file, "JPEG", quality=85)
                tar.write({"__key__": f"{position:08d}", "jpg": file.getvalue()})
    return paths


class Stream(torch.utils.data.IterableDataset[torch.Tensor]):
    """The images of shards through webdataset, as this project reads them; shards are shared among the workers."""

    def __init__(self, paths: list[Path]) -> None:
        self.paths = paths

    def __iter__(self) -> Iterator[torch.Tensor]:
        worker: Any = torch.utils.data.get_worker_info()
        for path in self.paths[worker.id :: worker.num_workers]:
            for name, content in members(path):
                yield read_image(io.BytesIO(content), name)


def contents(path: str) -> Iterator[bytes]:
    """What litdata is given to convert."""
    for _, content in members(Path(path)):
        yield content


def rate(loader: Any) -> float:
    """Images per second of one pass."""
    start = time.perf_counter()
    count = sum(len(batch) for batch in loader)
    assert count == IMAGES
    return count / (time.perf_counter() - start)


def main() -> None:
    """Print a Markdown table."""
    with tempfile.TemporaryDirectory() as folder:
        paths = make_shards(Path(folder))
        options: dict[str, Any] = {
            "batch_size": BATCH,
            "num_workers": WORKERS,
            "multiprocessing_context": "fork",  # litdata would otherwise change it for everybody
        }
        loaders: dict[str, Any] = {"webdataset": DataLoader(Stream(paths), **options)}
        if importlib.util.find_spec("litdata"):
            import litdata

            litdata.optimize(
                contents, [str(path) for path in paths], f"{folder}/lit", chunk_bytes="64MB", num_workers=WORKERS
            )
            converted = litdata.StreamingDataset(f"{folder}/lit", shuffle=True, seed=0, transform=decode)
            loaders["litdata"] = litdata.StreamingDataLoader(converted, **options)
        rates: dict[str, list[float]] = {name: [] for name in loaders}
        for _ in range(PASSES):
            for name, loader in loaders.items():
                rates[name].append(rate(loader))
        sys.stdout.write("| library | images/s, median |\n|---|---|\n")
        for name, values in rates.items():
            sys.stdout.write(f"| {name} | {statistics.median(values):.0f} |\n")


def decode(content: bytes) -> torch.Tensor:
    """An image out of litdata's bytes."""
    return read_image(io.BytesIO(content))


if __name__ == "__main__":
    main()
