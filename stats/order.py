"""The order relation: from a table of accuracies to "who needs more of the input than whom", at every threshold.

Row ``i`` of every table is an autoencoder ``A_i``, column ``j`` a classifier: the cell is classifier ``j`` fed with the
reconstructions of ``A_i``. Source: arXiv 1803.08337, the order relation.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from stats.accuracy_csv import FloatArray, check_accuracies, check_same_names
from stats.concept_lattice import count_concepts, is_chain

SAME_VALUE = 1e-12
"""Relative difference up to which two ratios count as one value: 0.1/0.2 and 0.3/0.6 may differ in the last bits."""


@dataclass(frozen=True)
class ThresholdInterval:
    """A range of thresholds ``(lower, upper]`` with one and the same concept lattice.

    Attributes:
        lower: Excluded lower end, at least 0.
        upper: Included upper end, a value of the relative rate of change.
        concepts: Number of formal concepts, at least 1.
        chain: Whether the lattice is a chain, so that the classifiers are ordered.
        order: Groups of classifier indices, from those served by the fewest autoencoders to those served by the most;
            classifiers served by the same autoencoders share a group. None where the lattice is not a chain.
    """

    lower: float
    upper: float
    concepts: int
    chain: bool
    order: tuple[tuple[int, ...], ...] | None


def relative_rate_of_change(accuracy: FloatArray) -> FloatArray:
    """Compare each accuracy with the smaller of the two classifiers' accuracies on their own autoencoders.

    ``RRC[i, j] = acc[i, j] / min(acc[i, i], acc[j, j])``: near 1 where the signal that ``A_i`` keeps serves
    classifier ``j``, near 0 where it does not. The diagonal is exactly 1; a value above 1 is possible.

    Args:
        accuracy: Accuracies in ``[0, 1]``, shape ``(n, n)``, rows autoencoders, columns classifiers.

    Returns:
        Non-negative ratios of shape ``(n, n)``.

    Raises:
        ValueError: If the array is not square, a value is not finite or outside ``[0, 1]``, or the diagonal holds a 0.

    Source: arXiv 1803.08337, relative rate of change.
    """
    accuracy = np.asarray(accuracy, dtype=np.float64)
    check_accuracies(accuracy, names=None, source="accuracy")
    own = accuracy.diagonal()
    return accuracy / np.minimum.outer(own, own)


def threshold_intervals(rrc: FloatArray) -> list[ThresholdInterval]:
    """Find the concept lattice at every threshold in ``(0, rrc.max()]``.

    At threshold ``t`` the objects are the classifiers ``j``, the attributes the autoencoders ``i``, and ``j`` has ``i``
    where ``rrc[i, j] >= t``. Values that differ by rounding alone (``SAME_VALUE``) count as the largest of them.

    Args:
        rrc: Relative rates of change, non-negative, shape ``(n, n)``, rows autoencoders, columns classifiers.

    Returns:
        Intervals in ascending order, each starting where the one before ends; none where all values are 0.

    Raises:
        ValueError: If the array is not square or a value is negative or not finite.

    Source: arXiv 1803.08337, formal concept analysis, shown there at the thresholds .1, .2, .8 and .9.
    """
    rrc = np.asarray(rrc, dtype=np.float64)
    if rrc.ndim != 2 or rrc.shape[0] != rrc.shape[1]:
        raise ValueError(f"rrc has shape {rrc.shape}, not square; pass the result of relative_rate_of_change")
    if not np.isfinite(rrc).all() or (rrc < 0).any():
        raise ValueError("rrc has a negative or non-finite value; pass the result of relative_rate_of_change")
    cuts = _distinct_values(rrc)
    # The cut that stands for a value: every value of a merged group is at or below its cut and above the one before.
    rank = np.where(rrc > 0, np.searchsorted(cuts, rrc), -1)
    intervals = []
    for k, upper in enumerate(cuts):
        served = (rank >= k).T
        chain = is_chain(served)
        intervals.append(
            ThresholdInterval(
                lower=float(cuts[k - 1]) if k else 0.0,
                upper=float(upper),
                concepts=count_concepts(served),
                chain=chain,
                order=_groups_by_count(served.sum(axis=1).tolist()) if chain else None,
            )
        )
    return intervals


def widest_chain(intervals: Sequence[ThresholdInterval]) -> ThresholdInterval | None:
    """Pick the order that holds over the widest range of thresholds.

    A chain that tells at least two groups of classifiers apart goes before one that puts all into a single group.

    Args:
        intervals: Result of ``threshold_intervals``.

    Returns:
        The widest chain, the lowest of equally wide ones (widths that differ by rounding alone are equal); None where
        no interval is a chain.
    """
    chains = [interval for interval in intervals if interval.order is not None]
    candidates = [interval for interval in chains if interval.order and len(interval.order) > 1] or chains
    if not candidates:
        return None
    widest = max(interval.upper - interval.lower for interval in candidates)
    tied = (i for i in candidates if math.isclose(i.upper - i.lower, widest, abs_tol=SAME_VALUE * i.upper))
    return min(tied, key=lambda interval: interval.lower)


def shown_intervals(intervals: Sequence[ThresholdInterval], count: int = 20) -> list[int]:
    """Choose the intervals that a short table shows.

    Args:
        intervals: Result of ``threshold_intervals``.
        count: How many, at most.

    Returns:
        Ascending positions of the widest intervals; the widest chain is always among them.
    """
    chain = widest_chain(intervals)
    widths = [math.inf if interval is chain else interval.upper - interval.lower for interval in intervals]
    return sorted(sorted(range(len(intervals)), key=lambda place: -widths[place])[:count])


def order_document(accuracy: pd.DataFrame) -> dict[str, Any]:
    """Write the whole order analysis of a table as one JSON-ready document.

    Args:
        accuracy: Accuracies in ``[0, 1]``, shape ``(n, n)``; index and columns hold the same names.

    Returns:
        ``{"rrc": {autoencoder: {classifier: value}}, "intervals": [{"from", "to", "concepts", "chain", "order"}],
        "widest", "shown"}`` where an interval is the thresholds in ``(from, to]`` and ``order`` holds groups of names,
        or None where the lattice is not a chain; ``widest`` is the widest interval that is a chain, or None, and
        ``shown`` are the positions of the widest intervals. Names and rows follow the order of the columns.

    Raises:
        ValueError: If the names of rows and columns differ or repeat, or a value is not a possible accuracy.
    """
    check_same_names("accuracy", rows=list(accuracy.index), columns=list(accuracy.columns))
    values = accuracy.loc[list(accuracy.columns)].to_numpy(dtype=np.float64)
    names = [str(name) for name in accuracy.columns]
    check_accuracies(values, names=names, source="accuracy")
    rrc = relative_rate_of_change(values)
    intervals = threshold_intervals(rrc)
    chain = widest_chain(intervals)
    entries = [
        {
            "from": interval.lower,
            "to": interval.upper,
            "concepts": interval.concepts,
            "chain": interval.chain,
            "order": None if interval.order is None else [[names[j] for j in group] for group in interval.order],
        }
        for interval in intervals
    ]
    return {
        "rrc": {name: dict(zip(names, row, strict=True)) for name, row in zip(names, rrc.tolist(), strict=True)},
        "intervals": entries,
        "widest": None if chain is None else entries[intervals.index(chain)],
        "shown": shown_intervals(intervals),
    }


def _distinct_values(rrc: FloatArray) -> FloatArray:
    """Positive values in ascending order, each run of nearly equal ones replaced by its largest."""
    values = np.unique(rrc[rrc > 0])
    last_of_run = np.append(np.diff(values) > SAME_VALUE * values[1:], True)[: len(values)]
    return values[last_of_run]


def _groups_by_count(counts: Sequence[int]) -> tuple[tuple[int, ...], ...]:
    """Positions grouped by their count, ascending: in a chain, intents of equal size are equal."""
    return tuple(tuple(j for j, count in enumerate(counts) if count == size) for size in sorted(set(counts)))
