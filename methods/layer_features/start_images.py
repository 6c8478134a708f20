"""What the optimisation of an image begins with."""

from typing import Literal, get_args

import torch
from torch import Tensor

Start = Literal["blend", "grey", "noise", "fourier"]


def start_images(start: Start, blends: Tensor, seed: int) -> Tensor:
    """The images to begin with.

    Args:
        start: ``blend``: those given; ``grey``; ``noise``: independent pixels around grey; ``fourier``: noise whose
            spectrum falls as that of photographs.
        blends: In [0, 1], shape ``(K, 3, H, W)``.
        seed: Of the noise.

    Returns:
        In [0, 1], of the shape of ``blends``.
    """
    if start not in get_args(Start):
        raise ValueError(f"layer_features.start={start}: choose {', '.join(get_args(Start))}")
    generator = torch.Generator().manual_seed(seed)
    if start == "blend":
        return blends.clone()
    if start == "grey":
        return torch.full_like(blends, 0.5)
    if start == "noise":
        noise = torch.randn(blends.shape, generator=generator)
    else:
        noise = fourier_noise(blends.shape, generator)
    return (0.5 + 0.1 * noise).clamp(0, 1).to(blends)


def fourier_noise(shape: torch.Size, generator: torch.Generator) -> Tensor:
    """Noise ``(..., H, W)`` whose amplitude falls as 1 / frequency, of mean 0 and standard deviation 1 in each image.

    Args:
        shape: Of the noise.
        generator: Of its random numbers.
    """
    height, width = shape[-2:]
    rows, columns = torch.fft.fftfreq(height)[:, None], torch.fft.rfftfreq(width)[None]
    frequency = (rows.square() + columns.square()).sqrt()
    frequency[0, 0] = torch.inf  # no mean
    spectrum = torch.fft.rfft2(torch.randn(shape, generator=generator)) / frequency
    noise = torch.fft.irfft2(spectrum, s=(height, width))
    return noise / noise.std(dim=(-3, -2, -1), keepdim=True, correction=0)
