"""Data modules with the settings of conf/data and a plain way of loading, of which a test changes some."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from datamodules import (
    Cifar10Images,
    Cifar100Images,
    CuedImages,
    FakeImages,
    ImageFolder,
    ImageShards,
    Photographs,
    RealPhotographs,
    UnlabelledImages,
)
from datamodules.real_photographs import PHOTOGRAPHS

LOADING: dict[str, Any] = {"batch_size": 32, "seed": 0, "workers": 0, "augmentation": "crop_flip"}
READING: dict[str, Any] = LOADING | {"on_error": "raise", "cache": None}
FOLDER: dict[str, Any] = READING | {
    "class_list": "folders", "classes": None, "per_class": None, "expect": None, "upright": False,
}  # fmt: skip
CIFAR: dict[str, Any] = LOADING | {"held_out": 5000, "margin": 4}
CUES: dict[str, Any] = LOADING | {"conjunction": False, "size": 32, "images": 2500, "held_out": 500, "noise": 0.05}


def fake_images(**options: Any) -> FakeImages:
    """Drawn images; ``class_count``, ``size`` and ``images`` must be given."""
    return FakeImages(**LOADING | options)


def cued_images(**options: Any) -> CuedImages:
    """Drawn images with known cues; ``cues`` must be given."""
    return CuedImages(**CUES | options)


def photographs(names: Sequence[str], **options: Any) -> Photographs:
    """Tiles of photographs; all but the loading must be given."""
    return Photographs(names, **LOADING | options)


def real_photographs(names: Sequence[str] = tuple(PHOTOGRAPHS), **options: Any) -> RealPhotographs:
    """Squares of photographs for ImageNet networks; all but their sides and the loading must be given."""
    return RealPhotographs(names, **{"sides": [96, 300]} | LOADING | options)


def cifar10(root: Path, **options: Any) -> Cifar10Images:
    """CIFAR-10 in ``root``."""
    return Cifar10Images(str(root), **CIFAR | options)


def cifar100(root: Path, **options: Any) -> Cifar100Images:
    """CIFAR-100 in ``root``."""
    return Cifar100Images(str(root), **CIFAR | options)


def image_folder(root: Path, **options: Any) -> ImageFolder:
    """Class folders below ``root``; ``size`` and ``resize`` must be given."""
    return ImageFolder(str(root), **FOLDER | options)


def unlabelled_images(root: Path, **options: Any) -> UnlabelledImages:
    """Every image below ``root``; ``size``, ``resize`` and ``held_out`` must be given."""
    return UnlabelledImages(str(root), **READING | {"upright": True} | options)


def image_shards(root: Path, **options: Any) -> ImageShards:
    """The shards of ``root``; ``size``, ``resize`` and ``held_out_shards`` must be given."""
    return ImageShards(str(root), **READING | options)
