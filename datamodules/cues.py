"""Drawn images with known cues: colour, shape, texture and background, each agreeing with the label or not."""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Literal, get_args

import torch
from torch import Tensor

from datamodules.base import ImageDataModule, Item, LabelledSplit, Split
from datamodules.sampling import Draw
from networks.seeding import seeded_generator

Cue = Literal["colour", "shape", "texture", "background"]
CUES: tuple[Cue, ...] = get_args(Cue)
VALUES = 4  # of every cue, and classes
SPLITS: dict[Split, int] = {"train": 0, "val": 1, "test": 2}

BRIGHTNESS = 0.32  # of every colour (Rec. 601), so that a grey image does not show the colour
HUES = torch.tensor([[0.86, 0.30, 0.36], [0.22, 0.58, 0.20], [0.34, 0.46, 0.98], [0.60, 0.45, 0.13]])
COLOURS = HUES * BRIGHTNESS / (HUES @ torch.tensor([0.299, 0.587, 0.114]))[:, None]
TEXTURE_PERIOD = 4.0  # pixels
TEXTURE_DEPTH = 0.35  # share of the brightness
BACKGROUND_DEPTH = 0.2


class CuedImages(ImageDataModule):
    """An object on a background, in four classes that chosen cues predict, so it is known what a classifier can use.

    A cue is the object's ``colour`` (equally bright), its ``shape``, its fine ``texture``, or the direction in which
    the ``background`` gets brighter; each has four values, equally frequent. The cues named in ``cues`` agree with the
    label; all others are drawn at random, independently. The position and size of the object and the noise are random,
    too. An image depends on ``seed``, its split and its index alone; nothing is augmented.

    With one cue, with a conjunction and with none the images are the same, and only the labels differ: so several
    classifiers can be trained with different labels on the same images.

    Args:
        cues: The cues that agree with the label; with none, the label is random.
        conjunction: Whether the label is the sum of the values of ``cues``, modulo four; then no cue alone predicts it.
        size: Height and width, in pixels.
        images: Number of training images.
        held_out: Number of images in ``val``, and in ``test``.
        noise: Standard deviation of the pixels' noise, of a range of 1.
        **options: See :class:`~datamodules.base.ImageDataModule`.

    Raises:
        ValueError: If a cue is unknown or named twice, or a conjunction has fewer than two.
    """

    attributes = CUES

    def __init__(
        self,
        *,
        cues: Sequence[Cue],
        conjunction: bool,
        size: int,
        images: int,
        held_out: int,
        noise: float,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        unknown = [cue for cue in cues if cue not in CUES]
        if unknown or len(set(cues)) < len(cues):
            raise ValueError(f"data.cues={list(cues)}: name some of {', '.join(CUES)}, each once")
        if conjunction and len(cues) < 2:
            raise ValueError(f"data.conjunction=true needs two cues or more, data.cues has {len(cues)}")
        if size < 16:
            raise ValueError(
                f"data.size={size} is too small for textures of {TEXTURE_PERIOD:.0f} pixels: use 16 or more"
            )
        self.cues, self.conjunction, self.noise = tuple(cues), conjunction, noise
        self.smallest_side = self.size = size
        self.lengths: dict[Split, int] = {"train": images, "val": held_out, "test": held_out}
        self.classes = [f"class_{label}" for label in range(VALUES)]

    def split(self, name: Split) -> "CuedSplit":
        """Images that no other split holds."""
        return CuedSplit(self, name)


class CuedSplit(LabelledSplit):
    """One split of :class:`CuedImages`; an image is drawn when it is first needed, and kept while the process lives.

    Splits that differ in their labels only share the drawn images.

    Attributes:
        values: Of every image's cues, in the order of ``CUES``, from 0 to 3, ``(N, 4)``.
        labels: ``(N,)``.
    """

    def __init__(self, data: CuedImages, name: Split) -> None:
        self.size, self.noise, length = data.size, data.noise, data.lengths[name]
        generator = seeded_generator(data.seed, SPLITS[name])
        labels, *values = (torch.randperm(length, generator=generator) % VALUES for _ in range(len(CUES) + 1))
        super().__init__(labels)
        self.values = torch.stack(values, dim=1)
        self.seeds = torch.randint(2**62, (length,), generator=generator)
        columns = [CUES.index(cue) for cue in data.cues]
        if data.conjunction:
            self.labels = self.values[:, columns].sum(dim=1) % VALUES
        elif columns:
            self.labels = self.values[:, columns[0]].clone()
            self.values[:, columns] = self.labels[:, None]
        self.drawn = drawn_before(data.seed, name, length, self.size, self.noise, self.values.numpy().tobytes())

    def __getitem__(self, key: Draw | int) -> Item:
        index = key.image if isinstance(key, Draw) else key
        if index not in self.drawn:
            self.drawn[index] = self.draw(index)
        return self.drawn[index], self.label(index), index

    def draw(self, index: int) -> Tensor:
        """An image, uint8 ``(3, size, size)``."""
        colour, shape, texture, background = self.values[index].tolist()
        generator = torch.Generator().manual_seed(int(self.seeds[index]))
        image = draw_cues(colour, shape, texture, background, self.size, generator)
        image += self.noise * torch.randn(image.shape, generator=generator)
        return (image.clamp(0, 1) * 255).round().to(torch.uint8)


@lru_cache(maxsize=8)
def drawn_before(*_: object) -> dict[int, Tensor]:
    """The images with these settings and values that this process has drawn so far, by index."""
    return {}


def draw_cues(
    colour: int, shape: int, texture: int, background: int, size: int, generator: torch.Generator | None = None
) -> Tensor:
    """An object with a colour, a shape and a texture on a background; each value from 0 to 3.

    Args:
        colour: Red, green, blue or ochre, equally bright.
        shape: Disc, square, triangle or cross, of equal area.
        texture: Horizontal, vertical or diagonal stripes, or a chequer, four pixels in period and of equal depth.
        background: Grey that gets brighter to the right, the left, the bottom or the top.
        size: Height and width, in pixels.
        generator: Draws the position and size of the object, and the texture's phase.

    Returns:
        Shape ``(3, size, size)``, in [0, 1].
    """
    centre_x, centre_y, scale, phase_x, phase_y = torch.rand(5, generator=generator).tolist()
    axis = (torch.arange(size) + 0.5) / size * 2 - 1
    y, x = torch.meshgrid(axis, axis, indexing="ij")
    directions = (x, -x, y, -y)
    ground = 0.5 + BACKGROUND_DEPTH * directions[background]
    radius = 0.42 + 0.1 * scale
    inside = shape_mask(shape, x - 0.5 * (centre_x - 0.5), y - 0.5 * (centre_y - 0.5), radius)
    row, column = torch.meshgrid(torch.arange(size), torch.arange(size), indexing="ij")
    relief = 1 + TEXTURE_DEPTH * texture_pattern(texture, column + 4 * phase_x, row + 4 * phase_y)
    painted = COLOURS[colour][:, None, None] * relief
    return torch.where(inside, painted, ground.expand(3, -1, -1)).clamp(0, 1)


def shape_mask(shape: int, x: Tensor, y: Tensor, radius: float) -> Tensor:
    """Whether each pixel is inside the shape; all shapes have the area of a disc of that radius."""
    if shape == 0:
        return x**2 + y**2 < radius**2
    if shape == 1:
        return torch.maximum(x.abs(), y.abs()) < radius * 0.886  # √π / 2
    if shape == 2:
        side = radius * 2.694  # of an equilateral triangle: √(4π / √3)
        height = side * 0.866
        down = y + height / 2  # 0 at the tip
        return (down > 0) & (down < height) & (x.abs() < down / height * side / 2)
    arm = radius * 0.396  # half the width of arms three times as long as wide: √(π / 20)
    across = torch.maximum(x.abs(), y.abs()) < 3 * arm
    return across & (torch.minimum(x.abs(), y.abs()) < arm)


def texture_pattern(texture: int, x: Tensor, y: Tensor) -> Tensor:
    """A fine pattern in pixels ``x`` and ``y``, with mean 0 and mean square 1 / 2 for every kind."""
    wave = 2 * torch.pi / TEXTURE_PERIOD
    across, down, diagonal = torch.sin(wave * x), torch.sin(wave * y), torch.sin(wave * (x + y))
    return (down, across, diagonal, 2**0.5 * across * down)[texture]
