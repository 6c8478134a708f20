"""The Gaussian channel against its equations, and its two ends: everything passes, and nothing but the mean."""

import math
from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import Tensor

from methods.band_tolerance.channel import (
    EMPTY,
    band_powers,
    bits,
    even_log_ratio,
    transmit,
    water_filling_log_ratio,
)
from methods.band_tolerance.transform import BandTransform
from networks.classifier import Classifier

SIZE = (19, 26)
TRANSFORM = BandTransform("db2", 2)
Parts = tuple[list[Tensor], list[Tensor], Tensor, Tensor, Tensor]


pytestmark = pytest.mark.usefixtures("_one_thread")


@pytest.fixture
def parts() -> Parts:
    """Coefficients, noise, log ρ, variance and mean, in float64."""
    generator = torch.Generator().manual_seed(3)
    images = torch.rand(3, 3, *SIZE, generator=generator, dtype=torch.float64)
    bands = TRANSFORM.analyse(images)
    noise = [torch.randn(band.shape, generator=generator, dtype=torch.float64) for band in bands]
    log_ratio = 3 * torch.randn(len(bands), 3, generator=generator, dtype=torch.float64)
    variance = torch.rand(len(bands), 3, generator=generator, dtype=torch.float64) + 0.01
    return bands, noise, log_ratio, variance, torch.tensor([3.0, -0.5, 0.25], dtype=torch.float64)


def test_what_passes_equals_the_channel_written_out(parts: Parts) -> None:
    bands, noise, log_ratio, variance, mean = parts
    estimates = [torch.empty_like(band) for band in bands]
    for number, band in enumerate(bands):
        for image in range(len(band)):
            for colour in range(3):
                rho = math.exp(float(log_ratio[number, colour]))
                sigma = math.sqrt(float(variance[number, colour]) / rho)
                offset = float(mean[colour]) if number == len(bands) - 1 else 0.0
                y = (band[image, colour] - offset) + sigma * noise[number][image, colour]
                estimates[number][image, colour] = offset + y * rho / (1 + rho)
    expected = TRANSFORM.synthesise(estimates, *SIZE)
    passed = transmit(TRANSFORM, bands, noise, log_ratio, variance, mean, SIZE)
    torch.testing.assert_close(passed, expected, rtol=0, atol=1e-12)
    for start in range(3):  # one image alone passes as among others
        alone = [band[start : start + 1] for band in bands], [part[start : start + 1] for part in noise]
        one = transmit(TRANSFORM, *alone, log_ratio, variance, mean, SIZE)
        torch.testing.assert_close(one, expected[start : start + 1], rtol=0, atol=1e-12)


def test_gradients_are_those_of_finite_differences(parts: Parts) -> None:
    bands, noise, log_ratio, variance, mean = parts
    assert torch.autograd.gradcheck(
        lambda ratios: transmit(TRANSFORM, bands, noise, ratios, variance, mean, SIZE),
        log_ratio.requires_grad_(),
        fast_mode=True,
    )


@pytest.mark.parametrize("value", [-1000.0, -60.0, 60.0, 1000.0])
def test_gradients_stay_finite_at_the_ends(value: float, parts: Parts) -> None:
    bands, noise, _, variance, mean = parts
    variance[0, 0] = 0  # nothing varies there
    ratios = torch.full_like(variance, value).requires_grad_()
    passed = transmit(TRANSFORM, bands, noise, ratios, variance, mean, SIZE)
    [gradient] = torch.autograd.grad(passed.square().sum(), ratios)
    assert torch.isfinite(passed).all()
    assert torch.isfinite(gradient).all()


