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
from stats.arrays import SAME_VALUE, FloatArray, IntArray
from stats.concept_lattice import Budget, are_nested, count_concepts

MOST_CONCEPTS = 10_000
"""Up to this number the concepts of a lattice are counted."""
INTERSECTIONS = 10_000_000
"""Intersections of attribute sets that are computed to count the concepts of all thresholds: a few seconds."""
MOST_NAMES = 1_000_000
"""Names in the orders of all thresholds, up to which all orders are in a document."""


Order = tuple[tuple[int, ...], ...]


@dataclass(frozen=True)
class ThresholdInterval:
    """A range of thresholds ``(lower, upper]`` with one and the same concept lattice.

    Attributes:
        lower: Excluded lower end, at least 0.
        upper: Included upper end, a value of the relative rate of change.
        concepts: Number of formal concepts, at least 1; ``MOST_CONCEPTS + 1`` stands for more than ``MOST_CONCEPTS``;
            None where they were not counted.
        chain: Whether the lattice is a chain, so that the classifiers are ordered.
        order: Groups of classifier indices, from those with the fewest sufficient autoencoders to those with the most;
            classifiers with the same sufficient autoencoders share a group. None where the lattice is not a chain.

    Example:
        >>> ThresholdInterval(lower=0.5, upper=0.75, concepts=2, chain=True, order=((1,), (0,))).middle
        0.625
    """

    lower: float
    upper: float
    concepts: int | None
    chain: bool
    order: Order | None

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


def threshold_intervals(rrc: FloatArray, *, count: bool = True) -> list[ThresholdInterval]:
    r"""Compute the concept lattice at every threshold in ``(0, rrc.max()]``.

    .. math:: (j, i) \in I_t \iff \mathrm{RRC}_{ij} \ge t

    where :math:`I_t` is the context at threshold :math:`t`: its objects are the classifiers :math:`j`, its attributes
    the autoencoders :math:`i`. The context changes only where :math:`t` passes a value of the table. Values that differ
    by rounding alone (``SAME_VALUE``) count as the largest of them.

    Args:
        rrc: Relative rates of change, non-negative, shape ``(n, n)``, rows autoencoders, columns classifiers.
        count: Whether to count the concepts. Each lattice is counted up to ``MOST_CONCEPTS``, the lattices of the
            widest intervals first, until ``INTERSECTIONS`` attribute sets were intersected in all: there can be
            ``2 ** n`` concepts at each of ``n ** 2`` thresholds. Chains and orders need no concepts.

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
    orders = _orders(rank, len(cuts))
    concepts = _concept_counts(rank, cuts, orders) if count else {}
    return [
        ThresholdInterval(
            lower=float(cuts[k - 1]) if k else 0.0,
            upper=float(upper),
            concepts=concepts.get(k),
            chain=orders[k] is not None,
            order=orders[k],
        )
        for k, upper in enumerate(cuts)
    ]


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
        ``concepts`` is the text ``more than 10,000`` where counting stopped there, and None where they were not
        counted. If the orders of all thresholds together have more than ``MOST_NAMES`` names, only the intervals in
        ``shown`` have their order; the other chains have ``order`` None and the number of its ``groups``.

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
    shown = shown_intervals(intervals)
    with_order = set(shown if len(names) * sum(i.chain for i in intervals) > MOST_NAMES else range(len(intervals)))
    entries = [_entry(interval, names, number in with_order) for number, interval in enumerate(intervals)]
    return {
        "rrc": {name: dict(zip(names, row, strict=True)) for name, row in zip(names, rrc.tolist(), strict=True)},
        "intervals": entries,
        "widest": None if chain is None else entries[intervals.index(chain)],
        "shown": shown,
    }


def _entry(interval: ThresholdInterval, names: Sequence[str], with_order: bool) -> dict[str, Any]:
    """An interval, ready for JSON."""
    many = interval.concepts is not None and interval.concepts > MOST_CONCEPTS
    order = interval.order if with_order else None
    entry = {
        "from": interval.lower,
        "to": interval.upper,
        "concepts": f"more than {MOST_CONCEPTS:,}" if many else interval.concepts,
        "chain": interval.chain,
        "order": None if order is None else [[names[j] for j in group] for group in order],
    }
    return entry if with_order or interval.order is None else entry | {"groups": len(interval.order)}


def _distinct_values(rrc: FloatArray) -> FloatArray:
    """Positive values in ascending order, each run of nearly equal ones replaced by its largest."""
    values = np.unique(rrc[rrc > 0])
    last_of_run = np.append(np.diff(values) > SAME_VALUE * values[1:], True)[: len(values)]
    return values[last_of_run]


def _orders(rank: IntArray, cuts: int) -> list[Order | None]:
    """The order of the classifiers at each cut, None where there is no chain: pairs (i, j) hold up to their rank."""
    pairs_at = [list[tuple[int, int]]() for _ in range(cuts)]
    for (i, j), k in np.ndenumerate(rank):
        if k >= 0:
            pairs_at[k].append((i, j))
    known: dict[tuple[int, ...], tuple[int, ...]] = {}  # neighbouring orders share nearly all their groups
    masks, orders = [0] * len(rank), list[Order | None]()
    for pairs in reversed(pairs_at):
        for i, j in pairs:
            masks[j] |= 1 << i
        orders.append(_groups_by_count(masks, known) if are_nested(masks) else None)
    return orders[::-1]


def _concept_counts(rank: IntArray, cuts: FloatArray, orders: Sequence[Order | None]) -> dict[int, int | None]:
    """The number of concepts at each cut: the widest intervals first, until the budget is spent."""
    widths, budget, counts = np.diff(cuts, prepend=0.0), Budget(INTERSECTIONS), dict[int, int | None]()
    for k in np.argsort(-widths, kind="stable").tolist():
        if orders[k] is None and not budget.intersections:
            continue
        context = (rank >= k).T
        if orders[k] is None:
            counts[k] = count_concepts(context, MOST_CONCEPTS, budget)
            budget.intersections = budget.intersections if counts[k] is not None else 0
        else:  # in a chain every intersection is one of the sets
            counts[k] = len(orders[k]) + (not context.all(axis=1).any())
    return counts


def _groups_by_count(masks: Sequence[int], known: dict[tuple[int, ...], tuple[int, ...]]) -> Order:
    """Positions grouped by the size of their sets, ascending: in a chain, sets of equal size are equal."""
    groups = dict[int, list[int]]()
    for j, mask in enumerate(masks):
        groups.setdefault(mask.bit_count(), []).append(j)
    ordered = [tuple(groups[size]) for size in sorted(groups)]
    return tuple(known.setdefault(group, group) for group in ordered)
