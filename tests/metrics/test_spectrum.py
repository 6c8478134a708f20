"""Spectra against a literal Fourier transform and Parseval; planted checkerboards are detected at their period."""

import cmath
from pathlib import Path

import pytest
import torch
from torch import Tensor

from metrics.spectrum import Checkerboard, RadialSpectrum, is_measurable, power_at, power_spectrum, radial_sums
from tests.metrics.conftest import on_ranks


def noise(images: int = 40, height: int = 48, width: int = 48, seed: int = 0) -> Tensor:
    return torch.randn(
        images, 3, height, width, generator=torch.Generator().manual_seed(seed), dtype=torch.float64
    )  # fmt: skip


def wave(period: float, height: int, width: int, vertical: int = 0, horizontal: int = 1) -> Tensor:
    rows, columns = torch.arange(height, dtype=torch.float64)[:, None], torch.arange(width, dtype=torch.float64)
    return torch.cos(2 * torch.pi * (vertical * rows + horizontal * columns) / period + 0.3)


def scores(images: Tensor, periods: list[float]) -> Tensor:
    metric = Checkerboard(periods, images.shape[-2:])
    metric.update(images)
    return metric.compute()


def test_power_equals_a_literal_fourier_transform() -> None:
    images = noise(1, 5, 4)
    values = images[0] - images[0].mean(dim=(1, 2), keepdim=True)
    for u in range(5):
        for v in range(4):
            channels = []
            for channel in values.tolist():
                terms = (
                    channel[y][x] * cmath.exp(-2j * cmath.pi * (u * y / 5 + v * x / 4))
                    for y in range(5)
                    for x in range(4)
                )
                channels.append(abs(sum(terms) / 20) ** 2)
            power = float(power_spectrum(images, "none")[0, u, v])
            assert power == pytest.approx(sum(channels) / 3, rel=1e-9, abs=1e-20)


def test_powers_add_up_to_the_variance() -> None:
    images = noise(3, 13, 10)
    variance = images.var(dim=(-2, -1), correction=0).mean(dim=1)
    assert torch.allclose(power_spectrum(images, "none").sum(dim=(1, 2)), variance)
    windowed = power_spectrum(noise(200, 24, 24)).sum(dim=(1, 2)).mean()
    assert float(windowed) == pytest.approx(1, abs=0.03)  # of white noise a window changes nothing on average


@pytest.mark.parametrize("window", ["hann", "none"])
def test_power_between_grid_points_continues_the_grid(window: str) -> None:
    images = noise(2, 12, 9)
    grid = torch.cartesian_prod(torch.fft.fftfreq(12, dtype=torch.float64), torch.fft.fftfreq(9, dtype=torch.float64))
    expected = power_spectrum(images, window).flatten(1)  # type: ignore[arg-type]
    assert torch.allclose(power_at(images, grid, window), expected, rtol=1e-9, atol=1e-18)  # type: ignore[arg-type]


def test_rings_hold_every_frequency_up_to_the_finest_once() -> None:
    power = power_spectrum(noise(2, 20, 14))
    sums, counts = radial_sums(power, 7)
    total, number = 0.0, 0
    for u in range(20):
        for v in range(14):
            radius = (min(u, 20 - u) ** 2 / 400 + min(v, 14 - v) ** 2 / 196) ** 0.5
            if 0.5 <= radius * 14 <= 7.5:
                total, number = total + float(power[:, u, v].sum()), number + 1
    assert float(sums.sum()) == pytest.approx(total)
    assert int(counts.sum()) == number


def test_a_wave_is_found_in_its_ring_and_noise_is_flat() -> None:
    metric = RadialSpectrum(24)
    metric.update(wave(8, 48, 48).expand(1, 3, 48, 48))
    assert float(metric.frequencies()[metric.compute().argmax()]) == pytest.approx(1 / 8)
    flat = RadialSpectrum(8, window="none")
    flat.update(noise(200))
    assert torch.allclose(flat.compute(), torch.full((8,), 1 / 48**2, dtype=torch.float64), rtol=0.05)


