"""Augmentation of training images on the device, after loading processes have cropped and mirrored them."""

from collections.abc import Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision.transforms.v2 import functional as transforms

Augmentation = Literal["crop_flip", "paper"]

ROTATION = 15.0  # degrees, either way
SCALE = (0.8, 1.25)
SHIFT = 0.1  # of a side, either way
COLOUR = (0.8, 1.2)  # factors of brightness, contrast and saturation
HUE = 0.05  # of a turn, either way
BLUR = (0.1, 1.5)  # standard deviation in pixels; for half of the images
NOISE = 0.05  # largest standard deviation


def paper_augmentation(images: Tensor, seeds: Sequence[int]) -> Tensor:
    """Scale, rotation, shift, blur, brightness, contrast, colour and noise, in that order, drawn anew for each image.

    An image's result depends on the image and its seed alone, not on its batch. The paper names the kinds (mirroring is
    done with the crop); their strengths are this project's choice, the constants of this file.

    Args:
        images: In [0, 1], shape ``(N, 3, H, W)``.
        seeds: One per image.

    Returns:
        Images of the same shape, in [0, 1].

    Source: arXiv 1803.08337, section 3.
    """
    generators = [torch.Generator().manual_seed(seed) for seed in seeds]
    draws = torch.stack([torch.rand(11, generator=generator) for generator in generators])
    moved = move(images, draws)
    return torch.stack(
        [recolour(image, draw.tolist(), seed) for image, draw, seed in zip(moved, draws[:, 4:], seeds, strict=True)]
    )


def move(images: Tensor, draws: Tensor) -> Tensor:
    """Rotate, scale and shift each image by four numbers in [0, 1]; beyond the edges the image is mirrored."""
    angle = torch.deg2rad((2 * draws[:, 0] - 1) * ROTATION)
    scale = SCALE[0] * (SCALE[1] / SCALE[0]) ** draws[:, 1]
    shift = (2 * draws[:, 2:4] - 1) * 2 * SHIFT  # the grid runs from -1 to 1
    cosine, sine = torch.cos(angle) / scale, torch.sin(angle) / scale
    theta = torch.stack([torch.stack([cosine, -sine, shift[:, 0]], 1), torch.stack([sine, cosine, shift[:, 1]], 1)], 1)
    grid = F.affine_grid(theta, list(images.shape), align_corners=False).to(images)
    return F.grid_sample(images, grid, padding_mode="reflection", align_corners=False)


def recolour(image: Tensor, draw: Sequence[float], seed: int) -> Tensor:
    """Blur, colours and noise of one image ``(3, H, W)``, from seven numbers in [0, 1] and the seed of the noise."""
    blurred, sigma, brightness, contrast, saturation, hue, noise = draw
    if blurred < 0.5:
        image = transforms.gaussian_blur(image, [9, 9], [BLUR[0] + sigma * (BLUR[1] - BLUR[0])])
    factors = [COLOUR[0] + value * (COLOUR[1] - COLOUR[0]) for value in (brightness, contrast, saturation)]
    image = transforms.adjust_brightness(image, factors[0])
    image = transforms.adjust_contrast(image, factors[1])
    image = transforms.adjust_saturation(image, factors[2])
    image = transforms.adjust_hue(image, (2 * hue - 1) * HUE)
    generator = torch.Generator(image.device).manual_seed(seed)
    return (image + NOISE * noise * torch.randn(image.shape, generator=generator, device=image.device)).clamp(0, 1)
