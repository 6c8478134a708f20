"""Trees of images for tests."""

import io
import tarfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from PIL import Image

WNIDS = ("n01440764", "n02123045", "n07753592")


def jpeg(seed: int = 0, width: int = 60, height: int = 50) -> bytes:
    """A JPEG of coarse random colours."""
    pixels = np.random.default_rng(seed).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).resize((width, height), Image.Resampling.BICUBIC).save(file, "JPEG")
    return file.getvalue()


def make_tree(root: Path, train: int, val: int, width: int = 60, height: int = 50) -> Path:
    """A tree of ImageNet's shape with three of its classes."""
    seed = 0
    for split, count in (("train", train), ("val", val)):
        for wnid in WNIDS:
            folder = root / split / wnid
            folder.mkdir(parents=True)
            for number in range(count):
                seed += 1
                (folder / f"{wnid}_{number}.JPEG").write_bytes(jpeg(seed, width, height))
    return root


def write_tar(path: Path, images: Mapping[str, bytes]) -> None:
    """Write a shard of images, by their names in it."""
    with tarfile.open(path, "w") as tar:
        for name, content in images.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
