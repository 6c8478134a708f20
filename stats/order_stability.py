"""Would other images, or other seeds, order the classifiers alike?"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import pandas as pd

from stats.accuracy_csv import FloatArray
from stats.order import ThresholdInterval

CountArray = npt.NDArray[np.int64]


def relative_rates(accuracy: FloatArray) -> FloatArray:
    """``stats.order.relative_rate_of_change`` of many tables at once, NaN where a denominator is 0.

    Args:
        accuracy: Accuracies, ``(..., n, n)``, rows autoencoders, columns classifiers.
    """
    own = np.diagonal(accuracy, axis1=-2, axis2=-1)
    smaller = np.minimum(own[..., :, None], own[..., None, :])
    return np.divide(accuracy, smaller, out=np.full_like(accuracy, np.nan), where=smaller > 0)


def usable(rrc: FloatArray) -> npt.NDArray[np.bool_]:
    """Which tables have no NaN: in the others a classifier was never right on its own images; ``(resamples,)``."""
    return np.asarray(np.isfinite(rrc).all(axis=(-2, -1)))


def serving(rrc: FloatArray, threshold: float) -> CountArray:
    """How many autoencoders serve each classifier, itself included: ``(..., n)`` of tables ``(..., n, n)``."""
    return np.asarray((rrc >= threshold).sum(axis=-2))


def are_chains(served: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """``stats.concept_lattice.is_chain`` of many contexts at once.

    Sorted by how many autoencoders serve them, the classifiers' sets of autoencoders are nested in a chain, so in each
    row of the sorted table all that is false comes before all that is true.

    Args:
        served: Whether autoencoder i serves classifier j, ``(resamples, i, j)``; the transpose of ``is_chain``'s
            context.

    Returns:
        Booleans ``(resamples,)``.
    """
    ascending = served.sum(axis=1).argsort(axis=-1, kind="stable")
    in_order = np.take_along_axis(served, ascending[:, None, :], axis=2)
    return np.asarray((in_order[:, :, :-1] <= in_order[:, :, 1:]).all(axis=(1, 2)))


def chain_shares(rrc: FloatArray, intervals: Sequence[ThresholdInterval]) -> FloatArray:
    """The share of resamples that order the classifiers totally, at the middle of each range of thresholds.

    Args:
        rrc: Resampled relative rates of change, ``(resamples, n, n)``, rows autoencoders, columns classifiers.
        intervals: Those of the estimate.
    """
    return np.array([are_chains(rrc >= middle(interval)).mean() for interval in intervals])


def middle(interval: ThresholdInterval) -> float:
    """The threshold in the middle of an interval."""
    return (interval.lower + interval.upper) / 2


@dataclass(frozen=True)
class Neighbours:
    """Two neighbours in an order.

    Attributes:
        first: The classifier served by fewer autoencoders, or one of two served by the same.
        second: The other.
        equal: Whether they are served by the same autoencoders.
        share: In which share of resamples it is so: strictly fewer serve the first; or equally many, if ``equal``.
    """

    first: int
    second: int
    equal: bool
    share: float


def neighbour_shares(rrc: FloatArray, chain: ThresholdInterval) -> list[Neighbours]:
    """For each neighbouring pair of an order, the share of resamples that agree.

    Within a group of equals the order is that of the mean count over resamples, so that between two groups the two
    closest classifiers are compared.

    Args:
        rrc: Resampled relative rates of change, ``(resamples, n, n)``.
        chain: The order, with its thresholds; the middle one is used.

    Raises:
        ValueError: If it is no chain.
    """
    if chain.order is None:
        raise ValueError("this interval's lattice is no chain: there is no order to ask about")
    counts = serving(rrc, middle(chain))
    mean = counts.mean(axis=0)
    groups = [sorted(group, key=lambda j: mean[j]) for group in chain.order]
    group_of = {j: number for number, group in enumerate(groups) for j in group}
    found = []
    for first, second in pairwise(j for group in groups for j in group):
        equal = group_of[first] == group_of[second]
        holds = counts[:, first] == counts[:, second] if equal else counts[:, first] < counts[:, second]
        found.append(Neighbours(first, second, equal, float(holds.mean())))
    return found


def same_order_share(rrc: FloatArray, chain: ThresholdInterval) -> float:
    """The share of resamples that are a chain, at the middle of this one, with exactly the same groups in its order."""
    assert chain.order is not None
    place = np.empty(rrc.shape[-1])
    for number, group in enumerate(chain.order):
        place[list(group)] = number
    served = rrc >= middle(chain)
    counts = served.sum(axis=1)
    agrees = np.sign(counts[:, :, None] - counts[:, None, :]) == np.sign(place[:, None] - place[None, :])
    return float((agrees.all(axis=(1, 2)) & are_chains(served)).mean())


def average_ranks(values: FloatArray | CountArray) -> FloatArray:
    """Ranks along the last axis from 1 up; equals share the mean of their ranks."""
    smaller = (values[..., None, :] < values[..., :, None]).sum(axis=-1)
    equal = (values[..., None, :] == values[..., :, None]).sum(axis=-1)
    return np.asarray(smaller + (equal + 1) / 2)


def kendalls_w(ranks: FloatArray) -> float:
    """Agreement of several rankings: 1 if they are the same, 0 if they share nothing; NaN if none tells any two apart.

    Args:
        ranks: Average ranks, ``(rankings, n)``.

    Source: M. G. Kendall, B. Babington Smith, "The problem of m rankings", 1939; with the correction for ties.
    """
    rankings, n = ranks.shape
    totals = ranks.sum(axis=0)
    spread = ((totals - totals.mean()) ** 2).sum()
    sizes = (ranks[:, :, None] == ranks[:, None, :]).sum(axis=-1)  # a group of t equals adds t * (t² - 1)
    ties = (sizes**2 - 1).sum()
    most = (rankings**2 * (n**3 - n) - rankings * ties) / 12
    return float(spread / most) if most > 0 else float("nan")


@dataclass(frozen=True)
class Consensus:
    """What several seeds' orders have in common.

    Attributes:
        seeds: The seeds that every classifier's autoencoders were trained with.
        threshold: At which the autoencoders that serve a classifier were counted; ``None``: its mean RRC instead.
        ranks: Rank of each classifier (columns) with each seed (rows), 1 for the one that the fewest serve.
        agreement: Kendall's W, in [0, 1], or NaN.
    """

    seeds: Sequence[int]
    threshold: float | None
    ranks: pd.DataFrame
    agreement: float

    @property
    def mean_rank(self) -> pd.Series:
        """Mean rank over the seeds (Borda's count), ascending."""
        return self.ranks.mean(axis=0).sort_values(kind="stable")


def consensus_order(rrc: FloatArray, names: Sequence[str], seeds: Sequence[int], threshold: float | None) -> Consensus:
    """Combine the orders of several seeds by the mean rank of "number of autoencoders that serve a classifier".

    Args:
        rrc: Relative rates of change with each seed, ``(seeds, n, n)``, rows autoencoders, columns classifiers.
        names: The classifiers.
        seeds: The seeds.
        threshold: Where to count; ``None`` ranks by the mean RRC that a classifier receives, which is its count
            averaged over all thresholds.
    """
    places = rrc.mean(axis=-2) if threshold is None else serving(rrc, threshold)
    ranks = average_ranks(places)
    table = pd.DataFrame(ranks, index=pd.Index(seeds, name="seed"), columns=list(names))
    return Consensus(list(seeds), threshold, table, kendalls_w(ranks))
