"""CIFAR-100, from the published files: a hundred classes in twenty super-classes."""

import pickle
from pathlib import Path
from typing import Any

from torchvision.datasets import CIFAR100

from datamodules.cifar import CifarImages


class Cifar100Images(CifarImages):
    """CIFAR-100; ``root`` holds ``cifar-100-python``. See :class:`~datamodules.cifar.CifarImages`.

    ``superclasses`` are the twenty of the data set, five classes in each.

    Raises:
        ValueError: If the files put images of one class into two super-classes.
    """

    source = CIFAR100

    def __init__(self, root: str, **options: Any) -> None:
        super().__init__(root, **options)
        self.superclasses = coarse_names(self.folder, self.classes)


def coarse_names(folder: Path, classes: list[str]) -> list[str]:
    """The super-class of each class, from files that :func:`~datamodules.cifar.check_files` has checked.

    Args:
        folder: The folder of the files.
        classes: In the order of the labels.
    """
    names = unpickled(folder / CIFAR100.meta["filename"])["coarse_label_names"]
    coarse_of: dict[int, int] = {}
    for file, _ in [*CIFAR100.train_list, *CIFAR100.test_list]:
        content = unpickled(folder / file)
        for fine, coarse in zip(content["fine_labels"], content["coarse_labels"], strict=True):
            if coarse_of.setdefault(fine, coarse) != coarse:
                raise ValueError(f"{folder / file}: images of {classes[fine]} are in more than one super-class")
    return [str(names[coarse_of[label]]) for label in range(len(classes))]


def unpickled(path: Path) -> dict[str, Any]:
    """The content of a file that has been checked to be the published one."""
    with path.open("rb") as file:
        content: dict[str, Any] = pickle.load(file, encoding="latin1")  # noqa: S301 - its MD5 sum was compared
    return content
