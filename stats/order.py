r"""The order relation: from a table of accuracies to "who needs more of the input than whom", at every threshold.

Row ``i`` of every table is an autoencoder :math:`A_i`, column ``j`` a classifier: the cell is classifier ``j`` on the
reconstructions of :math:`A_i`. :math:`A_i` is called *sufficient* for ``j`` at a threshold if the relative rate of
change in this cell reaches the threshold. Source: arXiv 1803.08337, the order relation.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from stats.accuracy_table import check_accuracies, check_same_names
from stats.arrays import SAME_VALUE, FloatArray
from stats.concept_lattice import count_concepts, is_chain


@dataclass(frozen=True)
class ThresholdInterval:
    """A range of thresholds ``(lower, upper]`` with one and the same concept lattice.

    Attributes:
        lower: Excluded lower end, at least 0.
        upper: Included upper end, a value of the relative rate of change.
        concepts: Number of formal concepts, at least 1.
        chain: Whether the lattice is a chain, so that the classifiers are ordered.
        order: Groups of classifier indices, from those with the fewest sufficient autoencoders to those with the most;
            classifiers with the same sufficient autoencoders share a group. None where the lattice is not a chain.

    Example:
        >>> ThresholdInterval(lower=0.5, upper=0.75, concepts=2, chain=True, order=((1,), (0,))).middle
        0.625
    """

    lower: float
    upper: float
    concepts: int
    chain: bool
    order: tuple[tuple[int, ...], ...] | None

    @property
    def middle(self) -> float:
        """The threshold in the middle."""
        return (self.lower + self.upper) / 2


def relative_rates(accuracy: FloatArray) -> FloatArray:
    r"""Divide each accuracy by the smaller of the two classifiers' accuracies on their own autoencoders.

    .. math:: \mathrm{RRC}_{ij} = \frac{\mathrm{acc}_{ij}}{\min(\mathrm{acc}_{ii}, \mathrm{acc}_{jj})}

    where :math:`\mathrm{acc}_{ij}` is the accuracy of classifier :math:`j` on the reconstructions of :math:`A_i`. The
    ratio is near 1 where the signal that :math:`A_i` keeps is enough for classifier :math:`j`, near 0 where it is not.
    The diagonal is exactly 1; a value above 1 is possible. Nothing is checked:
    :func:`stats.accuracy_table.check_accuracies` does that, once for all resamples.

    Args:
        accuracy: Accuracies in ``[0, 1]``, of one table or of many, shape ``(..., n, n)``, rows autoencoders, columns
            classifiers.

    Returns:
        Non-negative ratios of the same shape, NaN where a denominator is 0.

    Source: arXiv 1803.08337, relative rate of change.

    Example:
        >>> relative_rates(np.array([[[0.8, 0.2], [0.4, 0.5]], [[0.5, 0.1], [0.1, 0.0]]])).tolist()
        [[[1.0, 0.4], [0.8, 1.0]], [[1.0, nan], [nan, nan]]]
    """
    diagonal = np.diagonal(accuracy, axis1=-2, axis2=-1)
    smaller = np.minimum(diagonal[..., :, None], diagonal[..., None, :])
    return np.divide(accuracy, smaller, out=np.full_like(accuracy, np.nan), where=smaller > 0)


def threshold_intervals(rrc: FloatArray) -> list[ThresholdInterval]:
    r"""Compute the concept lattice at every threshold in ``(0, rrc.max()]``.

    .. math:: (j, i) \in I_t \iff \mathrm{RRC}_{ij} \ge t

    where :math:`I_t` is the context at threshold :math:`t`: its objects are the classifiers :math:`j`, its attributes
    the autoencoders :math:`i`. The context changes only where :math:`t` passes a value of the table. Values that differ
    by rounding alone (``SAME_VALUE``) count as the largest of them.

    Args:
        rrc: Relative rates of change, non-negative, shape ``(n, n)``, rows autoencoders, columns classifiers.

    Returns:
        Intervals in ascending order, each starting where the one before ends; none where all values are 0.

    Raises:
        ValueError: If the array is not square or a value is negative or not finite.

    Source: arXiv 1803.08337, formal concept analysis, shown there at the thresholds .1, .2, .8 and .9.

    Example:
        >>> intervals = threshold_intervals(np.array([[1.0, 0.4], [0.8, 1.0]]))
        >>> [(interval.lower, interval.upper, interval.order) for interval in intervals]
        [(0.0, 0.4, ((0, 1),)), (0.4, 0.8, ((1,), (0,))), (0.8, 1.0, None)]
    """
    rrc = np.asarray(rrc, dtype=np.float64)
    if rrc.ndim != 2 or rrc.shape[0] != rrc.shape[1]:
        raise ValueError(f"rrc has shape {rrc.shape}, not square; pass the result of relative_rates")
    if not np.isfinite(rrc).all() or (rrc < 0).any():
        raise ValueError("rrc has a negative or non-finite value; pass the result of relative_rates")
    cuts = _distinct_values(rrc)
    # the cut that stands for a value: every value of a merged group is at or below its cut and above the one before
    rank = np.where(rrc > 0, np.searchsorted(cuts, rrc), -1)
    intervals = []
    for k, upper in enumerate(cuts):
        context = (rank >= k).T
        chain = is_chain(context)
        intervals.append(
            ThresholdInterval(
                lower=float(cuts[k - 1]) if k else 0.0,
                upper=float(upper),
                concepts=count_concepts(context),
                chain=chain,
                order=_groups_by_count(context.sum(axis=1).tolist()) if chain else None,
            )
        )
    return intervals


def widest_chain(intervals: Sequence[ThresholdInterval]) -> ThresholdInterval | None:
    r"""Pick the order that holds over the widest range of thresholds.

    .. math:: \operatorname{argmax}_{k : \text{chain}} (u_k - l_k)

    where :math:`(l_k, u_k]` are the thresholds of interval :math:`k`.

    A chain that tells at least two groups of classifiers apart goes before one that puts all into a single group.

    Args:
        intervals: Result of :func:`threshold_intervals`.

    Returns:
        The widest chain, the lowest of equally wide ones (widths that differ by rounding alone are equal); None where
        no interval is a chain.

    Example:
        >>> widest_chain(threshold_intervals(np.array([[1.0, 0.4], [0.8, 1.0]]))).upper
        0.8
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
        intervals: Result of :func:`threshold_intervals`.
        count: How many, at most.

    Returns:
        Ascending positions of the widest intervals; the widest chain is always among them.

    Example:
        >>> shown_intervals(threshold_intervals(np.array([[1.0, 0.4], [0.8, 1.0]])), count=2)
        [0, 1]
    """
    chain = widest_chain(intervals)
    widths = [math.inf if interval is chain else interval.upper - interval.lower for interval in intervals]
    return sorted(sorted(range(len(intervals)), key=lambda position: -widths[position])[:count])


def order_document(accuracy: pd.DataFrame) -> dict[str, Any]:
    """The relative rates of change of a table, and the concept lattice at every threshold, ready for JSON.

    Args:
        accuracy: Accuracies in ``[0, 1]``, shape ``(n, n)``; index and columns hold the same names.

    Returns:
        ``{"rrc": {autoencoder: {classifier: value}}, "intervals": [{"from", "to", "concepts", "chain", "order"}],
        "widest", "shown"}`` where an interval is the thresholds in ``(from, to]`` and ``order`` holds groups of names,
        or None where the lattice is not a chain; ``widest`` is the interval of :func:`widest_chain`, or None, and
        ``shown`` are the positions from :func:`shown_intervals`. Names and rows follow the order of the columns.

    Raises:
        ValueError: If the names of rows and columns differ or repeat, or a value is not a possible accuracy.

    Example:
        >>> document = order_document(pd.DataFrame([[0.4, 0.5], [0.8, 0.2]], index=["b", "a"], columns=["a", "b"]))
        >>> document["rrc"], document["widest"]["order"], document["shown"]
        ({'a': {'a': 1.0, 'b': 0.4}, 'b': {'a': 0.8, 'b': 1.0}}, [['b'], ['a']], [0, 1, 2])
    """
    names = [str(name) for name in accuracy.columns]
    check_same_names("accuracy", rows=list(accuracy.index), columns=list(accuracy.columns))
    values = accuracy.loc[list(accuracy.columns)].to_numpy(dtype=np.float64)
    check_accuracies(values, names=names, source="accuracy")
    rrc = relative_rates(values)
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
