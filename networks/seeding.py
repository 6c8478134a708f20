"""Random numbers that depend on a seed and on positions alone: the same for any batch and any number of ranks."""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

Distribution = Literal["uniform", "normal"]


def combined_seed(*numbers: int) -> int:
    """One seed from several numbers, such as the study's seed, the epoch and an image's index."""
    # Python hashes tuples of whole numbers alike in every process (only texts are salted); torch takes 63 bits
    return hash(numbers) % 2**62


def seeded_generator(*numbers: int) -> torch.Generator:
    """A source of random numbers, on the CPU, that depends on some numbers alone."""
    return torch.Generator().manual_seed(combined_seed(*numbers))


def image_generators(seed: int, index: Tensor) -> list[torch.Generator]:
    """One generator for each image, which depends on the seed and the image's index alone."""
    return [seeded_generator(seed, image) for image in index.tolist()]


def image_noise(distribution: Distribution, index: Tensor, shape: Sequence[int], seed: int) -> Tensor:
    """Noise for each image, which depends on the seed and the image's index alone.

    Args:
        distribution: ``uniform`` in [-1, 1), or standard ``normal``.
        index: Position of each image in its split, ``(N,)``, at least one.
        shape: Shape of one image.
        seed: Decides all noise.

    Returns:
        Float32 on the CPU, shape ``(N, *shape)``.
    """
    generators = image_generators(seed, index)
    if distribution == "normal":
        return torch.stack([torch.randn(*shape, generator=generator) for generator in generators])
    return torch.stack([2 * torch.rand(*shape, generator=generator) - 1 for generator in generators])
