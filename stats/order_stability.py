"""Would other images, or other seeds, order the classifiers in the same way?"""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import rankdata  # type: ignore[import-untyped]

from stats.arrays import BoolArray, FloatArray, IntArray
from stats.order import ThresholdInterval


def sufficient_counts(rrc: FloatArray, threshold: float) -> IntArray:
    r"""How many autoencoders are sufficient for each classifier.

    .. math:: s_j = |\{ i : \mathrm{RRC}_{ij} \ge t \}|

    where :math:`\mathrm{RRC}_{ij}` is the relative rate of change of classifier :math:`j` on the reconstructions of
    :math:`A_i` and :math:`t` the threshold.

    Args:
        rrc: Relative rates of change, ``(..., n, n)``, rows autoencoders, columns classifiers.
        threshold: The threshold.

    Returns:
        Counts, ``(..., n)``; the classifier's own autoencoder is counted, too.

    Example:
        >>> sufficient_counts(np.array([[1.0, 0.4], [0.8, 1.0]]), threshold=0.7).tolist()
        [2, 1]
    """
    return np.asarray((rrc >= threshold).sum(axis=-2))


def are_chains(sufficient: BoolArray) -> BoolArray:
    """:func:`stats.concept_lattice.is_chain` of many contexts at once.

    Sort the columns by how many autoencoders are sufficient. The sets of sufficient autoencoders are nested in a chain
    if in each row of the sorted table all that is false comes before all that is true.

    Args:
        sufficient: Whether autoencoder i is sufficient for classifier j, ``(resamples, i, j)``; the transpose of the
            context of ``is_chain``.

    Returns:
        Booleans ``(resamples,)``.

    Example:
        >>> are_chains(np.array([[[True, False], [True, True]], [[True, False], [False, True]]])).tolist()
        [True, False]
    """
    ascending = sufficient.sum(axis=1).argsort(axis=-1, kind="stable")
    in_order = np.take_along_axis(sufficient, ascending[:, None, :], axis=2)
    return np.asarray((in_order[:, :, :-1] <= in_order[:, :, 1:]).all(axis=(1, 2)))


def chain_shares(rrc: FloatArray, intervals: Sequence[ThresholdInterval]) -> FloatArray:
    r"""The share of resamples that order the classifiers totally, at the middle of each range of thresholds.

    .. math:: \frac{1}{B} |\{ b : I_t^{(b)} \text{ is a chain} \}|

    where :math:`I_t^{(b)}` is the context of resample :math:`b` of :math:`B` at the middle :math:`t` of a range.

    Args:
        rrc: Resampled relative rates of change, ``(resamples, n, n)``, rows autoencoders, columns classifiers.
        intervals: Those of the estimate.

    Returns:
        Shares in [0, 1], one for each interval.

    Example:
        >>> rrc = np.array([[[1.0, 0.4], [0.8, 1.0]], [[1.0, 0.4], [0.5, 1.0]]])
        >>> chain_shares(rrc, [ThresholdInterval(0.4, 0.8, 2, True, ((1,), (0,)))]).tolist()
        [0.5]
    """
    return np.array([are_chains(rrc >= interval.middle).mean() for interval in intervals])


def neighbour_shares(rrc: FloatArray, chain: ThresholdInterval, names: Sequence[str]) -> list[dict[str, Any]]:
    r"""For each neighbouring pair of an order, the share of resamples that agree.

    .. math::
        \frac{1}{B} |\{ b : s_j^{(b)} < s_k^{(b)} \}|, \quad \text{or of equals} \quad
        \frac{1}{B} |\{ b : s_j^{(b)} = s_k^{(b)} \}|

    where :math:`s_j^{(b)}` is the number of sufficient autoencoders of classifier :math:`j` in resample :math:`b` of
    :math:`B`.

    Within a group of equals the order is that of the mean count over resamples, so that between two groups the two
    closest classifiers are compared.

    Args:
        rrc: Resampled relative rates of change, ``(resamples, n, n)``.
        chain: The order, with its thresholds; the middle one is used.
        names: The classifiers.

    Returns:
        For each pair ``first`` (the classifier with fewer sufficient autoencoders, or one of two with the same),
        ``relation`` (``<``, or ``=`` if both have the same), ``second``, and ``share`` of resamples that agree.

    Example:
        >>> rrc = np.array([[[1.0, 0.4], [0.8, 1.0]], [[1.0, 0.4], [0.5, 1.0]]])
        >>> neighbour_shares(rrc, ThresholdInterval(0.4, 0.8, 2, True, ((1,), (0,))), ["a", "b"])
        [{'first': 'b', 'relation': '<', 'second': 'a', 'share': 0.5}]
    """
    assert chain.order is not None
    counts = sufficient_counts(rrc, chain.middle)
    mean = counts.mean(axis=0)
    ordered = [(number, j) for number, group in enumerate(chain.order) for j in sorted(group, key=lambda j: mean[j])]
    neighbours = []
    for (group, first), (next_group, second) in pairwise(ordered):
        equal = group == next_group
        agrees = counts[:, first] == counts[:, second] if equal else counts[:, first] < counts[:, second]
        pair = {"first": names[first], "relation": "=" if equal else "<", "second": names[second]}
        neighbours.append(pair | {"share": float(agrees.mean())})
    return neighbours