@pytest.mark.parametrize("size", [(48, 48), (50, 53), (64, 41)])
def test_noise_scores_0_and_a_planted_checkerboard_its_amplitude(size: tuple[int, int]) -> None:
    images = noise(300, *size)
    assert scores(images, [2, 4, 5.5]).abs().max() < 0.9
    amplitude = 0.2
    board = amplitude * wave(
        4, *size
    )  # power A² / 4 · (mean of the window)² / its mean square, over noise of 1 / (H W)
    expected = 10 * torch.log10(1 + amplitude**2 / 4 * (2 / 3) ** 2 * size[0] * size[1] / torch.tensor(1.0))
    horizontal, vertical, diagonal = scores(images + board, [4])[0].tolist()
    assert horizontal == pytest.approx(float(expected), abs=1.2)
    assert abs(vertical) < 0.9
    assert abs(diagonal) < 0.9


def test_directions_are_told_apart() -> None:
    images = noise(100)
    assert scores(images + wave(4, 48, 48, 1, 0), [4]).argmax() == 1
    assert scores(images + wave(4, 48, 48, 1, 1), [4]).argmax() == 2
    assert scores(images + wave(4, 48, 48, 1, -1), [4]).argmax() == 2


def test_a_true_checkerboard_of_two_pixels_is_diagonal() -> None:
    board = (-1.0) ** (torch.arange(48)[:, None] + torch.arange(48))
    score = scores(noise(50) + 0.2 * board, [2])[0]
    assert score[2] > 12
    assert score[:2].abs().max() < 2


def test_repeated_pixels_show_at_their_period() -> None:
    nearest = torch.nn.functional.interpolate(noise(60, 12, 12), scale_factor=4, mode="nearest")
    offset = nearest + torch.eye(4, dtype=torch.float64)[0].repeat(12)  # every fourth column is brighter
    assert float(scores(offset, [4])[0, 0]) > 15


def test_contrast_and_brightness_change_no_score() -> None:
    images = noise(5)
    assert torch.allclose(scores(images, [2, 4]), scores(3 * images + 5, [2, 4]), atol=1e-8)


def test_constant_images_have_no_score() -> None:
    assert scores(torch.zeros(2, 3, 24, 24), [2]).isnan().all()


def test_what_cannot_be_measured_is_refused() -> None:
    assert [is_measurable(period, (48, 64)) for period in (1.5, 2, 8, 9)] == [False, True, True, False]
    with pytest.raises(ValueError, match=r"period of 16 pixels cannot be measured in images of 48×48.*2 to 8"):
        Checkerboard([16], (48, 48))
    with pytest.raises(ValueError, match="not finite"):
        power_spectrum(torch.full((1, 3, 8, 8), torch.nan))
    nothing = RadialSpectrum(4)
    nothing.update(torch.zeros(0, 3, 8, 8))
    with pytest.raises(RuntimeError, match="no images"):
        nothing.compute()


@pytest.mark.filterwarnings("ignore:.*use of fork\\(\\) may lead to deadlocks:DeprecationWarning")
def test_two_ranks_equal_one(tmp_path: Path) -> None:
    images = noise(5, 24, 24)

    def measured(part: Tensor) -> list[Tensor]:
        spectrum, board = RadialSpectrum(12).to(torch.bfloat16), Checkerboard([2], (24, 24)).to(torch.bfloat16)
        for image in part:
            spectrum.update(image[None])
            board.update(image[None])
        return [spectrum.compute(), board.compute()]

    expected = measured(images)
    for result in on_ranks(lambda rank: measured(images[:2] if rank == 0 else images[2:]), 2, tmp_path):
        for value, one in zip(result, expected, strict=True):  # type: ignore[call-overload]
            assert value.dtype == torch.float64
            assert value.shape == one.shape
            assert torch.allclose(value, one, rtol=1e-12)
