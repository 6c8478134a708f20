"""Bands: the same coefficients as PyWavelets, nothing lost, nothing counted twice."""

import math

import numpy as np
import pytest
import pywt  # type: ignore[import-untyped]
import torch
from torch import Tensor

from methods.band_tolerance.transform import (
    AXES,
    COLOURS,
    LOW_PASS,
    Band,
    BandTransform,
    check_wavelet,
    most_levels,
    suitable_levels,
    too_small,
)

WAVELETS = {"haar": 1e-12, "db2": 1e-12, "db4": 1e-12, "sym4": 5e-12}  # of the tables in float64; sym4's has 13 digits
SIZES = ((32, 32), (32, 48), (37, 50), (33, 65))


pytestmark = pytest.mark.usefixtures("_one_thread")


def random_images(size: tuple[int, int], dtype: torch.dtype = torch.float64, count: int = 2) -> Tensor:
    generator = torch.Generator().manual_seed(sum(size))
    return torch.rand(count, 3, *size, generator=generator, dtype=torch.float64).to(dtype)


def reflected(image: np.ndarray, multiple: int) -> np.ndarray:
    """An image ``(..., H, W)`` extended to a multiple of some pixels, by numpy."""
    widths = [(0, 0)] * (image.ndim - 2)
    for length in image.shape[-2:]:
        more = -length % multiple
        widths.append((more // 2, more - more // 2))
    return np.pad(image, widths, mode="reflect")


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("wavelet", WAVELETS)
def test_images_come_back_and_their_energy_is_that_of_the_extended_image(wavelet: str, size: tuple[int, int]) -> None:
    for dtype, tolerance in ((torch.float64, WAVELETS[wavelet]), (torch.float32, 1e-5)):
        images, transform = random_images(size, dtype), BandTransform(wavelet, 3)
        bands = transform.analyse(images)
        assert {band.dtype for band in bands} == {dtype}
        again = transform.synthesise(bands, *size)
        assert float((again - images).abs().max()) < tolerance
        energy = sum(band.double().square().sum(dim=(1, 2, 3)) for band in bands)
        extended = torch.from_numpy(np.square(reflected(images.double().numpy(), 8)).sum(axis=(1, 2, 3)))
        assert float((energy / extended - 1).abs().max()) < tolerance


@pytest.mark.filterwarnings("ignore:Level value of 3 is too high")  # the signal is periodic, and the rest is exact
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("wavelet", WAVELETS)
def test_every_band_of_every_colour_is_that_of_pywavelets(wavelet: str, size: tuple[int, int]) -> None:
    images, transform = random_images(size), BandTransform(wavelet, 3)
    found = transform.analyse(images)
    for number, image in enumerate(images.numpy()):
        red, green, blue = reflected(image, 8)
        planes = {
            "luminance": (red + green + blue) / math.sqrt(3),
            "red_green": (red - green) / math.sqrt(2),
            "blue_yellow": (red + green - 2 * blue) / math.sqrt(6),
        }
        for colour, name in enumerate(COLOURS):
            smooth, *details = pywt.wavedec2(planes[name], wavelet, mode="periodization", level=3)
            expected = {Band(3, LOW_PASS): smooth}
            for level, parts in zip((3, 2, 1), details, strict=True):
                for orientation, part in zip(("horizontal", "vertical", "diagonal"), parts, strict=True):
                    expected[Band(level, orientation)] = part
            assert expected.keys() == set(transform.bands)
            for band, coefficients in zip(transform.bands, found, strict=True):
                np.testing.assert_allclose(coefficients[number, colour], expected[band], rtol=0, atol=1e-12)


@pytest.mark.parametrize("size", SIZES)
def test_the_coefficients_of_the_extended_image_are_counted(size: tuple[int, int]) -> None:
    for levels in (1, 2, 3):
        transform = BandTransform("db2", levels)
        counts, bands = transform.counts(*size), transform.analyse(random_images(size))
        assert counts.dtype == torch.float64
        assert counts[:, 0].tolist() == [band[0, 0].numel() for band in bands]
        high, wide = (-(-length // 2**levels) * 2**levels for length in size)
        assert counts.sum() == high * wide
        assert transform.padded(*size) == (high, wide)
        assert [tuple(band.shape[:2]) for band in bands] == [(2, 3)] * (3 * levels + 1)


@pytest.mark.parametrize("wavelet", WAVELETS)
def test_the_transform_is_orthogonal(wavelet: str) -> None:
    transform, size = BandTransform(wavelet, 2), (16, 16)
    units = torch.eye(3 * 16 * 16, dtype=torch.float64).view(-1, 3, *size)
    matrix = torch.cat([band.flatten(1) for band in transform.analyse(units)], dim=1)
    assert float((matrix @ matrix.T - torch.eye(len(matrix))).abs().max()) < WAVELETS[wavelet]
    assert float((AXES @ AXES.T - torch.eye(3)).abs().max()) < 1e-15


@pytest.mark.parametrize("wavelet", WAVELETS)
def test_stripes_are_in_the_band_of_their_direction_and_scale(wavelet: str) -> None:
    transform, across = BandTransform(wavelet, 3), torch.arange(64)
    for level in (1, 2, 3):
        wave = torch.cos(2 * math.pi * 0.75 / 2**level * across + 0.6)  # 0.75: the middle of the octave
        patterns = {
            "horizontal": wave[:, None].expand(64, 64),
            "vertical": wave[None, :].expand(64, 64),
            "diagonal": wave[:, None] * wave,
        }
        for orientation, pattern in patterns.items():
            powers = [float(band.square().sum()) for band in transform.analyse(pattern.expand(1, 3, 64, 64))]
            strongest = transform.bands[int(np.argmax(powers))]
            assert strongest == Band(level, orientation)
            others = {"horizontal": "vertical", "vertical": "horizontal"}
            for band, power in zip(transform.bands, powers, strict=True):
                if band.orientation == others.get(orientation):
                    assert power < 1e-9 * sum(powers)  # whatever the scale


def test_a_flat_image_is_all_low_pass_and_grey_has_no_chroma() -> None:
    for wavelet in WAVELETS:
        transform = BandTransform(wavelet, 3)
        bands = transform.analyse(torch.full((1, 3, 37, 50), 0.4, dtype=torch.float64))
        assert max(float(band.abs().max()) for band in bands[:-1]) < 1e-11
        assert float(bands[-1][:, 1:].abs().max()) < 1e-11
        torch.testing.assert_close(bands[-1][0, 0], torch.full_like(bands[-1][0, 0], 0.4 * math.sqrt(3) * 8))


def test_the_octaves_of_the_bands_tile_the_frequencies() -> None:
    bands = BandTransform("db4", 4).bands
    levels = [band.octave for band in bands if band.orientation == "horizontal"]
    assert levels == [(0.25, 0.5), (0.125, 0.25), (0.0625, 0.125), (0.03125, 0.0625)]
    assert bands[-1].octave == (0.0, 0.03125)


@pytest.mark.parametrize("wavelet", ["haar", "db4"])
def test_gradients_are_those_of_finite_differences(wavelet: str) -> None:
    transform, size = BandTransform(wavelet, 2), (7, 10)
    images = random_images(size, count=1).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: tuple(transform.analyse(x)), images, fast_mode=True)
    bands = [band.detach().requires_grad_() for band in transform.analyse(images)]
    assert torch.autograd.gradcheck(lambda *parts: transform.synthesise(parts, *size), bands, fast_mode=True)


def test_the_transform_is_linear() -> None:
    transform, (one, other) = BandTransform("db4", 2), random_images((19, 21)).split(1)
    mixed = transform.analyse(2 * one - 3 * other)
    for band, first, second in zip(mixed, transform.analyse(one), transform.analyse(other), strict=True):
        torch.testing.assert_close(band, 2 * first - 3 * second, rtol=0, atol=1e-12)


def test_half_precision_around_the_transform_changes_nothing() -> None:
    transform, images = BandTransform("db4", 3), random_images((32, 40), torch.float32)
    bands = transform.analyse(images)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert (images @ images.mT).dtype == torch.bfloat16
        inside = transform.analyse(images)
        again = transform.synthesise(inside, 32, 40)
    assert again.dtype == torch.float32
    assert all(torch.equal(one, other) for one, other in zip(bands, inside, strict=True))
    assert torch.equal(again, transform.synthesise(bands, 32, 40))


@pytest.mark.parametrize("size", range(8, 300, 7))
def test_the_low_pass_of_suitable_levels_is_four_to_eight_pixels_across(size: int) -> None:
    reason = too_small(suitable_levels(size, 2 * size, "haar"), size, 2 * size, "haar")
    if size < 16:
        assert reason is not None
        assert "too small for 2 scales of the wavelet haar, which need 16 pixels" in reason
        return
    assert reason is None
    assert 4 <= size / 2 ** suitable_levels(size, 2 * size, "haar") < 8
    assert suitable_levels(size, 2 * size, "haar") == suitable_levels(2 * size, size, "haar")


@pytest.mark.parametrize("levels", [2, 3, 4, 5])
@pytest.mark.parametrize("wavelet", [*WAVELETS, "db10"])
def test_the_error_of_an_image_that_is_too_small_says_the_size_that_is_enough(wavelet: str, levels: int) -> None:
    least = next(size for size in range(1, 400) if most_levels(size, size, wavelet) >= levels)
    assert too_small(levels, least, least + 3, wavelet) is None
    reason = too_small(levels, least - 1, 900, wavelet)
    assert reason is not None
    assert reason.startswith(f"images of {least - 1} × 900 pixels")
    assert f"which need {least} pixels: use larger" in reason


@pytest.mark.parametrize("name", ["db99", "bior2.2", "dmey", "mexh", "", "Haar"])
def test_a_wavelet_that_is_unknown_or_not_orthonormal_is_refused(name: str) -> None:
    for refuse in (lambda: check_wavelet(name), lambda: BandTransform(name, 2)):
        with pytest.raises(
            ValueError, match=f"wavelet={name}: give an orthonormal wavelet of PyWavelets, as haar, db2"
        ):
            refuse()


def test_every_wavelet_that_is_accepted_is_orthonormal() -> None:
    accepted = 0
    for name in pywt.wavelist(kind="discrete"):
        try:
            transform = BandTransform(name, 1)
        except ValueError:
            continue
        accepted += 1
        matrix = transform.matrix(128, AXES)
        assert float((matrix @ matrix.T - torch.eye(128)).abs().max()) < 1e-6, name
    assert accepted > 60


def test_no_levels_are_refused() -> None:
    with pytest.raises(ValueError, match="0 levels of the wavelet transform: expected at least one"):
        BandTransform("haar", 0)
