"""What a concept looks like."""

import numpy as np
import numpy.typing as npt

from methods.concepts.files import PIXELS, ConceptFile

Floats = npt.NDArray[np.float64]


def pixel_pictures(file: ConceptFile) -> Floats | None:
    """The picture of each concept, as its difference to the mean image.

    A concept's row of the block of pixels has no scale of its own: it is made as bright as the mean image, all pixels
    and colours together, and what is left after subtracting that image says where the concept is brighter or darker,
    and more or less of a colour, than images are on average.

    Args:
        file: The factorisation.

    Returns:
        0 where a pixel is as in the mean image, ``(k, 3, h, w)``; 0 all over for a concept without pixels; ``None``
        where pixels were not factorised.
    """
    names = [str(block) for block in file.blocks]
    if PIXELS not in names:
        return None
    place = names.index(PIXELS)
    rows: Floats = file.factors[place].astype(float).reshape(-1, *file.shapes[place])
    mean = file.mean_image.astype(float)
    if mean.shape != rows.shape[1:]:  # pixels were factorised at another size: the mean over concepts stands in
        used = file.scaled()[0].sum(axis=0)
        mean = np.tensordot(used / used.sum(), rows, axes=1)
    total = rows.sum(axis=(1, 2, 3), keepdims=True)
    some = total > 0
    return np.where(some, rows * mean.sum() / np.where(some, total, 1) - mean, 0.0)
