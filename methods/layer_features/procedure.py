"""The procedure of a synthesis: its start images, and the changes of images in each iteration."""

import torch
from torch import Tensor

from methods.layer_features.regularizers import brighten, gaussian_blur, jitter, tv_denoise, zoom_crop
from methods.layer_features.schedules import due, linear, period
from methods.layer_features.settings import LayerFeatures


def network_view(images: Tensor, settings: LayerFeatures, iteration: int, seed: int) -> Tensor:
    """Crop and shift images as the network gets them in an iteration, all images of a batch alike.

    Args:
        images: Shape ``(R, 3, H, W)``.
        settings: Zoom and shift are used.
        iteration: Number of the iteration, from 0.
        seed: The draws are a function of the seed and the iteration.
    """
    # a function of the iteration, not of the draws before it; the hash of numbers is the same in every process
    generator = torch.Generator().manual_seed(hash((seed, 0, period(settings.zoom_every, iteration))) % 2**62)
    top, left = torch.rand(2, generator=generator).tolist()
    images = zoom_crop(images, settings.zoom, top, left)
    if not settings.shift:
        return images
    generator = torch.Generator().manual_seed(hash((seed, 1, iteration)) % 2**62)
    down, right = torch.randint(-settings.shift, settings.shift + 1, (2,), generator=generator).tolist()
    return jitter(images, int(down), int(right))


def regularized(images: Tensor, settings: LayerFeatures, iteration: int) -> Tensor:
    """Apply the regularizers that follow an iteration, and clamp the images to [0, 1].

    Args:
        images: Shape ``(R, 3, H, W)``.
        settings: Blur, denoising and brightness are used.
        iteration: Number of the iteration, from 0.
    """
    if due(settings.every, iteration) and iteration < settings.until * settings.iterations:
        images = gaussian_blur(images, linear(settings.blur, iteration, settings.iterations))
        if settings.denoise is not None:
            images = tv_denoise(images, linear(settings.denoise, iteration, settings.iterations))
    if due(settings.brighten_every, iteration):
        images = brighten(images, settings.brightness)
    return images.clamp(0, 1)


def start_images(start: str, blends: Tensor, seed: int) -> Tensor:
    """The images that the optimisation starts from.

    Args:
        start: ``blend``: the blends; ``grey``; ``noise``: independent pixels around grey; ``fourier``: noise with the
            spectrum of photographs.
        blends: In [0, 1], shape ``(K, 3, H, W)``.
        seed: Of the noise.

    Returns:
        In [0, 1], of the shape of ``blends``.
    """
    if start == "blend":
        return blends.clone()
    if start == "grey":
        return torch.full_like(blends, 0.5)
    generator = torch.Generator().manual_seed(seed)
    fourier = start == "fourier"
    noise = fourier_noise(blends.shape, generator) if fourier else torch.randn(blends.shape, generator=generator)
    return (0.5 + 0.1 * noise).clamp(0, 1).to(blends)


def fourier_noise(shape: torch.Size, generator: torch.Generator) -> Tensor:
    """Noise ``(..., H, W)`` with amplitudes of 1 / frequency, mean 0 and standard deviation 1 in each image."""
    height, width = shape[-2:]
    rows, columns = torch.fft.fftfreq(height)[:, None], torch.fft.rfftfreq(width)[None]
    frequency = (rows.square() + columns.square()).sqrt()
    frequency[0, 0] = torch.inf  # makes the mean 0
    spectrum = torch.fft.rfft2(torch.randn(shape, generator=generator)) / frequency
    noise = torch.fft.irfft2(spectrum, s=(height, width))
    return noise / noise.std(dim=(-3, -2, -1), keepdim=True, correction=0)
