"""The procedure of a synthesis: its settings, its start images, and the changes of images in each iteration."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal

import torch
from torch import Tensor

from methods.layer_features.regularizers import brighten, gaussian_blur, jitter, tv_denoise, zoom_crop
from methods.layer_features.schedules import due, linear, period

Start = Literal["blend", "grey", "noise", "fourier"]
Ends = tuple[float, float]  # values at the first and at the last iteration


@dataclass(frozen=True)
class Procedure:
    """How images are synthesised: the settings of these names, resolved (:mod:`methods.layer_features.settings`)."""

    iterations: int
    optimizer: Literal["adam", "sgd"]
    lr: Ends
    comparable: bool
    activation: float
    distance: float
    sparsity: Ends
    start: Start
    blur: Ends
    denoise: Ends | None
    every: int
    until: float
    mask: Ends | None
    brightness: float
    brighten_every: int
    shift: int
    zoom: float
    zoom_every: int
    nearest: bool
    renewed: bool
    rounded: bool
    swapped: bool

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> "Procedure":
        """The procedure that the settings of ``layer_features`` describe."""
        chosen: dict[str, Any] = {field.name: values[field.name] for field in fields(cls)}
        pairs = {name: tuple(value) for name, value in chosen.items() if isinstance(value, list)}
        return cls(**chosen | pairs)


def network_view(images: Tensor, procedure: Procedure, iteration: int, seed: int) -> Tensor:
    """Crop and shift images as the network gets them in an iteration, all images of a batch alike.

    Args:
        images: Shape ``(R, 3, H, W)``.
        procedure: Its zoom and shift.
        iteration: Number of the iteration, from 0.
        seed: The draws are a function of the seed and the iteration.
    """
    # a function of the iteration, not of the draws before it; the hash of numbers is the same in every process
    generator = torch.Generator().manual_seed(hash((seed, 0, period(procedure.zoom_every, iteration))) % 2**62)
    top, left = torch.rand(2, generator=generator).tolist()
    images = zoom_crop(images, procedure.zoom, top, left)
    if not procedure.shift:
        return images
    generator = torch.Generator().manual_seed(hash((seed, 1, iteration)) % 2**62)
    down, right = torch.randint(-procedure.shift, procedure.shift + 1, (2,), generator=generator).tolist()
    return jitter(images, int(down), int(right))


def regularized(images: Tensor, procedure: Procedure, iteration: int) -> Tensor:
    """Apply the regularizers that follow an iteration, and clamp the images to [0, 1].

    Args:
        images: Shape ``(R, 3, H, W)``.
        procedure: Its blur, denoising and brightness.
        iteration: Number of the iteration, from 0.
    """
    if due(procedure.every, iteration) and iteration < procedure.until * procedure.iterations:
        images = gaussian_blur(images, linear(procedure.blur, iteration, procedure.iterations))
        if procedure.denoise is not None:
            images = tv_denoise(images, linear(procedure.denoise, iteration, procedure.iterations))
    if due(procedure.brighten_every, iteration):
        images = brighten(images, procedure.brightness)
    return images.clamp(0, 1)


def start_images(start: Start, blends: Tensor, seed: int) -> Tensor:
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
