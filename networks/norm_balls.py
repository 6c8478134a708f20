"""Balls around images, in which an attacker may move them: directions, projections, random points."""

from collections.abc import Sequence
from typing import Any, Literal

import torch
from torch import Tensor

Norm = Literal["linf", "l2"]
Generators = torch.Generator | Sequence[torch.Generator] | None


def steepest(gradient: Tensor, norm: Norm) -> Tensor:
    """The change of length 1 along which the loss rises fastest, for each image; zero where the gradient is zero.

    Args:
        gradient: Shape ``(N, ...)``.
        norm: In which the length is measured.
    """
    if norm == "linf":
        return gradient.sign()
    # Scaled to a largest value of 1 first: the squares of tiny gradients would underflow to zero
    largest = gradient.flatten(1).abs().amax(dim=1).clamp(min=torch.finfo(gradient.dtype).tiny)
    scaled = gradient / _per_image(largest, gradient)
    return scaled / _per_image(scaled.flatten(1).norm(dim=1).clamp(min=0.5), gradient)


def project(images: Tensor, centre: Tensor, norm: Norm, epsilon: float) -> Tensor:
    """Bring images into the ball of radius ``epsilon`` around other images, and into [0, 1].

    Args:
        images: Shape ``(N, ...)``.
        centre: In [0, 1], same shape.
        norm: Which ball.
        epsilon: Radius of the ball.
    """
    if norm == "linf":
        return torch.minimum(torch.maximum(images, centre - epsilon), centre + epsilon).clamp(0, 1)
    change = images - centre
    lengths = change.flatten(1).norm(dim=1)
    shrink = torch.where(lengths > epsilon, epsilon / lengths, torch.ones_like(lengths))
    return (centre + change * _per_image(shrink, change)).clamp(0, 1)


def random_offsets(images: Tensor, norm: Norm, epsilon: float, generator: Generators = None) -> Tensor:
    """Points drawn uniformly from the ball of radius ``epsilon`` around zero, of the shape of ``images``.

    Args:
        images: Shape ``(N, ...)``.
        norm: Which ball.
        epsilon: Radius of the ball.
        generator: One for the batch, or one for each image.
    """
    if not isinstance(generator, torch.Generator | None):
        draws = [
            random_offsets(image[None], norm, epsilon, each) for image, each in zip(images, generator, strict=True)
        ]
        return torch.cat(draws) if draws else torch.zeros_like(images)
    where: dict[str, Any] = {"dtype": images.dtype, "device": images.device if generator is None else generator.device}
    if norm == "linf":
        offsets = epsilon * (2 * torch.rand(images.shape, generator=generator, **where) - 1)
    else:
        # A normal vector has a uniform direction; a radius of u^(1/d) makes the points uniform in d dimensions
        direction = torch.randn(images.shape, generator=generator, **where)
        radius = torch.rand(len(images), generator=generator, **where) ** (1 / images[0].numel())
        offsets = direction * _per_image(epsilon * radius / direction.flatten(1).norm(dim=1), direction)
    return offsets.to(images.device)


def _per_image(values: Tensor, like: Tensor) -> Tensor:
    """Values ``(N,)`` in a shape that multiplies ``(N, ...)``."""
    return values.reshape(-1, *[1] * (like.ndim - 1))
