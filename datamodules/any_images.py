"""Any folder of images, without labels: any nested tree, any mixture of sizes and formats."""

import hashlib
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torchvision.transforms.v2 import RandomResizedCrop
from torchvision.transforms.v2 import functional as transforms

from datamodules.base import CLASS, UNREADABLE, Item, LabelledSplit, Split
from datamodules.contents import distinct_contents
from datamodules.cropped import CroppedImages, Failures, for_showcase
from datamodules.image_files import EXTENSIONS, read_image
from datamodules.image_index import ImageIndex, image_index
from datamodules.sampling import Draw

LEAST = 5  # different images: two to test on, two to validate on, one to train on
LEAST_HELD_OUT = 2
FEW = 30  # images in the test split; below, the user is told what cannot be known from them
WANTED = 100  # evaluation images, made of several crops of each file if there are fewer files
MOST_CROPS = 9
PART = 0.6  # side of the crops after the first one, in parts of the shorter side
CORNERS = ((0.5, 0.5), (0, 0), (1, 1), (0, 1), (1, 0), (0, 0.5), (1, 0.5), (0.5, 0), (0.5, 1))  # of their free room
SCALES, RATIOS = (0.25, 1.0), (3 / 4, 4 / 3)  # area and shape of the random crops in training
KEPT = 256 << 20  # bytes of images that stay in memory, where all images of a split fit
NAMED = 5  # suffixes that are named in a sentence


