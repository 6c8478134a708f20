"""The interval of a share of independent images."""

import numpy as np
import numpy.typing as npt

NORMAL_975 = 1.959963984540054  # the standard normal distribution's 97.5 % point
Floats = npt.NDArray[np.float64]


def wilson_interval(share: npt.ArrayLike, images: npt.ArrayLike) -> tuple[Floats, Floats]:
    """The 95 % interval of a share, which stays sensible at 0, at 1 and for few images.

    For a mean over seeds, which share their images, it is a little too wide.

    Args:
        share: In [0, 1], any shape; where there are no images, any number.
        images: How many, of the same shape or one number.

    Returns:
        Lower and upper ends in [0, 1], which enclose the share; 0 and 1 where there are no images.

    Source: E. B. Wilson, "Probable inference, the law of succession, and statistical inference", JASA 22 (1927).
    """
    share, images = np.broadcast_arrays(np.asarray(share, dtype=np.float64), np.asarray(images, dtype=np.float64))
    some = images > 0
    count = np.where(some, images, 1)
    known = np.where(some, share, 0)
    weight = NORMAL_975**2 / count
    centre = (known + weight / 2) / (1 + weight)
    half = NORMAL_975 / (1 + weight) * np.sqrt(known * (1 - known) / count + weight / (4 * count))
    lower = np.clip(centre - half, 0, known)  # rounding must not put the share outside
    upper = np.clip(centre + half, known, 1)
    return np.where(some, lower, 0.0), np.where(some, upper, 1.0)
