"""The record of one classifier's concepts: what its file in ``concepts/`` holds."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
PIXELS = "pixels"  # the name of the block of pixels


@dataclass(frozen=True)
class ConceptRecord:
    """k concepts of N images in B blocks (layers, pixels); kept as an npz file by :mod:`study.records`.

    Block b of the images was X_b ``(N, m_b)``, and X_b ≈ ``image_factor @ block_factors[b]``. The scale of a concept is
    free: whoever compares concepts starts with :meth:`scaled`.

    Attributes:
        image_factor: H: how much of each concept is in each image, at least 0, ``(N, k)``.
        index: Positions of the images in their split, ``(N,)``.
        labels: Their labels, ``(N,)``.
        predicted: The classifier's predictions, ``(N,)``.
        heldout_image_factor: H of the images held out, projected with the factors fixed, ``(N', k)``.
        heldout_index: Their positions in their split, ``(N',)``.
        heldout_labels: Their labels, ``(N',)``.
        heldout_predicted: Their predictions, ``(N',)``.
        blocks: Names of the blocks, ``(B,)``; the block of pixels is called ``pixels``.
        shapes: Channels, height and width of each block, ``(B, 3)``; height and width are 1 where it was pooled.
        weights: a_b, the weight of each block in the objective, ``(B,)``.
        factors: The factors W_b of all blocks side by side, at least 0, ``(k, Σ m_b)``.
        errors: Relative squared error of each block, ``(B,)``.
        heldout_errors: The same for the images held out, ``(B,)``.
        objective: Objective after each pass over the images, ``(passes,)``.
        mean_image: Mean of the images factorised, in [0, 1], ``(3, h, w)``.
        top_index: Positions of the images with most of each concept, in descending order, ``(k, T)``.
        top_images: These images, uint8, ``(k, T, 3, h, w)``.
        classes: Names of all classes, in the order of the labels.
    """

    image_factor: Array
    index: Array
    labels: Array
    predicted: Array
    heldout_image_factor: Array
    heldout_index: Array
    heldout_labels: Array
    heldout_predicted: Array
    blocks: Array
    shapes: Array
    weights: Array
    factors: Array
    errors: Array
    heldout_errors: Array
    objective: Array
    mean_image: Array
    top_index: Array
    top_images: Array
    classes: Array

    @property
    def block_factors(self) -> list[Array]:
        """W_b of each block, ``(k, m_b)``; views of :attr:`factors`."""
        return np.split(self.factors, np.cumsum(self.shapes.prod(axis=1))[:-1], axis=1)

    def scaled(self) -> tuple[Array, list[Array]]:
        """The factors in the scale in which concepts can be compared; see :func:`scaled`."""
        return scaled(self.image_factor, self.weights, self.block_factors)


def row_norms(weights: Sequence[float] | Array, factors: Sequence[Array]) -> Array:
    """The length of each concept's stacked row ``[√a_b W_b[r]]_b``, ``(k,)``.

    Args:
        weights: a_b of each block.
        factors: W_b of each block, ``(k, m_b)``.
    """
    squares = [
        weight * (factor.astype(float) ** 2).sum(axis=1) for weight, factor in zip(weights, factors, strict=True)
    ]
    return np.sqrt(np.sum(squares, axis=0))


def scaled(
    image_factor: Array, weights: Sequence[float] | Array, factors: Sequence[Array]
) -> tuple[Array, list[Array]]:
    """Rescale every concept so that its stacked row ``[√a_b W_b[r]]_b`` has unit length.

    Args:
        image_factor: H, ``(N, k)``.
        weights: a_b of each block.
        factors: W_b of each block, ``(k, m_b)``.

    Returns:
        The image factor, float64 ``(N, k)``, and the weighted stacked rows by block, each ``(k, m_b)``; the rows of a
        concept that is in no block stay 0.
    """
    norms = row_norms(weights, factors)
    divisor = np.where(norms > 0, norms, 1.0)[:, None]
    rows = zip(weights, factors, strict=True)
    return image_factor * norms, [np.sqrt(weight) * factor.astype(float) / divisor for weight, factor in rows]
