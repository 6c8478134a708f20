"""LightningDataModules: images in [0, 1] with labels and a stable index per image."""

from datamodules.any_images import AnyImages
from datamodules.cifar10 import Cifar10Images
from datamodules.cifar100 import Cifar100Images
from datamodules.cues import CuedImages
from datamodules.fake import FakeImages
from datamodules.folder import ImageFolder
from datamodules.photographs import Photographs
from datamodules.real_photographs import RealPhotographs
from datamodules.shards import ImageShards
from datamodules.unlabelled import UnlabelledImages
from datamodules.views.poisoned import PoisonedImages

__all__ = [
    "AnyImages",
    "Cifar10Images",
    "Cifar100Images",
    "CuedImages",
    "FakeImages",
    "ImageFolder",
    "ImageShards",
    "Photographs",
    "PoisonedImages",
    "RealPhotographs",
    "UnlabelledImages",
]
