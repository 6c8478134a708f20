"""LightningDataModules: images in [0, 1] with labels and a stable index per image."""

from datamodules.fake import FakeImages
from datamodules.folder import ImageFolder
from datamodules.photographs import Photographs

__all__ = ["FakeImages", "ImageFolder", "Photographs"]