def same_order_share(rrc: FloatArray, chain: ThresholdInterval) -> float:
    r"""The share of resamples that are a chain, at the middle of this one, with exactly the same groups in its order.

    .. math::
        \frac{1}{B} |\{ b : \text{chain}, \; \operatorname{sgn}(s_j^{(b)} - s_k^{(b)}) = \operatorname{sgn}(g_j - g_k)
        \; \forall j, k \}|

    where :math:`s_j^{(b)}` is the number of sufficient autoencoders of classifier :math:`j` in resample :math:`b` of
    :math:`B`, and :math:`g_j` the position of the classifier's group in the order.

    Args:
        rrc: Resampled relative rates of change, ``(resamples, n, n)``.
        chain: The order, with its thresholds.

    Example:
        >>> rrc = np.array([[[1.0, 0.4], [0.8, 1.0]], [[1.0, 0.7], [0.8, 1.0]]])
        >>> same_order_share(rrc, ThresholdInterval(0.4, 0.8, 2, True, ((1,), (0,))))
        0.5
    """
    assert chain.order is not None
    group_of = np.empty(rrc.shape[-1])
    for number, group in enumerate(chain.order):
        group_of[list(group)] = number
    sufficient = rrc >= chain.middle
    counts = sufficient.sum(axis=1)
    agrees = np.sign(counts[:, :, None] - counts[:, None, :]) == np.sign(group_of[:, None] - group_of[None, :])
    return float((agrees.all(axis=(1, 2)) & are_chains(sufficient)).mean())


def kendalls_w(ranks: FloatArray) -> float:
    r"""Agreement of several rankings: 1 if they are the same, 0 if they have nothing in common.

    .. math:: W = \frac{12 \sum_j (R_j - \bar R)^2}{m^2 (n^3 - n) - m \sum_g (t_g^3 - t_g)}

    where :math:`m` rankings rank :math:`n` objects, :math:`R_j` is the sum of the ranks of object :math:`j`,
    :math:`\bar R` the mean of these sums, and :math:`t_g` the size of each group of ties.

    Args:
        ranks: Average ranks, ``(rankings, n)``.

    Returns:
        W in [0, 1]; NaN if every ranking ties all objects.

    Source: M. G. Kendall, B. Babington Smith, "The problem of m rankings", 1939; with the correction for ties.

    Example:
        >>> kendalls_w(np.array([[1.0, 2, 3], [1, 2, 3]])), kendalls_w(np.array([[1.0, 2, 3], [3, 2, 1]]))
        (1.0, 0.0)
    """
    # scipy's friedmanchisquare, W * m * (n - 1), refuses two objects
    rankings, n = ranks.shape
    totals = ranks.sum(axis=0)
    spread = ((totals - totals.mean()) ** 2).sum()
    sizes = (ranks[:, :, None] == ranks[:, None, :]).sum(axis=-1)  # a group of t equals adds t * (t² - 1)
    ties = (sizes**2 - 1).sum()
    most = (rankings**2 * (n**3 - n) - rankings * ties) / 12
    return float(spread / most) if most > 0 else float("nan")


def seed_consensus(by_seed: Mapping[int, FloatArray], names: Sequence[str], threshold: float | None) -> dict[str, Any]:
    r"""Combine the orders of several seeds by the mean rank of :func:`sufficient_counts` (Borda's count).

    .. math:: \bar r_j = \frac{1}{S} \sum_s r_{js}

    where :math:`r_{js}` is the rank of classifier :math:`j` with seed :math:`s` of :math:`S`.

    Args:
        by_seed: Relative rates of change ``(n, n)`` with each seed that every classifier's autoencoders were trained
            with, rows autoencoders, columns classifiers.
        names: The classifiers.
        threshold: Where to count; ``None`` ranks by the mean RRC of each classifier's column, which is its count
            averaged over all thresholds.

    Returns:
        ``seeds`` and ``threshold``; ``mean_rank`` of each classifier, ascending, 1 for the one with the fewest
        sufficient autoencoders; ``ranks`` with each seed; ``kendall_w``, the agreement, None where it is not defined.

    Example:
        >>> by_seed = {0: np.array([[1.0, 0.4], [0.8, 1.0]]), 1: np.array([[1.0, 0.6], [0.9, 1.0]])}
        >>> seed_consensus(by_seed, ["a", "b"], threshold=0.7)["mean_rank"]
        {'b': 1.0, 'a': 2.0}
    """
    rrc = np.stack(list(by_seed.values()))
    ranks = rankdata(rrc.mean(axis=-2) if threshold is None else sufficient_counts(rrc, threshold), axis=-1)
    table = pd.DataFrame(ranks, columns=list(names))
    agreement = kendalls_w(ranks)
    return {
        "seeds": list(by_seed),
        "threshold": threshold,
        "mean_rank": table.mean(axis=0).sort_values(kind="stable").to_dict(),
        "ranks": {str(seed): row for seed, row in zip(by_seed, table.to_dict("records"), strict=True)},
        "kendall_w": None if np.isnan(agreement) else agreement,
    }
