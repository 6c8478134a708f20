"""What keeps optimised images plain: small changes of pixels or of their gradient, each for a whole batch."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

DENOISING_STEPS = 30


def gaussian_blur(images: Tensor, sigma: float) -> Tensor:
    """Blur with a Gaussian, cut off at four σ; edges are continued.

    Args:
        images: Shape ``(N, C, H, W)``.
        sigma: Standard deviation in pixels; 0 changes nothing.
    """
    radius = int(4 * sigma + 0.5)
    if radius < 1:
        return images
    places = torch.arange(-radius, radius + 1, dtype=images.dtype, device=images.device)
    kernel = (-0.5 * (places / sigma).square()).exp()
    kernel = kernel / kernel.sum()
    channels = images.shape[1]
    for axis in (2, 3):
        shape = [1, 1, 1, 1]
        shape[axis] = len(kernel)
        around = [0, 0, radius, radius] if axis == 2 else [radius, radius, 0, 0]
        padded = pad_edges(images, around)
        images = F.conv2d(padded, kernel.view(shape).expand(channels, 1, *shape[2:]), groups=channels)
    return images


def pad_edges(images: Tensor, around: list[int]) -> Tensor:
    """Continue the edges of images, however far."""
    return F.pad(images, around, mode="replicate")


def tv_denoise(images: Tensor, weight: float, steps: int = DENOISING_STEPS) -> Tensor:
    """Remove noise: the images u that minimise TV(u) + weight · ‖u − images‖², channel by channel; no gradient.

    Args:
        images: Shape ``(N, C, H, W)``.
        weight: How much the images count against their total variation (isotropic): large is weak.
        steps: Of the algorithm; the solution is approached as 1 / steps.

    Source: A. Chambolle, "An Algorithm for Total Variation Minimization and Applications", J. Math. Imaging Vis. 2004.
    """
    with torch.no_grad():
        strength = 1 / (2 * weight)
        down, right = torch.zeros_like(images), torch.zeros_like(images)
        for _ in range(steps):
            rest = divergence(down, right) - images / strength
            by_row, by_column = gradient(rest)
            length = (by_row.square() + by_column.square()).sqrt_().mul_(0.25).add_(1)
            down, right = (down + 0.25 * by_row) / length, (right + 0.25 * by_column) / length
        return images - strength * divergence(down, right)


def gradient(images: Tensor) -> tuple[Tensor, Tensor]:
    """Differences to the next row and to the next column; 0 at the end."""
    return F.pad(images.diff(dim=-2), [0, 0, 0, 1]), F.pad(images.diff(dim=-1), [0, 1])


def divergence(down: Tensor, right: Tensor) -> Tensor:
    """The negative adjoint of :func:`gradient`."""
    down, right = down[..., :-1, :], right[..., :-1]
    return F.pad(down, [0, 0, 0, 1]) - F.pad(down, [0, 0, 1, 0]) + F.pad(right, [0, 1]) - F.pad(right, [1, 0])


def radial_mask(height: int, width: int, sigma: float) -> Tensor:
    """A bell around the centre, 1 there: weights of a gradient that shall gather in the middle.

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
    """Move images ``(N, C, H, W)`` by whole pixels; what leaves at one edge comes in at the other."""
    return images.roll((down, right), dims=(-2, -1))


def zoom_crop(images: Tensor, zoom: float, top: float, left: float) -> Tensor:
    """Enlarge images, bilinearly, and cut a piece of their former size out.

    Args:
        images: Shape ``(N, C, H, W)``.
        zoom: Factor from 1 on; 1 changes nothing.
        top: Where the piece begins, in [0, 1): 0 at the top.
        left: Likewise.
    """
    height, width = images.shape[-2:]
    tall, wide = math.floor(zoom * height + 0.5), math.floor(zoom * width + 0.5)
    if (tall, wide) == (height, width):
        return images
    large = F.interpolate(images, (tall, wide), mode="bilinear", align_corners=False)
    row, column = int(top * (tall - height + 1)), int(left * (wide - width + 1))
    return large[..., row : row + height, column : column + width]


def brighten(images: Tensor, amount: float) -> Tensor:
    """Add the same to every pixel of images in [0, 1], and stay within."""
    return (images + amount).clamp(0, 1)
