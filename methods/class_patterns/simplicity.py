"""Numbers that describe the shape of a pattern: its outline, contrast, edges and pieces."""

import math

import numpy as np
import numpy.typing as npt
import pandas as pd
from skimage.filters import sobel
from skimage.measure import label

from methods.class_patterns.patterns import Array, Patterns

GREY = np.array([0.299, 0.587, 0.114])  # Rec. 601
EDGE = 0.1  # Sobel gradient that counts as an edge; a step of about 0.2 between two even greys has it


def simplicity_table(patterns: Patterns, budget: float, seed: int) -> pd.DataFrame:
    """The numbers of every pattern at one budget.

    Args:
        patterns: The patterns.
        budget: Share of the pixels.
        seed: Seed of the search.

    Returns:
        A row for each: ``class``, ``kind``, ``number``, ``seed``, and the numbers of :func:`simplicity`.
    """
    pairs = range(len(patterns.targets))
    numbers = [simplicity(patterns.pixels(pair, budget, seed), patterns.canvases[pair]) for pair in pairs]
    return patterns.table(seed).join(pd.DataFrame(numbers))


def simplicity(mask: npt.ArrayLike, canvas: npt.ArrayLike) -> dict[str, float]:
    """The numbers of a pattern; a simple one has a short outline, few edges, few pieces.

    Args:
        mask: The pixels that belong to it, boolean ``(H, W)``.
        canvas: The image that it is cut from, ``(3, H, W)``: uint8, or floats in [0, 1].

    Returns:
        ``pixels``, their number; ``mask_variation`` (see the function of that name) divided by it, from about 0 to 4;
        ``pixel_variation`` and ``edge_density`` (see the functions of these names), in [0, 1]; ``components``, the
        number of pieces (pixels that touch at a corner belong together); ``largest_share``, the share of the pixels in
        the largest piece. NaN where undefined.

    Raises:
        ValueError: If a shape or a type does not fit, or the canvas leaves its range.
    """
    chosen, image = np.asarray(mask), np.asarray(canvas)
    if chosen.ndim != 2 or chosen.dtype != np.bool_:
        raise ValueError(f"the mask is {chosen.dtype} of shape {chosen.shape}; expected booleans (H, W)")
    if image.shape != (3, *chosen.shape):
        raise ValueError(f"the canvas has shape {image.shape}; expected {(3, *chosen.shape)}, as the mask's")
    floats = image.astype(np.float64) / (255 if image.dtype == np.uint8 else 1)
    if not ((floats >= 0) & (floats <= 1)).all():  # so written, it also refuses NaN
        raise ValueError("the canvas is neither uint8 nor in [0, 1]")
    pieces, largest = connected_components(chosen)
    pixels = int(chosen.sum())
    return {
        "pixels": pixels,
        "mask_variation": mask_variation(chosen) / pixels if pixels else math.nan,
        "pixel_variation": pixel_variation(chosen, floats),
        "edge_density": edge_density(chosen, floats),
        "components": pieces,
        "largest_share": largest,
    }


def mask_variation(mask: Array) -> int:
    """Total variation of a mask: the number of vertical or horizontal neighbours of which one is in the mask.

    This is the length of the pattern's outline in pixels, without the part that lies on the border of the image.

    Args:
        mask: Boolean ``(H, W)``.
    """
    return int((mask[1:] != mask[:-1]).sum() + (mask[:, 1:] != mask[:, :-1]).sum())


def pixel_variation(mask: Array, image: Array) -> float:
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
    return float(differences.mean()) if differences.size else math.nan


def edge_density(mask: Array, image: Array, threshold: float = EDGE) -> float:
    """Share of a pattern's pixels that lie on an edge of its canvas.

    Args:
        mask: Boolean ``(H, W)``.
        image: ``(3, H, W)``, in [0, 1].
        threshold: Smallest Sobel gradient of the grey image, in [0, 1], that counts as an edge.

    Returns:
        In [0, 1]; NaN for an empty pattern.
    """
    if not mask.any():
        return math.nan
    edges = sobel(np.tensordot(GREY, image, axes=1), mode="nearest") > threshold
    return float(edges[mask].mean())


def connected_components(mask: Array) -> tuple[int, float]:
    """Number of pieces of a pattern, and the share of its pixels in the largest; a pixel has eight neighbours.

    Args:
        mask: Boolean ``(H, W)``.

    Returns:
        0 and NaN for an empty pattern.
    """
    if not mask.any():
        return 0, math.nan
    sizes = np.bincount(label(mask, connectivity=2).ravel())[1:]
    return len(sizes), float(sizes.max() / sizes.sum())
