"""Photographs that come inside installed packages, for networks that know the things in them: no labels."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import skimage.data
import torch
from torch import Tensor
from torchvision.transforms.v2 import functional as transforms

from datamodules.base import CLASS, ImageDataModule, Item, LabelledSplit, Split, crop_at
from datamodules.image_files import read_image
from datamodules.photographs import photograph
from datamodules.sampling import Draw
from networks.seeding import seeded_generator


def sample_image(name: str) -> Tensor:
    """One of scikit-learn's two photographs, uint8 ``(3, H, W)``."""
    from sklearn.datasets import load_sample_image  # here: loading it takes a second

    return torch.from_numpy(np.ascontiguousarray(load_sample_image(f"{name}.jpg").transpose(2, 0, 1)))


def motorcycle(_name: str) -> Tensor:
    """The left photograph of scikit-image's stereo pair, uint8 ``(3, H, W)``."""
    return torch.from_numpy(np.ascontiguousarray(skimage.data.stereo_motorcycle()[0].transpose(2, 0, 1)))


def grace_hopper(name: str) -> Tensor:
    """Matplotlib's photograph, uint8 ``(3, H, W)``."""
    import matplotlib  # here: nothing else of the data needs it

    return read_image(Path(matplotlib.get_data_path()) / "sample_data" / f"{name}.jpg")


# The position of a photograph in this table also decides which of its quarters are trained, validated and tested on
PHOTOGRAPHS: dict[str, Callable[[str], Tensor]] = {
    "chelsea": photograph,
    "coffee": photograph,
    "motorcycle": motorcycle,
    "astronaut": photograph,
    "rocket": photograph,
    "china": sample_image,
    "flower": sample_image,
    "grace_hopper": grace_hopper,
    "camera": photograph,
    "brick": photograph,
    "gravel": photograph,
    "immunohistochemistry": photograph,
}


