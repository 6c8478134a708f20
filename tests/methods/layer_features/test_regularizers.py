"""Regularisers against libraries and literal loops."""

import math

import numpy as np
import pytest
import torch
from skimage.filters import gaussian
from skimage.restoration import denoise_tv_chambolle
from torch import Tensor

from methods.layer_features.procedure import start_images
from methods.layer_features.regularizers import (
    brighten,
    divergence,
    gaussian_blur,
    gradient,
    jitter,
    radial_mask,
    tv_denoise,
)
from methods.layer_features.regularizers import zoom_crop as zoomed
from tests.replicas import replicates


@pytest.fixture
def images() -> Tensor:
    return torch.rand(2, 3, 11, 9, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


@replicates(gaussian_blur)
@pytest.mark.parametrize("sigma", [0.0, 0.2, 0.9, 4.0])
def test_blur_is_that_of_scikit_image(sigma: float, images: Tensor) -> None:
    found = gaussian_blur(images, sigma)
    for image, blurred in zip(images, found, strict=True):
        for channel, made in zip(image, blurred, strict=True):
            expected = gaussian(channel.numpy(), sigma, mode="nearest", truncate=4.0)
            np.testing.assert_allclose(made, expected, atol=1e-12)


@replicates(tv_denoise)
@pytest.mark.parametrize("weight", [2.0, 8.0])
def test_denoising_solves_the_problem_that_scikit_image_solves(weight: float, images: Tensor) -> None:
    found = tv_denoise(images, weight, steps=2000)
    expected = [
        denoise_tv_chambolle(image.numpy(), 1 / (2 * weight), eps=1e-12, max_num_iter=3000, channel_axis=0)
        for image in images
    ]
    np.testing.assert_allclose(found, np.stack(expected), atol=5e-4)
    few = tv_denoise(images, weight)
    assert cost(few, images, weight) < cost(images, images, weight)
    assert cost(few, images, weight) == pytest.approx(cost(found, images, weight), rel=0.05)


def cost(made: Tensor, images: Tensor, weight: float) -> float:
    """What denoising minimises, pixel by pixel."""
    total = weight * float((made - images).square().sum())
    for channel in made.flatten(0, 1).tolist():
        for row, values in enumerate(channel):
            for column, value in enumerate(values):
                down = channel[row + 1][column] - value if row + 1 < len(channel) else 0
                right = values[column + 1] - value if column + 1 < len(values) else 0
                total += math.hypot(down, right)
    return total


def test_divergence_is_the_negative_adjoint_of_the_gradient(images: Tensor) -> None:
    down, right = torch.rand(2, *images.shape, dtype=torch.float64)
    by_row, by_column = gradient(images)
    torch.testing.assert_close((by_row * down + by_column * right).sum(), -(images * divergence(down, right)).sum())


@replicates(radial_mask)
def test_the_mask_is_a_bell_around_the_centre() -> None:
    mask = radial_mask(5, 4, 1.3)
    for row in range(5):
        for column in range(4):
            squared = (row - 2) ** 2 + (column - 1.5) ** 2
            assert float(mask[row, column]) == pytest.approx(math.exp(-squared / (2 * 1.3**2)))


@replicates(jitter)
def test_jitter_moves_every_pixel_round(images: Tensor) -> None:
    moved = jitter(images, 3, -2)
    for row in range(11):
        for column in range(9):
            assert torch.equal(moved[..., (row + 3) % 11, (column - 2) % 9], images[..., row, column])


@replicates(zoomed)
def test_a_crop_of_the_enlarged_image_is_interpolated_between_neighbours(images: Tensor) -> None:
    found = zoomed(images, 1.5, 0.4, 0.99)
    tall, wide = 17, 14  # 16.5 and 13.5, rounded up
    top, left = int(0.4 * (tall - 11 + 1)), int(0.99 * (wide - 9 + 1))
    assert left == 5
    for row in range(11):
        for column in range(9):
            y = min(max((row + top + 0.5) * 11 / tall - 0.5, 0), 10)
            x = min(max((column + left + 0.5) * 9 / wide - 0.5, 0), 8)
            above, before = int(y), int(x)
            below, after = min(above + 1, 10), min(before + 1, 8)
            expected = sum(
                (1 - abs(y - r) if above != below else 0.5) * (1 - abs(x - c) if before != after else 0.5)
                * images[..., r, c]
                for r in (above, below) for c in (before, after)
            )  # fmt: skip
            torch.testing.assert_close(found[..., row, column], expected)
    assert zoomed(images, 1.0, 0.5, 0.5) is images


def test_gradients_pass_shifts_crops_and_blur(images: Tensor) -> None:
    images.requires_grad_()
    assert torch.autograd.gradcheck(lambda pixels: jitter(zoomed(pixels, 1.2, 0.3, 0.7), 1, 2), images)
    assert torch.autograd.gradcheck(lambda pixels: gaussian_blur(pixels, 0.6), images)


@replicates(brighten)
def test_brighter_images_stay_within_range(images: Tensor) -> None:
    assert torch.equal(brighten(images, 0.1), (images + 0.1).clamp(max=1))
    assert float(brighten(images, 0.5).max()) == 1


def test_start_images_are_of_the_kind_and_repeat() -> None:
    blends = torch.rand(4, 3, 32, 32)
    assert torch.equal(start_images("blend", blends, 0), blends)
    assert (start_images("grey", blends, 0) == 0.5).all()
    for start in ("noise", "fourier"):
        made = start_images(start, blends, 3)
        assert torch.equal(made, start_images(start, blends, 3))
        assert not torch.equal(made, start_images(start, blends, 4))
        assert 0 <= float(made.min()) < float(made.max()) <= 1
        assert float(made.std()) == pytest.approx(0.1, rel=0.05)


def test_the_spectrum_of_fourier_noise_falls_as_one_over_frequency() -> None:
    made = start_images("fourier", torch.zeros(64, 3, 64, 64), 0) - 0.5
    power = torch.fft.fft2(made).abs().square().mean(dim=(0, 1))
    assert float(power[0, 4] / power[0, 16]) == pytest.approx(16, rel=0.4)
    noise = start_images("noise", torch.zeros(64, 3, 64, 64), 0) - 0.5
    power = torch.fft.fft2(noise).abs().square().mean(dim=(0, 1))
    assert float(power[0, 4] / power[0, 16]) == pytest.approx(1, rel=0.4)
