"""Numbers that describe the shape of a pattern: its outline, contrast, edges and pieces."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd
from skimage.filters import sobel
from skimage.measure import label

from methods.class_patterns.patterns import Patterns

GREY = np.array([0.299, 0.587, 0.114])  # Rec. 601
EDGE = 0.1  # Sobel gradient that counts as an edge; a step of about 0.2 between two even greys has it
Mask = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Simplicity:
    """The numbers of a pattern; a simple one has a short outline, few edges, few pieces. NaN where undefined.

    Attributes:
        pixels: Number of pixels.
        mask_variation: See :func:`mask_variation`; divided by the number of pixels, from about 0 to 4.
        pixel_variation: See :func:`pixel_variation`, in [0, 1].
        edge_density: See :func:`edge_density`, in [0, 1].
        components: Number of pieces; pixels that touch at a corner belong together.
        largest_share: Share of the pixels in the largest piece.
    """

    pixels: int
    mask_variation: float
    pixel_variation: float
    edge_density: float
    components: int
    largest_share: float


def simplicity_table(patterns: Patterns, budget: float, seed: int) -> pd.DataFrame:
    """The numbers of every pattern at one budget.

    Args:
        patterns: The patterns.
        budget: Share of the pixels.
        seed: Seed of the search.

    Returns:
        A row for each: ``class``, ``kind``, ``number``, ``seed``, and the attributes of :class:`Simplicity`.
    """
    pairs = range(len(patterns.targets))
    numbers = [vars(simplicity(patterns.pixels(pair, budget, seed), patterns.canvases[pair])) for pair in pairs]
    return patterns.table(seed).join(pd.DataFrame(numbers))


def simplicity(mask: npt.ArrayLike, canvas: npt.ArrayLike) -> Simplicity:
    """Every number of a pattern.

    Args:
        mask: The pixels that belong to it, boolean ``(H, W)``.
        canvas: The image that it is cut from, ``(3, H, W)``: uint8, or floats in [0, 1].

    Raises:
        ValueError: If a shape or a type does not fit, or the canvas leaves its range.
    """
    chosen, image = checked(mask, canvas)
    pieces, largest = connected_components(chosen)
    pixels = int(chosen.sum())
    return Simplicity(
        pixels=pixels,
        mask_variation=mask_variation(chosen) / pixels if pixels else float("nan"),
        pixel_variation=pixel_variation(chosen, image),
        edge_density=edge_density(chosen, image),
        components=pieces,
        largest_share=largest,
    )


def mask_variation(mask: Mask) -> int:
    """Total variation of a mask: the number of vertical or horizontal neighbours of which one is in the mask.

    This is the length of the pattern's outline in pixels, without the part that lies on the border of the image.

    Args:
        mask: Boolean ``(H, W)``.
    """
    return int((mask[1:] != mask[:-1]).sum() + (mask[:, 1:] != mask[:, :-1]).sum())


def pixel_variation(mask: Mask, image: Floats) -> float:
    """Total variation within a pattern: the mean difference of two neighbours that both belong to it.

    Pixels outside the pattern have no influence, so that a dark pattern does not count as simpler than a bright one.

    Args:
        mask: Boolean ``(H, W)``.
        image: ``(3, H, W)``, in [0, 1].

    Returns:
        The mean over pairs above or beside each other and over channels, in [0, 1]; NaN where there is no pair.
    """
    down = np.abs(np.diff(image, axis=1))[:, mask[1:] & mask[:-1]]
    right = np.abs(np.diff(image, axis=2))[:, mask[:, 1:] & mask[:, :-1]]
    differences = np.concatenate([down, right], axis=1)
    return float(differences.mean()) if differences.size else float("nan")


def edge_density(mask: Mask, image: Floats, threshold: float = EDGE) -> float:
    """Share of a pattern's pixels that lie on an edge of its canvas.

    Args:
        mask: Boolean ``(H, W)``.
        image: ``(3, H, W)``, in [0, 1].
        threshold: Smallest Sobel gradient of the grey image, in [0, 1], that counts as an edge.

    Returns:
        In [0, 1]; NaN for an empty pattern.
    """
    if not mask.any():
        return float("nan")
    edges = sobel(np.tensordot(GREY, image, axes=1), mode="nearest") > threshold
    return float(edges[mask].mean())


def connected_components(mask: Mask) -> tuple[int, float]:
    """Number of pieces of a pattern, and the share of its pixels in the largest; a pixel has eight neighbours.

    Args:
        mask: Boolean ``(H, W)``.

    Returns:
        0 and NaN for an empty pattern.
    """
    if not mask.any():
        return 0, float("nan")
    sizes = np.bincount(label(mask, connectivity=2).ravel())[1:]
    return len(sizes), float(sizes.max() / sizes.sum())


def checked(mask: npt.ArrayLike, canvas: npt.ArrayLike) -> tuple[Mask, Floats]:
    """A mask ``(H, W)`` and its canvas ``(3, H, W)`` in [0, 1], checked."""
    chosen, image = np.asarray(mask), np.asarray(canvas)
    if chosen.ndim != 2 or chosen.dtype != np.bool_:
        raise ValueError(f"the mask is {chosen.dtype} of shape {chosen.shape}; expected booleans (H, W)")
    if image.shape != (3, *chosen.shape):
        raise ValueError(f"the canvas has shape {image.shape}; expected {(3, *chosen.shape)}, as the mask's")
    if image.dtype == np.uint8:
        return chosen, image.astype(np.float64) / 255
    floats = image.astype(np.float64)
    if not (floats.size == 0 or (floats.min() >= 0 and floats.max() <= 1)):  # so written, it also refuses NaN
        raise ValueError("the canvas is neither uint8 nor in [0, 1]")
    return chosen, floats