class RealPhotographs(ImageDataModule):
    """Squares of photographs, of many sizes, shown at the size that ImageNet networks take. Every label is 0.

    Half of each photograph is trained on, a quarter is validated and a quarter tested on, so that no pixel is in two
    splits. In training, each draw is a random square, mirrored half of the time; evaluation uses fixed ones.

    Args:
        names: Photographs, at least two.
        size: Height and width of the images in a batch, in pixels.
        sides: Smallest and largest side of the squares before they are resized to ``size``, in pixels; squares of a
            smaller part of a photograph are as large as it allows.
        train_crops: Training images of each photograph in an epoch.
        test_crops: Images of each photograph in ``val``, and again in ``test``.
        **options: See :class:`~datamodules.base.ImageDataModule`.

    Raises:
        ValueError: If an option does not fit.
    """

    labelled = False

    def __init__(
        self,
        names: Sequence[str],
        *,
        size: int,
        sides: Sequence[int],
        train_crops: int,
        test_crops: int,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        check_photographs(names)
        if len(sides) != 2 or not 0 < sides[0] <= sides[1]:
            raise ValueError(f"data.sides={list(sides)}: give the smallest and the largest side, as [96, 300]")
        if min(size, train_crops, test_crops) < 1:
            raise ValueError(
                f"data.size={size}, data.train_crops={train_crops} and data.test_crops={test_crops} must be at least 1"
            )
        self.classes, self.smallest_side, self.names = [CLASS], size, list(names)
        position = {name: number for number, name in enumerate(PHOTOGRAPHS)}
        regions = [split_regions(PHOTOGRAPHS[name](name), position[name]) for name in names]
        for name, of_photograph in zip(names, regions, strict=True):
            smallest = min(min(region.shape[-2:]) for region in of_photograph.values())
            if smallest < sides[0]:
                raise ValueError(
                    f"data.sides={list(sides)}: parts of the photograph {name} have {smallest} pixels: "
                    "lower the smallest side, or leave it out of data.names"
                )
        splits: tuple[Split, ...] = ("train", "val", "test")
        self._splits = {
            split: SquareSplit(
                [of_photograph[split] for of_photograph in regions],
                size,
                (sides[0], sides[1]),
                train_crops if split == "train" else test_crops,
            )
            for split in splits
        }

    def split(self, name: Split) -> "SquareSplit":
        """Random squares of the training parts, or fixed ones of the parts held out."""
        return self._splits[name]

    def showcase(self, count: int) -> dict[str, Tensor]:
        """The first whole photographs; half of each was trained on."""
        return {name: PHOTOGRAPHS[name](name).float() / 255 for name in self.names[:count]}


def check_photographs(names: Sequence[str]) -> None:
    """Refuse names of no photograph, and fewer than two.

    Raises:
        ValueError: Names the key and the fix.
    """
    unknown = [name for name in names if name not in PHOTOGRAPHS]
    if unknown:
        raise ValueError(f"data.names: no photograph {unknown[0]!r}; choose from {', '.join(PHOTOGRAPHS)}")
    if len(set(names)) < 2 or len(set(names)) < len(names):
        raise ValueError(f"data.names={list(names)}: name two photographs or more, each once")


def halves(image: Tensor) -> tuple[Tensor, Tensor]:
    """Two halves of an image ``(3, H, W)``, cut across its longer side."""
    height, width = image.shape[-2:]
    if height > width:
        return image[:, : height // 2], image[:, height // 2 :]
    return image[..., : width // 2], image[..., width // 2 :]


def split_regions(image: Tensor, turn: int) -> dict[Split, Tensor]:
    """Half of an image to train on, a quarter to validate and a quarter to test on.

    Args:
        image: Shape ``(3, H, W)``.
        turn: Decides which, by its remainder of 4: not always the same quarter, because skies are above.
    """
    one, other = halves(image)
    train, held_out = (one, other) if turn % 2 == 0 else (other, one)
    first, second = halves(held_out)
    val, test = (first, second) if turn % 4 < 2 else (second, first)
    return {"train": train, "val": val, "test": test}


class SquareSplit(LabelledSplit):
    """Squares of parts of photographs: one of every photograph, then another one of every photograph.

    So neighbours are of different photographs, as the nMI floor between different images requires.

    Args:
        regions: The part of each photograph, uint8 ``(3, H, W)``.
        size: Side of the images, in pixels.
        sides: Smallest and largest side of the squares before they are resized.
        times: Images of each photograph.
    """

    def __init__(self, regions: Sequence[Tensor], size: int, sides: tuple[int, int], times: int) -> None:
        super().__init__(np.zeros(len(regions) * times, dtype=np.int32))
        self.regions, self.size, self.sides, self.times = list(regions), size, sides, times

    def group(self, index: int) -> int:
        """The photograph that an image is part of: the independent unit."""
        return index % len(self.regions)

    def __getitem__(self, key: Draw | int) -> Item:
        index = key.image if isinstance(key, Draw) else key
        region = self.regions[self.group(index)]
        if isinstance(key, Draw):
            scale, *rest = torch.rand(4, generator=torch.Generator().manual_seed(key.seed)).tolist()
        else:  # sides spread evenly over their range, positions anywhere, never mirrored
            time, photo = divmod(index, len(self.regions))
            down, right = torch.rand(2, generator=seeded_generator(time, photo)).tolist()
            scale, rest = (time + 0.5) / self.times, [down, right, 1.0]
        return square_of(region, self.sides, scale, rest, self.size), 0, index


def square_of(region: Tensor, sides: tuple[int, int], scale: float, rest: Sequence[float], size: int) -> Tensor:
    """A square of an image, resized.

    Args:
        region: Shape ``(3, H, W)``.
        sides: Smallest and largest side of the square, in pixels.
        scale: Decides the side, on a logarithmic scale, from 0 (the smallest) to 1.
        rest: Decide how far down and right it is in the free room, from 0 to 1, and whether it is mirrored (below .5).
        size: Side after resizing, in pixels.
    """
    height, width = region.shape[-2:]
    largest = min(sides[1], height, width)
    side = round(sides[0] * (largest / sides[0]) ** scale)
    down, right, flip = rest
    square = crop_at(region, int(down * (height - side + 1)), int(right * (width - side + 1)), side)
    square = transforms.resize(square, [size, size], antialias=True)
    return square.flip(-1) if flip < 0.5 else square
