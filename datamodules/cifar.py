"""The base of CIFAR-10 and CIFAR-100: images of 32 × 32 pixels, from the published files."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torchvision.datasets import CIFAR10
from torchvision.datasets.utils import check_integrity

from datamodules.base import ImageDataModule, ImageDataset, Split, TensorSplit

SIDE = 32  # pixels


class CifarImages(ImageDataModule):
    """60,000 images of 32 × 32 pixels; the 10,000 test images are the test split.

    The validation images are held out of the 50,000 training images; which ones does not depend on the seed. A
    training image is a random square of the image with a black margin, mirrored half of the time.

    The files are the data set's "python version", which are pickles. Each is compared with its published MD5 sum
    before it is read, every time, so that no other pickle is ever loaded.

    Args:
        root: The unpacked folder of the data set, or the folder that holds it; nothing is downloaded.
        held_out: Number of training images that make the validation split.
        margin: Pixels added on each side of a training image before it is cropped.
        **options: See :class:`~datamodules.base.ImageDataModule`.

    Attributes:
        source: What torchvision knows of the data set: its files and their sums.

    Raises:
        FileNotFoundError: If a file is missing; says what to put where.
        ValueError: If a file is not the published one, or an option is out of range.
    """

    source: type[CIFAR10]
    smallest_side = SIDE

    def __init__(self, root: str, *, held_out: int, margin: int, **options: Any) -> None:
        super().__init__(**options)
        folder = Path(root)
        if folder.name == self.source.base_folder:
            folder = folder.parent  # people give either of the two
        check_files(folder, self.source)
        self.folder = folder / self.source.base_folder
        train, test = (self.source(folder, train=part, download=False) for part in (True, False))
        if not 1 <= held_out < len(train.data):
            raise ValueError(f"data.held_out={held_out}: hold out at least 1 and fewer than {len(train.data)} images")
        if margin < 0:
            raise ValueError(f"data.margin={margin}: use 0 pixels or more")
        self.classes = list(train.classes)
        self.margin = margin
        order = torch.randperm(len(train.data), generator=torch.Generator().manual_seed(0))
        images, labels = tensors(train)
        self._splits: dict[Split, tuple[Tensor, Tensor]] = {
            "train": (images[order[held_out:]], labels[order[held_out:]]),
            "val": (images[order[:held_out]], labels[order[:held_out]]),
            "test": tensors(test),
        }

    def split(self, name: Split) -> ImageDataset:
        """Random crops of the training images; validation and test images as they are, in no order of classes."""
        images, labels = self._splits[name]
        return TensorSplit(images, labels, SIDE, self.margin)

    def showcase(self, count: int) -> dict[str, Tensor]:
        """The first test images."""
        images, labels = self._splits["test"]
        return {
            f"{self.classes[int(labels[index])]}_{index}": images[index].float() / 255
            for index in range(min(count, len(images)))
        }


def tensors(part: CIFAR10) -> tuple[Tensor, Tensor]:
    """Images, uint8 ``(N, 3, 32, 32)``, and labels ``(N,)``."""
    return torch.from_numpy(part.data).permute(0, 3, 1, 2).contiguous(), torch.tensor(part.targets)


def check_files(root: Path, source: type[CIFAR10]) -> None:
    """Refuse to go on unless every file of the data set is there, as published."""
    folder = root / source.base_folder
    published = dict([*source.train_list, *source.test_list, (source.meta["filename"], source.meta["md5"])])
    missing = [name for name in published if not (folder / name).is_file()]
    if missing:
        where = f"{folder} has no {missing[0]}" if folder.is_dir() else f"data.root={root} has no {folder.name}/ folder"
        raise FileNotFoundError(
            f"{where}: download {source.url} where there is a network, unpack it, and put its folder "
            f"{folder.name}/ ({', '.join(published)}) into data.root"
        )
    damaged = [name for name, digest in published.items() if not check_integrity(str(folder / name), digest)]
    if damaged:
        raise ValueError(
            f"{folder / damaged[0]} is not the published file (its MD5 sum differs): it is damaged or was changed, "
            f"and an unknown pickle could run any code, so it is not opened. Unpack {source.filename} again"
        )
