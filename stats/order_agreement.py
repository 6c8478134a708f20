"""Do two ways of measuring what networks let in order the networks alike?"""

from typing import Any

import numpy as np

from stats.arrays import FloatArray
from stats.bootstrap import percentile_interval
from stats.correlations import population_interval, spearman
from stats.rate_retention import off_diagonal


def order_agreement(
    one: FloatArray, ones: FloatArray, other: FloatArray, others: FloatArray, level: float
) -> dict[str, dict[str, Any]]:
    """Spearman's rank correlation of two tables of relative rates of change of the same networks.

    ``positions`` compares the positions of the classifiers in the two orders: the means of their columns, which are the
    numbers of sufficient sources averaged over all thresholds. ``pairs`` compares the ordered pairs of different
    classifiers, entry by entry.

    Args:
        one: The first table ``(n, n)``, rows sources, columns classifiers.
        ones: The same in every resample of the images, ``(resamples, n, n)``.
        other: The second table.
        others: The same in the same resamples.
        level: Coverage of the intervals, such as 0.95.

    Returns:
        For ``positions`` and ``pairs``: ``spearman``, ``lower_images`` and ``upper_images`` (other images);
        for ``positions`` also ``lower`` and ``upper`` (other images and other classifiers of the kind, see
        :func:`stats.correlations.population_interval`). ``None`` where all values of one side are equal.

    Example:
        >>> table = np.array([[1.0, 0.9, 0.4], [0.8, 1.0, 0.5], [0.9, 0.8, 1.0]])
        >>> agreement = order_agreement(table, table[None], table.T, table.T[None], level=0.95)
        >>> round(agreement["positions"]["spearman"], 2), round(agreement["pairs"]["spearman"], 2)
        (-1.0, -0.61)
    """
    measures = {"positions": lambda rrc: rrc.mean(axis=-2), "pairs": off_diagonal}
    agreement: dict[str, dict[str, Any]] = {}
    for name, measure in measures.items():
        estimate = spearman(measure(one), measure(other))
        resampled = spearman(measure(ones), measure(others))
        agreement[name] = _document(estimate, resampled, level)
        if name == "positions":
            defined = resampled[np.isfinite(resampled)]
            ends = population_interval(defined, one.shape[-1], level) if np.isfinite(estimate) else (None, None)
            agreement[name] |= dict(zip(("lower", "upper"), ends, strict=True))
    return agreement


def law_agreement(predicted: FloatArray, measured: FloatArray, resampled: FloatArray, level: float) -> dict[str, Any]:
    """Spearman's rank correlation over ordered pairs of a prediction, which is fixed, and of measured rates.

    Args:
        predicted: ``(n, n)``.
        measured: ``(n, n)``.
        resampled: ``(resamples, n, n)``.
        level: Coverage of the interval over images.

    Returns:
        ``spearman``, ``lower_images``, ``upper_images``; ``None`` where all values of one side are equal.

    Example:
        >>> table = np.array([[1.0, 0.9, 0.4], [0.8, 1.0, 0.5], [0.7, 0.6, 1.0]])
        >>> law_agreement(table**2, table, table[None], level=0.95)["spearman"]
        1.0
    """
    pairs = off_diagonal(predicted)
    return _document(spearman(off_diagonal(measured), pairs), spearman(off_diagonal(resampled), pairs), level)


def _document(estimate: FloatArray, resampled: FloatArray, level: float) -> dict[str, Any]:
    """A correlation with its interval over images, ready for JSON."""
    defined = resampled[np.isfinite(resampled)]
    if not np.isfinite(estimate) or not len(defined):
        return {"spearman": None, "lower_images": None, "upper_images": None}
    images = percentile_interval(defined, estimate, level)
    return {
        "spearman": float(estimate), "lower_images": float(images.lower), "upper_images": float(images.upper)
    }  # fmt: skip
