"""Curves of bits against the share of decisions kept, and what is read from them."""

import numpy as np

from stats.arrays import FloatArray


def bits_at_retention(bits: FloatArray, retention: FloatArray, target: float) -> float:
    r"""The bits at which a curve of retention against bits passes a target, interpolated.

    .. math:: \log R^* = \log R_k + \frac{q - q_k}{q_{k+1} - q_k} (\log R_{k+1} - \log R_k), \qquad
              q_k < q \le q_{k+1}

    where :math:`R_k` are the bits, ascending, :math:`q_k` the largest retention up to there and :math:`q` the target.

    Args:
        bits: Of each point, above 0, in any order, ``(K,)``.
        retention: Of each point, in [0, 1], ``(K,)``.
        target: In [0, 1].

    Returns:
        Bits; 0 where even the point with the fewest bits keeps more than the target, infinite where none reaches it.

    Example:
        >>> bits_at_retention(np.array([100.0, 10.0, 1000.0]), np.array([0.9, 0.5, 1.0]), target=0.95).round(2)
        np.float64(316.23)
    """
    order = np.argsort(bits, kind="stable")
    # noise may let a point keep less than one with fewer bits: more bits never keep less
    kept, logs = np.maximum.accumulate(retention[order]), np.log(np.maximum(bits[order], 1e-12))
    if target <= kept[0]:
        return np.float64(bits[order[0]] if target == kept[0] else 0.0)
    if target > kept[-1]:
        return np.float64(np.inf)
    upper = int(np.searchsorted(kept, target, side="left"))
    share = (target - kept[upper - 1]) / (kept[upper] - kept[upper - 1])
    return np.exp(logs[upper - 1] + share * (logs[upper] - logs[upper - 1]))


def quantile_interval(resampled: FloatArray, level: float) -> tuple[float, float]:
    """The central interval of resampled numbers, which may be infinite but not NaN.

    Args:
        resampled: ``(resamples,)``.
        level: Coverage, such as 0.95.

    Example:
        >>> quantile_interval(np.array([1.0, 2.0, 3.0, np.inf]), level=0.5)
        (1.0, 3.0)
    """
    # linear interpolation between a number and infinity would be NaN
    lower, upper = np.quantile(resampled, [(1 - level) / 2, (1 + level) / 2], method="inverted_cdf")
    return float(lower), float(upper)


def bandwidth(octaves: FloatArray) -> float:
    r"""The width at half height of a spectrum, in octaves.

    Between the centres of neighbouring octaves the spectrum is linear; at an end of the spectrum that is above half the
    height, the width ends half an octave beyond the last centre, so that it is a lower bound there.

    Args:
        octaves: Height of the spectrum in each octave, in the order of frequency, ``(K,)``, at least one above 0.

    Returns:
        Octaves; NaN where the spectrum is 0 all over.

    Example:
        >>> bandwidth(np.array([0.0, 1.0, 4.0, 0.0, 0.0])).round(3)
        np.float64(1.167)
    """
    if not octaves.max() > 0:
        return np.float64(np.nan)
    peak, half = int(octaves.argmax()), octaves.max() / 2
    width = np.float64(0.0)
    for side in (octaves[peak::-1], octaves[peak:]):
        below = np.flatnonzero(side < half)
        if not len(below):
            width += len(side) - 1 + 0.5
            continue
        last = below[0]
        width += last - 1 + (side[last - 1] - half) / (side[last - 1] - side[last])
    return width


def dominance(needed: FloatArray) -> FloatArray:
    r"""How much of the bits that network j lets in network i lets in, too, band by band.

    .. math:: S_{ij} = \frac{\sum_b \min(R_{ib}, R_{jb})}{\sum_b R_{jb}}

    where :math:`R_{ib}` are the bits of network :math:`i` in band :math:`b`.

    Args:
        needed: Bits of each network in each band, ``(n, bands)``.

    Returns:
        Shares in [0, 1], ``(n, n)``, i in rows; NaN where network j lets nothing in.

    Example:
        >>> dominance(np.array([[4.0, 0.0], [2.0, 2.0]])).tolist()
        [[1.0, 0.5], [0.5, 1.0]]
    """
    common = np.minimum(needed[:, None], needed[None, :]).sum(axis=-1)
    total = needed.sum(axis=-1)
    return np.divide(common, total, out=np.full_like(common, np.nan), where=total > 0)


def interpolated(
    values: FloatArray, bits: FloatArray, retention: FloatArray, target: float
) -> tuple[FloatArray, float]:
    """Values between the two points of a curve around a target, or those of its nearest end.

    Args:
        values: Of each point, ``(K, ...)``.
        bits: As for :func:`bits_at_retention`.
        retention: As for :func:`bits_at_retention`.
        target: As for :func:`bits_at_retention`.

    Returns:
        The values, of shape ``(...)``, and the retention that they stand for: the target, or that of the end.

    Example:
        >>> values, kept = interpolated(np.array([0.0, 1.0]), np.array([10.0, 20.0]), np.array([0.5, 0.9]), target=0.8)
        >>> float(values.round(2)), kept
        (0.75, 0.8)
    """
    order = np.argsort(bits, kind="stable")
    kept = np.maximum.accumulate(retention[order])
    if target <= kept[0] or target > kept[-1]:
        end = 0 if target <= kept[0] else int(np.argmax(kept == kept[-1]))
        return values[order[end]], float(kept[end])
    upper = int(np.searchsorted(kept, target, side="left"))
    share = (target - kept[upper - 1]) / (kept[upper] - kept[upper - 1])
    low, high = values[order[upper - 1]], values[order[upper]]
    return low + share * (high - low), target


def off_diagonal(matrices: FloatArray) -> FloatArray:
    """The entries ``(..., n * (n - 1))`` of matrices ``(..., n, n)`` that are not on the diagonal."""
    n = matrices.shape[-1]
    return matrices[..., ~np.eye(n, dtype=bool)]