def test_at_a_high_ratio_every_decision_is_that_on_the_original(make_classifier: Callable[[int], Classifier]) -> None:
    images = torch.rand(64, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    for wavelet in ("haar", "db4"):
        transform = BandTransform(wavelet, 2)
        bands = transform.analyse(images)
        noise = [torch.randn_like(band) for band in bands]
        variance = torch.full((len(bands), 3), 0.5)
        passed = transmit(
            transform, bands, noise, torch.full_like(variance, 60.0), variance, torch.tensor([9.0, 0.0, 0.0]), (16, 16)
        )
        assert float((passed - images).abs().max()) < 1e-5
        for seed in range(3):
            classifier = make_classifier(seed).eval()
            with torch.no_grad():
                decisions = classifier(images).argmax(dim=1)
                assert (classifier(passed).argmax(dim=1) == decisions).all()
            assert len(decisions.unique()) > 1


def test_at_a_low_ratio_every_image_fades_to_the_mean(parts: Parts) -> None:
    bands, noise, log_ratio, variance, mean = parts
    passed = transmit(TRANSFORM, bands, noise, torch.full_like(log_ratio, -60.0), variance, mean, SIZE)
    colour = torch.linalg.inv(torch.from_numpy(axes())) @ (mean / 4)  # the low-pass of two levels is 4 times as bright
    torch.testing.assert_close(passed, colour[None, :, None, None].expand_as(passed), rtol=0, atol=1e-11)


def axes() -> np.ndarray:
    rows = np.array([[1, 1, 1], [1, -1, 0], [1, 1, -2]], dtype=float)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def test_a_band_that_is_closed_changes_nothing_else(parts: Parts) -> None:
    bands, noise, log_ratio, variance, mean = parts
    closed = log_ratio.clone()
    closed[2, 1] = -60
    passed = (transmit(TRANSFORM, bands, noise, ratios, variance, mean, SIZE) for ratios in (log_ratio, closed))
    one, other = passed
    estimate = torch.sigmoid(log_ratio[2, 1]) * (
        bands[2][:, 1] + (variance[2, 1] / log_ratio[2, 1].exp()).sqrt() * noise[2][:, 1]
    )
    lost = [torch.zeros_like(band) for band in bands]
    lost[2][:, 1] = estimate
    torch.testing.assert_close(one - other, TRANSFORM.synthesise(lost, *SIZE), rtol=0, atol=1e-11)


def test_bits_equal_their_formula_and_are_none_in_empty_bands() -> None:
    generator = torch.Generator().manual_seed(1)
    log_ratio = 8 * torch.randn(5, 7, 3, generator=generator, dtype=torch.float64)
    variance = torch.rand(7, 3, generator=generator, dtype=torch.float64)
    variance[2, 1], variance[4, 0], variance[5, 2] = 0, EMPTY / 2, EMPTY * 2
    counts = torch.tensor([[256.0], [256], [64], [64], [16], [4], [4]], dtype=torch.float64)
    found = bits(counts, log_ratio, variance)
    for place in np.ndindex(5, 7, 3):
        rho = math.exp(float(log_ratio[place]))
        expected = float(counts[place[1], 0]) * math.log1p(rho) / math.log(4)
        if place[1:] in ((2, 1), (4, 0)):
            expected = 0.0
        assert float(found[place]) == pytest.approx(expected, rel=1e-12, abs=0)


def test_powers_are_mean_squares_of_each_image_the_low_pass_about_its_mean(parts: Parts) -> None:
    bands, *_, mean = parts
    found = band_powers([band.float() for band in bands], mean)
    assert found.dtype == torch.float64
    for image, number, colour in np.ndindex(3, 7, 3):
        values = bands[number][image, colour].numpy() - (float(mean[colour]) if number == 6 else 0)
        assert float(found[image, number, colour]) == pytest.approx(np.mean(values**2), rel=1e-5)


def random_bands(seed: int) -> tuple[Tensor, Tensor]:
    """Counts and variances that fall over many orders of magnitude, two of them empty."""
    generator = torch.Generator().manual_seed(seed)
    variance = torch.exp(4 * torch.randn(7, 3, generator=generator, dtype=torch.float64) - 2).clamp(min=1e-6)
    variance[1, 2], variance[3, 1] = 0, 1e-12
    return torch.tensor([[256.0], [256], [256], [64], [64], [64], [64]], dtype=torch.float64), variance


@pytest.mark.parametrize("rate", [1e-3, 0.5, 30.0, 2000.0, 20000.0])
def test_even_bits_are_the_same_for_every_coefficient_and_sum_to_the_rate(rate: float) -> None:
    counts, variance = random_bands(0)
    log_ratio = even_log_ratio(rate, counts, variance)
    assert log_ratio.shape == variance.shape
    assert len(log_ratio.unique()) == 1
    assert float(bits(counts, log_ratio, variance).sum()) == pytest.approx(rate, rel=1e-9)


@pytest.mark.parametrize("rate", [1e-3, 0.5, 30.0, 2000.0, 20000.0])
@pytest.mark.parametrize("seed", range(3))
def test_water_filling_equals_a_bisection_written_out_and_sums_to_the_rate(seed: int, rate: float) -> None:
    counts, variance = random_bands(seed)
    log_ratio = water_filling_log_ratio(rate, counts, variance)
    assert log_ratio.dtype == torch.float64

    def rate_at(log_level: float) -> float:
        return sum(
            max(0.0, float(counts[band, 0]) * (math.log(power) - log_level) / (2 * math.log(2)))
            for (band, _), power in np.ndenumerate(variance.numpy())
            if power > EMPTY
        )

    low, high = -200.0, math.log(float(variance.max()))
    for _ in range(200):
        middle = (low + high) / 2
        low, high = (middle, high) if rate_at(middle) > rate else (low, middle)
    for place, power in np.ndenumerate(variance.numpy()):
        rho = power / math.exp(low) - 1
        if power > EMPTY and rho > 1e-9:
            # the level is solved to 1e-12, which is relative to ρ where it is about 1
            assert math.exp(float(log_ratio[place])) == pytest.approx(rho, rel=1e-9, abs=1e-11)
        else:
            assert float(log_ratio[place]) < -20
    # bands that are closed keep a ratio of 1e-12: together less than a billionth of a bit
    assert float(bits(counts, log_ratio, variance).sum()) == pytest.approx(rate, rel=1e-9, abs=1e-8)


def test_more_bits_never_close_a_band() -> None:
    counts, variance = random_bands(1)
    spreads = [water_filling_log_ratio(rate, counts, variance) for rate in (1.0, 10.0, 100.0, 1000.0)]
    assert all((more >= less).all() for less, more in pairwise(spreads))


def test_the_scale_of_images_decides_nothing_about_the_bits_of_water_filling() -> None:
    counts, variance = random_bands(2)
    variance = variance.clamp(min=1e-5)
    one, other = (water_filling_log_ratio(200.0, counts, factor * variance) for factor in (1, 100))
    torch.testing.assert_close(one, other, rtol=0, atol=1e-9)
