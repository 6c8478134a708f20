"""The spectrum of a network of which it is known which bands it reads: the bits are in these bands."""

import math
from collections.abc import Callable
from functools import partial

import pytest
import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from methods.band_tolerance.channel import band_powers, bits
from methods.band_tolerance.fit import BandFit, Stages
from methods.band_tolerance.settings import BandTolerance
from methods.band_tolerance.transform import COLOURS, BandTransform, suitable_levels

SIZE, IMAGES, SEED = 32, 400, 0
GREY, RED_GREEN, BLUE_YELLOW = (1.0, 1.0, 1.0), (1.0, -1.0, 0.0), (-1.0, -1.0, 2.0)
PLANTED = 0.9  # of the bits, at least
MakeTrainer = Callable[..., pl.Trainer]
Reader = Callable[[Tensor], Tensor]


class Images(Dataset[tuple[Tensor, int, int]]):
    """Grey images with a signal, and white noise in every pixel and colour, so that no band is empty."""

    def __init__(self, signals: Tensor) -> None:
        generator = torch.Generator().manual_seed(SEED)
        drawn = 0.5 + signals + 0.1 * torch.randn(signals.shape, generator=generator)
        self.pixels = (255 * drawn.clamp(0, 1)).round().to(torch.uint8)
        self.images = self.pixels.float() / 255

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[Tensor, int, int]:
        return self.images[index], 0, index


class ExactReader(nn.Module):
    """Logits of two classes: whether a number that a fixed formula reads from an image is above its middle."""

    def __init__(self, formula: Reader, images: Tensor, sharpness: float = 4.0) -> None:
        super().__init__()
        self.formula, self.sharpness = formula, sharpness
        read = formula(images)
        self.middle, self.spread = float(read.mean()), float(read.std())

    def forward(self, images: Tensor) -> Tensor:
        above = self.sharpness * (self.formula(images) - self.middle) / self.spread
        return torch.stack([-above, above], dim=1)


def unit(colour: tuple[float, float, float]) -> Tensor:
    direction = torch.tensor(colour)
    return direction / direction.norm()


def grid() -> tuple[Tensor, Tensor]:
    rows, columns = torch.meshgrid(torch.arange(SIZE), torch.arange(SIZE), indexing="ij")
    return rows.float(), columns.float()


def two_values(count: int) -> Tensor:
    return (torch.arange(count) % 2 * 2.0 - 1)[:, None, None]


def stripes(cycles: int, orientation: str) -> tuple[Tensor, Reader]:
    """Grey stripes of a random phase, weak or strong; read by their energy at ``cycles`` per image."""
    along = grid()[0 if orientation == "horizontal" else 1]
    phase = torch.rand(IMAGES, 1, 1, generator=torch.Generator().manual_seed(1)) * 2 * math.pi
    depth = 0.12 + 0.06 * two_values(IMAGES)
    wave = depth * torch.sin(2 * math.pi * cycles * along / SIZE + phase)
    signals = wave[:, None] * unit(GREY)[:, None, None]
    angle = 2 * math.pi * cycles * along / SIZE

    def energy(images: Tensor) -> Tensor:
        grey = torch.einsum("nchw,c->nhw", images, unit(GREY))
        return (grey * angle.sin()).mean(dim=(1, 2)) ** 2 + (grey * angle.cos()).mean(dim=(1, 2)) ** 2

    return signals, energy


def tint(colour: tuple[float, float, float]) -> tuple[Tensor, Reader]:
    """One colour or its complement all over; read by the mean of the pixels along that colour."""
    signals = (0.1 * two_values(IMAGES)[:, None] * unit(colour)[:, None, None]).expand(-1, -1, SIZE, SIZE)
    return signals, lambda images: torch.einsum("nchw,c->n", images, unit(colour)) / SIZE**2


def slope() -> tuple[Tensor, Reader]:
    """Grey that is brighter on the left or on the right; read by the difference of the two sides."""
    wave = torch.sin(2 * math.pi * (grid()[1] + 0.5) / SIZE)
    signals = (0.1 * two_values(IMAGES) * wave)[:, None] * unit(GREY)[:, None, None]
    return signals, lambda images: torch.einsum("nchw,hw,c->n", images, wave, unit(GREY)) / SIZE**2


CASES: dict[str, tuple[Callable[[], tuple[Tensor, Reader]], str, set[tuple[int, str]]]] = {
    # 6 cycles in 32 pixels are in the octave of level 2 (4 to 8), 12 in that of level 1 (8 to 16)
    "fine horizontal stripes": (partial(stripes, 12, "horizontal"), "luminance", {(1, "horizontal")}),
    "fine vertical stripes": (partial(stripes, 12, "vertical"), "luminance", {(1, "vertical")}),
    "wider horizontal stripes": (partial(stripes, 6, "horizontal"), "luminance", {(2, "horizontal")}),
    # the period of the textures of data=cues is on the border of two octaves
    "stripes of four pixels": (partial(stripes, 8, "horizontal"), "luminance", {(1, "horizontal"), (2, "horizontal")}),
    "red or green": (partial(tint, RED_GREEN), "red_green", {(3, "low_pass")}),
    "blue or yellow": (partial(tint, BLUE_YELLOW), "blue_yellow", {(3, "low_pass")}),
    "slope of brightness": (slope, "luminance", {(3, "low_pass")}),
}


pytestmark = pytest.mark.usefixtures("_one_thread")


def fitted_bits(
    make_trainer: MakeTrainer, images: Images, reader: nn.Module, wavelet: str
) -> tuple[BandTransform, Tensor]:
    """Bits of every band and colour, with the default settings of the task up to its compared tolerance."""
    options = BandTolerance()
    transform = BandTransform(wavelet, suitable_levels(SIZE, SIZE, wavelet))
    bands = transform.analyse(images.images.double())
    mean = bands[-1].mean(dim=(0, 2, 3))
    variance = band_powers(bands, mean).mean(dim=0)
    tolerances = tuple(value for value in options.tolerances if value <= options.compared)
    stages = Stages(tolerances, options.first_steps, options.steps)
    module = BandFit(
        reader, transform, variance, mean, (SIZE, SIZE), stages=stages, targets="decisions", start=options.start,
        lr=options.lr, later_lr=options.later_lr, weight=options.weight, seed=SEED, chunk=64,
        images=(images.pixels, torch.arange(len(images))),
    )  # fmt: skip
    trainer = make_trainer(max_epochs=-1, max_steps=stages.total)
    trainer.fit(module, DataLoader(images, batch_size=options.batch_size, shuffle=True))
    return transform, bits(transform.counts(SIZE, SIZE), module.log_ratios(), variance)[-1]


@pytest.mark.parametrize("case", CASES)
def test_the_bits_are_in_the_bands_that_are_read(make_trainer: MakeTrainer, case: str) -> None:
    make, colour, planted = CASES[case]
    signals, formula = make()
    images = Images(signals)
    reader = ExactReader(formula, images.images)
    transform, found = fitted_bits(make_trainer, images, reader, BandTolerance().wavelet)
    rows = [number for number, band in enumerate(transform.bands) if (band.level, band.orientation) in planted]
    share = float(found[rows, COLOURS.index(colour)].sum() / found.sum())
    assert len(rows) == len(planted)
    assert share >= PLANTED
