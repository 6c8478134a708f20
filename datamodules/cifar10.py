"""CIFAR-10, from the published files."""

from torchvision.datasets import CIFAR10

from datamodules.cifar import CifarImages


class Cifar10Images(CifarImages):
    """CIFAR-10: ten classes; ``root`` holds ``cifar-10-batches-py``. See :class:`~datamodules.cifar.CifarImages`."""

    source = CIFAR10