class AnyImages(CroppedImages):
    """Every image below a folder; EXIF orientation is applied. Every label is 0.

    A hash of the content decides to which split a file belongs, so neither names, order nor further images change it
    (but for the few that small sets need in every split), and copies of a file are used once. In training, each draw
    is a random part of an image at a random scale, mirrored half of the time; evaluation uses fixed squares: the
    central one of the whole image, then, where there are few files, parts of it.

    Args:
        root: The folder.
        size: Height and width of the images in a batch, in pixels; smaller images are enlarged.
        held_out: Share of the files in ``val``, and again in ``test``; at least two each.
        crops_per_epoch: Training images of an epoch, at least; files are drawn several times if there are fewer.
        test_crops: Squares of each file in evaluation, 1 to 9; ``None``: as many as make about 100 images.
        on_error: At an unreadable image, ``raise`` stops with its path; ``skip`` leaves it out.
        cache: The folder of indexes; ``None`` keeps none.
        **options: See :class:`~datamodules.base.ImageDataModule`.

    Raises:
        FileNotFoundError: If the folder is missing.
        ValueError: If it holds fewer than five different images, or an option does not fit.
    """

    labelled = False

    def __init__(
        self,
        root: str,
        *,
        size: int,
        held_out: float,
        crops_per_epoch: int,
        test_crops: int | None,
        on_error: Any,
        cache: str | None,
        **options: Any,
    ) -> None:
        super().__init__(size=size, resize=None, on_error=on_error, cache=cache, **options)
        if not 0 < held_out < 0.5 or crops_per_epoch < 1 or not 1 <= (test_crops or 1) <= MOST_CROPS or test_crops == 0:
            raise ValueError(
                f"data.held_out={held_out} must be between 0 and 0.5, data.crops_per_epoch={crops_per_epoch} at least "
                f"1, and data.test_crops={test_crops} null or from 1 to {MOST_CROPS}"
            )
        self.classes = [CLASS]
        if not Path(root).is_dir():
            raise FileNotFoundError(f"data.root={root} is not a folder; expected any tree of images")
        index = image_index(Path(root), self.cache)
        hashes, first = distinct_contents(index)
        self.files, self.copies, self.others = len(index), len(index) - len(hashes), not_read(index.others)
        if len(hashes) < LEAST:
            raise ValueError(
                f"data.root={root} holds {len(hashes)} different images ({', '.join(sorted(EXTENSIONS))}); give "
                f"{LEAST} or more, so that some are left to train on, to validate and to test"
                + (f". {self.others}" if self.others else "")
            )
        parts = split_by_hash(hashes, first, held_out)
        self._described = repr((hashlib.sha256(hashes.tobytes()).hexdigest(), size, held_out, test_crops))
        self._splits: dict[Split, CropSplit] = {
            "train": CropSplit(index, parts["train"], self, -(-crops_per_epoch // len(parts["train"])))
        }
        for name in ("val", "test"):
            crops = test_crops or min(MOST_CROPS, -(-WANTED // len(parts[name])))
            self._splits[name] = CropSplit(index, parts[name], self, crops)

    def split(self, name: Split) -> "CropSplit":
        """Random parts of the training images, or fixed squares of those held out."""
        return self._splits[name]

    def showcase(self, count: int) -> dict[str, Tensor]:
        """The first images of the test split, whole, at most 512 pixels."""
        split, images = self._splits["test"], dict[str, Tensor]()
        for file in range(len(split.positions)):
            if len(images) == count:
                break
            image = split.read(file)
            if image is not None and (shown := for_showcase(image)) is not None:
                images[split.file(file).stem] = shown
        return images

    def fingerprint(self) -> str:
        """A short hash of the contents, wherever the files are and whatever they are called."""
        return hashlib.sha256(self._described.encode()).hexdigest()[:16]

    def unreadable(self) -> list[Path]:
        """The images that this process met and could not read."""
        return sorted(path for split in self._splits.values() for path in split.unreadable())

    def notes(self) -> list[str]:
        """What a user should know of these images."""
        tested = len(self._splits["test"].positions)
        said = [f"{self.copies:,} of {self.files:,} files are copies of others and are not used"] if self.copies else []
        said += [self.others] if self.others else []
        if tested < FEW:
            said.append(
                f"only {tested} of these images are tested on: numbers and intervals hold for these very images, and "
                f"what other images would give cannot be known from so few; {FEW} need about "
                f"{FEW * (self.files - self.copies) // tested:,} images"
            )
        return said


def not_read(others: Mapping[str, int]) -> str:
    """A sentence about files that are no images to this program; empty if there are none.

    Args:
        others: How many there are of each suffix.

    >>> not_read({".heic": 12, ".mov": 1})
    '13 further files are not read (12 .heic, 1 .mov); convert images among them, for example to .jpg'
    """
    if not others:
        return ""
    common = sorted(others.items(), key=lambda pair: (-pair[1], pair[0]))
    named = ", ".join(f"{count:,} {suffix or 'without a suffix'}" for suffix, count in common[:NAMED])
    more = ", …" if len(common) > NAMED else ""
    total = sum(others.values())
    what = f"{total:,} further files are" if total > 1 else "1 further file is"
    return f"{what} not read ({named}{more}); convert images among them, for example to .jpg"


def split_by_hash(
    hashes: npt.NDArray[np.uint64], positions: npt.NDArray[np.int64], held_out: float
) -> dict[str, npt.NDArray[np.int64]]:
    """The files of each split: those with the smallest hashes are tested on, the next ones validated on.

    Args:
        hashes: The short hash of each content, ascending, ``(N,)``.
        positions: Where each content is first found, ``(N,)``.
        held_out: Share of ``test``, and again of ``val``.
    """
    share = hashes.astype(np.float64) / 2**64
    tested = max(LEAST_HELD_OUT, int((share < held_out).sum()))
    validated = max(LEAST_HELD_OUT, int((share < 2 * held_out).sum()) - tested)
    train = positions[tested + validated :]
    if not len(train):  # all hashes of a small set are small
        tested = validated = LEAST_HELD_OUT
        train = positions[2 * LEAST_HELD_OUT :]
    return {"test": positions[:tested], "val": positions[tested : tested + validated], "train": train}


class CropSplit(LabelledSplit):
    """Squares of the images of a split: all files once, then all files again.

    So neighbours are of different files, as the nMI floor between different images requires.

    Args:
        index: The images of a tree.
        positions: Positions in ``index`` of the files of this split, in its order.
        data: Decides the size of the squares, and what happens at an unreadable image.
        times: Images of each file.
    """

    def __init__(self, index: ImageIndex, positions: npt.NDArray[np.int64], data: AnyImages, times: int) -> None:
        super().__init__(np.zeros(len(positions) * times, dtype=np.int32))
        self.index, self.positions, self.size = index, positions, data.size
        self._failures = Failures(len(positions), data.on_error)
        self._keep()

    def _keep(self) -> None:
        """Begin with no image in memory."""
        fitting = KEPT // (3 * 2 * self.size * 3 * self.size)  # photographs of 2:3, as read() returns them
        self._kept = lru_cache(maxsize=fitting if len(self.positions) <= fitting else 0)(self._read)

    def __getstate__(self) -> dict[str, Any]:
        """What a loading process gets: it keeps images of its own."""
        return {name: value for name, value in self.__dict__.items() if name != "_kept"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._keep()

    def __getitem__(self, key: Draw | int) -> Item:
        position = key.image if isinstance(key, Draw) else key
        time, file = divmod(position, len(self.positions))
        image = self.read(file)
        if image is None:
            if isinstance(key, Draw):
                return self._next(key, file)
            return torch.zeros(3, self.size, self.size, dtype=torch.uint8), UNREADABLE, position
        seen = random_part(image, self.size, key.seed) if isinstance(key, Draw) else fixed_part(image, self.size, time)
        return seen, 0, position

    def group(self, index: int) -> int:
        """The file that an image is part of: the independent unit."""
        return index % len(self.positions)

    def file(self, file: int) -> Path:
        """The path of a file of the split."""
        return self.index.path(int(self.positions[file]))

    def path(self, position: int) -> Path:
        """The file of an image."""
        return self.file(self.group(position))

    def unreadable(self) -> list[Path]:
        """The files that could not be read so far."""
        return [self.file(file) for file in self._failures.indices()]

    def read(self, file: int) -> Tensor | None:
        """A whole image, uint8 ``(3, H, W)``, at most twice as large as needed; ``None`` if it may be skipped."""
        return self._kept(file)

    def _read(self, file: int) -> Tensor | None:
        try:
            image = read_image(self.file(file), as_shown=True)
        except ValueError as error:
            if self._failures.note(file):
                return None
            raise ValueError(f"{error}; or data.on_error=skip") from error
        if min(image.shape[-2:]) > 2 * self.size:
            image = transforms.resize(image, [2 * self.size], antialias=True)
        return image

    def _next(self, draw: Draw, file: int) -> Item:
        """A part of the next image that can be read."""
        for step in range(1, len(self.positions)):
            other = (file + step) % len(self.positions)
            if (image := self.read(other)) is not None:
                return random_part(image, self.size, draw.seed), 0, other
        raise ValueError("no training image can be read: data.on_error=skip has skipped them all")


def random_part(image: Tensor, size: int, seed: int) -> Tensor:
    """A random part of an image ``(3, H, W)``, resized to a square, mirrored half of the time; decided by ``seed``."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        options = RandomResizedCrop(size, SCALES, RATIOS, antialias=True).make_params([image])
        flip = bool(torch.rand(1) < 0.5)
    part = transforms.resized_crop(image, **options, size=[size, size], antialias=True)
    return part.flip(-1) if flip else part


def fixed_part(image: Tensor, size: int, number: int) -> Tensor:
    """A fixed square of an image ``(3, H, W)``: number 0 is the central one of the shorter side, others are parts."""
    height, width = image.shape[-2:]
    side = min(height, width) if number == 0 else max(1, round(PART * min(height, width)))
    down, right = CORNERS[max(0, number - 1)]
    top, left = (0.5, 0.5) if number == 0 else (down, right)
    corner = round(top * (height - side)), round(left * (width - side))
    return transforms.resized_crop(image, *corner, side, side, [size, size], antialias=True)
