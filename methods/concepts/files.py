"""The file of the concepts that one factorisation has found."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
PIXELS = "pixels"  # the name of the block of pixels


@dataclass(frozen=True)
class ConceptFile:
    """k concepts of N images in B blocks (layers, pixels), as they are kept in an ``.npz``.

    Block b of the images was X_b ``(N, m_b)``, and X_b ≈ ``image_factor @ factors[b]``. A concept's scale is free:
    reading off anything starts with :meth:`scaled`.

    Attributes:
        image_factor: How much of each concept is in each image, at least 0, ``(N, k)``.
        index: Positions of the images in their split, ``(N,)``.
        labels: Their labels, ``(N,)``.
        predicted: What the classifier says of them, ``(N,)``.
        heldout_image_factor: Of images that were not factorised, projected with the factors fixed, ``(N', k)``.
        heldout_index: Likewise, ``(N',)``.
        heldout_labels: Likewise, ``(N',)``.
        heldout_predicted: Likewise, ``(N',)``.
        blocks: Their names, ``(B,)``; pixels are called ``pixels``.
        shapes: Channels, height and width of each block, ``(B, 3)``; height and width are 1 where it was pooled.
        weights: a_b, the weight of each block in the objective, ``(B,)``.
        factors: Each block's factor, at least 0, ``(k, m_b)``.
        errors: Relative squared error of each block, ``(B,)``.
        heldout_errors: Of the images projected, ``(B,)``.
        objective: After each pass over the images, ``(passes,)``.
        mean_image: Of the images factorised, in [0, 1], ``(3, h, w)``.
        top_index: Positions of the images with most of each concept, most first, ``(k, T)``.
        top_images: These, uint8, ``(k, T, 3, h, w)``.
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
    factors: list[Array]
    errors: Array
    heldout_errors: Array
    objective: Array
    mean_image: Array
    top_index: Array
    top_images: Array
    classes: Array

    def save(self, path: Path) -> None:
        """Write the file."""
        arrays: dict[str, Any] = {
            field.name: getattr(self, field.name) for field in fields(self) if field.name != "factors"
        }
        arrays |= {f"factor_{place}": part for place, part in enumerate(self.factors)}
        np.savez_compressed(path, **arrays)

    @classmethod
    def load(cls, path: Path) -> "ConceptFile":
        """Read the file."""
        with np.load(path) as file:
            found: dict[str, Any] = {field.name: file[field.name] for field in fields(cls) if field.name != "factors"}
            return cls(**found, factors=[file[f"factor_{place}"] for place in range(len(found["blocks"]))])

    def scaled(self) -> tuple[Array, list[Array]]:
        """Factors whose scale means something: each concept's stacked row ``[√a_b W_b[r]]_b`` has unit length.

        Returns:
            The image factor, float64 ``(N, k)``, and the weighted stacked rows by block, each ``(k, m_b)``; a concept
            that is nowhere keeps zeros.
        """
        return scaled(self.image_factor, self.weights, self.factors)


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
    """See :meth:`ConceptFile.scaled`; the arguments are its attributes."""
    norms = row_norms(weights, factors)
    divisor = np.where(norms > 0, norms, 1.0)[:, None]
    rows = zip(weights, factors, strict=True)
    return image_factor * norms, [np.sqrt(weight) * factor.astype(float) / divisor for weight, factor in rows]
