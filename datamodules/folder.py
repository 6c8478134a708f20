"""Any tree of images with one folder per class."""

import hashlib
import random
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torchvision.transforms.v2 import functional as transforms

from datamodules.base import ImageDataModule, Split, crop_at, random_crop
from datamodules.sampling import Draw

EXTENSIONS = {".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".ppm", ".gif"}
LAYOUT = "expected train/<class>/* and val/<class>/* (test/<class>/* is optional)"


class ImageFolder(ImageDataModule):
    """Images of ``root/train/<class>/*`` and ``root/val/<class>/*``; ``root/test`` too where it exists, else ``val``.

    An image's shorter side is resized to ``resize``; then training takes a random square of ``size`` pixels, mirrored
    half of the time, and evaluation the central one. The order of an evaluation split is a fixed shuffle of its sorted
    paths, so that neighbours (from which the nMI floor is taken) are unrelated.

    Args:
        root: The folder.
        size: Height and width of the images in a batch, in pixels.
        resize: Length of an image's shorter side before cropping, in pixels; ``None`` crops images as they are.
        **options: As for :class:`~datamodules.base.ImageDataModule`.

    Raises:
        FileNotFoundError: If the tree or a split is missing.
        ValueError: If a split or a class has no image, or the splits' classes differ.
    """

    def __init__(self, root: str, *, size: int, resize: int | None, **options: Any) -> None:
        super().__init__(**options)
        if resize is not None and resize < size:
            raise ValueError(f"data.resize={resize} is smaller than data.size={size}: make it at least as large")
        self.root, self.size, self.resize = Path(root), size, resize
        if not self.root.is_dir():
            raise FileNotFoundError(f"data.root={root} is not a folder; {LAYOUT}")
        self._folders: dict[Split, str] = {
            "train": "train",
            "val": "val",
            "test": "test" if (self.root / "test").is_dir() else "val",
        }
        self.classes = class_names(self.root / "train")
        for folder in sorted(set(self._folders.values()) - {"train"}):
            differing = sorted(set(class_names(self.root / folder)) ^ set(self.classes))
            if differing:
                raise ValueError(
                    f"data.root={root}: train/ and {folder}/ hold different classes: {', '.join(differing)} "
                    "is in one of them only; give both the same folders"
                )
        folders = dict.fromkeys(self._folders.values())
        self._paths = {folder: image_paths(self.root / folder, self.classes) for folder in folders}

    @property
    def smallest_side(self) -> int:
        """Side of the square images in a batch, in pixels."""
        return self.size

    def split(self, name: Split) -> "FolderSplit":
        """Random squares of the training images, or the central squares of the others."""
        paths = list(self._paths[self._folders[name]])
        if name != "train":
            random.Random(0).shuffle(paths)  # noqa: S311 - an order, not a secret
        return FolderSplit(paths, self.size, self.resize)

    def showcase(self, count: int) -> dict[str, Tensor]:
        """The first evaluation images, whole, at their own size (at most 512 pixels)."""
        images: dict[str, Tensor] = {}
        for path, _ in self.split("test").paths[:count]:
            image = read_image(path)
            if max(image.shape[-2:]) > 512:
                image = transforms.resize(image, [511], max_size=512, antialias=True)
            images[path.stem] = image.float() / 255
        return images

    def fingerprint(self) -> str:
        """A short hash of every path, file size and label."""
        digest = hashlib.sha256(repr((self.classes, self.size, self.resize)).encode())
        for folder in sorted(self._paths):
            for path, label in self._paths[folder]:
                digest.update(f"{path.relative_to(self.root)} {path.stat().st_size} {label}\n".encode())
        return digest.hexdigest()[:16]


class FolderSplit(torch.utils.data.Dataset[tuple[Tensor, int, int]]):
    """Images read when asked for: a random square for a ``Draw``, the central one for an ``int``."""

    def __init__(self, paths: list[tuple[Path, int]], size: int, resize: int | None) -> None:
        self.paths, self.size, self.resize = paths, size, resize

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, key: Draw | int) -> tuple[Tensor, int, int]:
        index = key.image if isinstance(key, Draw) else key
        path, label = self.paths[index]
        image = read_image(path)
        if self.resize is not None:
            image = transforms.resize(image, [self.resize], antialias=True)
        height, width = image.shape[-2:]
        if min(height, width) < self.size:
            raise ValueError(
                f"{path} is {height}×{width} pixels, smaller than data.size={self.size}: "
                "remove it, lower data.size, or set data.resize"
            )
        if isinstance(key, Draw):
            return random_crop(image, self.size, key.seed), label, index
        return crop_at(image, (height - self.size) // 2, (width - self.size) // 2, self.size), label, index


def read_image(path: Path) -> Tensor:
    """Read an image file as RGB, uint8, ``(3, H, W)``; an unreadable one is a ``ValueError`` with its path."""
    try:
        with Image.open(path) as image:
            pixels = np.array(image.convert("RGB"))
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise ValueError(f"{path} cannot be read as an image ({error}): replace or remove it") from error
    return torch.from_numpy(pixels).permute(2, 0, 1).contiguous()


def class_names(folder: Path) -> list[str]:
    """The sorted names of a split's class folders."""
    if not folder.is_dir():
        raise FileNotFoundError(f"data.root={folder.parent} has no {folder.name}/ folder; {LAYOUT}")
    names = sorted(entry.name for entry in folder.iterdir() if entry.is_dir() and not entry.name.startswith("."))
    if not names:
        raise ValueError(f"{folder} holds no class folders; {LAYOUT}")
    return names


def image_paths(folder: Path, classes: list[str]) -> list[tuple[Path, int]]:
    """Every image file of a split with its label, sorted."""
    found: list[tuple[Path, int]] = []
    for label, name in enumerate(classes):
        files = sorted(path for path in (folder / name).rglob("*") if path.suffix.lower() in EXTENSIONS)
        if not files:
            raise ValueError(
                f"{folder / name} holds no images ({', '.join(sorted(EXTENSIONS))}): add some, or remove the folder"
            )
        found += [(path, label) for path in files]
    return found
