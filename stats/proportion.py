"""The interval of a share of independent images."""

import numpy as np
import numpy.typing as npt
from scipy.special import ndtri  # type: ignore[import-untyped]

from stats.arrays import FloatArray

NORMAL_975 = float(ndtri(0.975))  # 97.5 % of the standard normal distribution lie below


def wilson_interval(share: npt.ArrayLike, images: npt.ArrayLike) -> tuple[FloatArray, FloatArray]:
    r"""The 95 % interval of a share, which stays inside [0, 1] and has a width also at 0, at 1 and for few images.

    .. math::
        \frac{1}{1 + z^2 / n} \left( p + \frac{z^2}{2n} \pm z \sqrt{\frac{p (1 - p)}{n} + \frac{z^2}{4 n^2}} \right)

    where :math:`p` is the share, :math:`n` the number of images and :math:`z = 1.96` the 97.5 % point of the standard
    normal distribution. For a mean over seeds, which all use the same images, the interval is a little too wide.

    Args:
        share: In [0, 1], any shape; where there are no images, any number.
        images: Number of images, of the same shape or a single number.

    Returns:
        Lower and upper ends in [0, 1], which enclose the share; 0 and 1 where there are no images.

    Source: E. B. Wilson, "Probable inference, the law of succession, and statistical inference", JASA 22 (1927).

    Example:
        >>> lower, upper = wilson_interval([0.0, 0.5, 1.0], 10)
        >>> lower.round(4).tolist(), upper.round(4).tolist()
        ([0.0, 0.2366, 0.7225], [0.2775, 0.7634, 1.0])
    """
    # scipy's binomtest takes one whole count at a time; shares over seeds are not whole, and there are many
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
