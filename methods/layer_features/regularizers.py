"""Regularizers of optimised images: small changes of the pixels or of their gradient, for a whole batch."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

DENOISING_STEPS = 30


def gaussian_blur(images: Tensor, sigma: float) -> Tensor:
    """Blur with a Gaussian that is cut off at four σ; edge pixels are repeated outside of the image.

    torchvision's blur reflects the image at its edges instead, and scikit-image's has no gradient.

    Args:
        images: Shape ``(N, C, H, W)``.
        sigma: Standard deviation in pixels; 0 changes nothing.
    """
    radius = int(4 * sigma + 0.5)
    if radius < 1:
        return images
    offsets = torch.arange(-radius, radius + 1, dtype=images.dtype, device=images.device)
    kernel = (-0.5 * (offsets / sigma).square()).exp()
    kernel = kernel / kernel.sum()
    channels = images.shape[1]
    for padding, weight in (([0, 0, radius, radius], kernel[:, None]), ([radius, radius, 0, 0], kernel[None])):
        padded = F.pad(images, padding, mode="replicate")
        images = F.conv2d(padded, weight.expand(channels, 1, *weight.shape), groups=channels)
    return images


def tv_denoise(images: Tensor, weight: float, steps: int = DENOISING_STEPS) -> Tensor:
    """Minimise TV(u) + weight · ‖u − images‖² over u, channel by channel; without gradient.

    Args:
        images: Shape ``(N, C, H, W)``.
        weight: Weight of the distance to the images beside the isotropic total variation: large is weak denoising.
        steps: Iterations of the algorithm; its error falls as 1 / steps.

    Source: A. Chambolle, "An Algorithm for Total Variation Minimization and Applications", J. Math. Imaging Vis. 2004.
    """
    with torch.no_grad():
        strength = 1 / (2 * weight)
        down, right = torch.zeros_like(images), torch.zeros_like(images)  # the dual variable, at most 1 long
        for _ in range(steps):
            by_row, by_column = gradient(divergence(down, right) - images / strength)
            # steps of 1/4, the largest for which the iteration is known to converge in practice
            length = (by_row.square() + by_column.square()).sqrt_().mul_(0.25).add_(1)
            down, right = (down + 0.25 * by_row) / length, (right + 0.25 * by_column) / length
        return images - strength * divergence(down, right)


def gradient(images: Tensor) -> tuple[Tensor, Tensor]:
    """Differences to the next row and to the next column; 0 in the last one."""
    return F.pad(images.diff(dim=-2), [0, 0, 0, 1]), F.pad(images.diff(dim=-1), [0, 1])


def divergence(down: Tensor, right: Tensor) -> Tensor:
    """The negative adjoint of :func:`gradient`."""
    down, right = down[..., :-1, :], right[..., :-1]
    return F.pad(down, [0, 0, 0, 1]) - F.pad(down, [0, 0, 1, 0]) + F.pad(right, [0, 1]) - F.pad(right, [1, 0])


def radial_mask(height: int, width: int, sigma: float) -> Tensor:
    """A Gaussian around the centre of the image, 1 in the centre, by which the gradient of the pixels is multiplied.

    Args:
        height: In pixels.
        width: In pixels.
        sigma: Standard deviation, in pixels.

    Returns:
        Shape ``(H, W)``.
    """
    rows = torch.arange(height, dtype=torch.float32) - (height - 1) / 2
    columns = torch.arange(width, dtype=torch.float32) - (width - 1) / 2
    return (-(rows[:, None].square() + columns[None].square()) / (2 * sigma**2)).exp()


def jitter(images: Tensor, down: int, right: int) -> Tensor:
    """Shift images ``(N, C, H, W)`` by whole pixels; pixels that leave at one edge enter at the opposite one."""
    return images.roll((down, right), dims=(-2, -1))


def zoom_crop(images: Tensor, zoom: float, top: float, left: float) -> Tensor:
    """Enlarge images bilinearly and cut out a crop of their original size.

    Args:
        images: Shape ``(N, C, H, W)``.
        zoom: Factor, 1 or more; 1 changes nothing.
        top: Vertical position of the crop in [0, 1); 0 is the top.
        left: Horizontal position of the crop in [0, 1); 0 is the left edge.
    """
    height, width = images.shape[-2:]
    tall, wide = math.floor(zoom * height + 0.5), math.floor(zoom * width + 0.5)
    if (tall, wide) == (height, width):
        return images
    large = F.interpolate(images, (tall, wide), mode="bilinear", align_corners=False)
    row, column = int(top * (tall - height + 1)), int(left * (wide - width + 1))
    return large[..., row : row + height, column : column + width]


def brighten(images: Tensor, amount: float) -> Tensor:
    """Add a constant to every pixel of images in [0, 1], and clamp the result to [0, 1]."""
    return (images + amount).clamp(0, 1)
