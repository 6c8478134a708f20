"""Class entropy: how concepts are spread over the classes, with permuted labels and bootstrap intervals beside it.

The mass of a concept is its column of the image factor, summed by the classes of the images. The entropy of its shares,
divided by the logarithm of the number of classes, is 0 where all mass is in one class, and 1 where every class has as
much. It depends neither on the scale of a column nor, in the mean, on the order of the columns.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from methods.concepts.record import Array, Floats, Integers
from stats.bootstrap import Interval, resample_counts

MASSES_AT_ONCE = 2**22  # resamples × classes × concepts in memory at a time
RESAMPLES = 2000  # of the images, for an interval
LEVEL = 0.95


@dataclass(frozen=True)
class EntropyNull:
    """Class entropies of k concepts beside those under permuted labels.

    Attributes:
        entropy: Class entropy of each concept, ``(k,)``; NaN for a dead one.
        null_mean: Class entropy of each concept, mean over permutations, ``(k,)``.
        p: Share of the permutations in which the entropy of the concept is as low, ``(k,)``, where the labels as they
            are count as one permutation; NaN for a dead concept.
        mean: Mean of ``entropy`` over live concepts.
        means: The same mean for every permutation, ``(permutations,)``.
        mean_p: Share of the permutations with a mean as low.
    """

    entropy: Floats
    null_mean: Floats
    p: Floats
    mean: float
    means: Floats
    mean_p: float


def live(image_factor: Array) -> npt.NDArray[np.bool_]:
    """Which concepts are in any image, ``(k,)``; the others are dead."""
    return np.asarray(image_factor.max(axis=0) > 0)


def class_mass(image_factor: Array, labels: Array) -> tuple[Floats, Integers]:
    """The share of the mass of each concept in each class.

    Args:
        image_factor: At least 0, ``(N, k)``, in any scale.
        labels: Integers ``(N,)``.

    Returns:
        Shares ``(k, C)``, each row with sum 1 (0 for a dead concept); and the C labels that occur, ascending.

    Raises:
        ValueError: If there is no image, the lengths differ, or a value is negative or not finite.
    """
    check(image_factor, labels)
    present, order, starts = grouped(labels)
    return shares(np.add.reduceat(image_factor.astype(float)[order], starts, axis=0)).T, present


def class_entropy(image_factor: Array, labels: Array) -> Floats:
    """The entropy of each concept over the classes, divided by the logarithm of the number of classes that occur.

    Args:
        image_factor: At least 0, ``(N, k)``, in any scale.
        labels: Integers ``(N,)``.

    Returns:
        In [0, 1], ``(k,)``; NaN for a dead concept, and for all of them where there is a single class.
    """
    return entropy(class_mass(image_factor, labels)[0].T)


def permutation_null(image_factor: Array, labels: Array, permutations: int, seed: int) -> EntropyNull:
    """Class entropies beside those of labels that are shuffled among the images.

    Args:
        image_factor: At least 0, ``(N, k)``, in any scale.
        labels: Integers ``(N,)``.
        permutations: Number of shuffles, at least 1.
        seed: Decides the shuffles.

    Raises:
        ValueError: As :func:`class_mass`.
    """
    observed = class_entropy(image_factor, labels)
    values, generator = image_factor.astype(float), np.random.default_rng(seed)
    _, _, starts = grouped(labels)
    drawn = np.stack(
        [
            entropy(shares(np.add.reduceat(values[generator.permutation(len(values))], starts, axis=0)))
            for _ in range(permutations)
        ]
    )
    mean, means = float(mean_of_live(observed)), mean_of_live(drawn)
    p = tail(observed, drawn)
    return EntropyNull(observed, drawn.mean(axis=0), p, mean, means, float(tail(np.array(mean), means)))


def cluster_entropy(clusters: Array, labels: Array) -> float:
    """The entropy of the classes within clusters, mean over images, divided by the logarithm of the number of classes.

    It is a fair comparison of concepts, which overlap, with clusters, which do not. The mean class entropy of concepts
    is none: a cluster of few images has a low entropy whatever it is.

    Args:
        clusters: Integers ``(N,)``; images with a negative one, which are in none, are left out.
        labels: Integers ``(N,)``.

    Returns:
        In [0, 1]; NaN where there is a single class or no cluster.
    """
    _, order, starts = grouped(labels)
    return float(mean_within(np.add.reduceat(memberships(clusters)[order], starts, axis=0)))


def entropy_difference(first: Array, second: Array, labels: Array, resamples: int, seed: int) -> Interval:
    """The mean class entropy of one factorisation minus that of another of the same images, with its 95 % interval.

    Images are drawn with replacement, the same ones for both. The factorisations stay as they are, so the interval does
    not say what other images would have made of them.

    The entropy of few images is too low, and the lower the fewer images a concept lives on. Resamples show this bias a
    second time, and it is subtracted: so the estimate differs a little from the difference of the images as they are.
    Where one of the two lives on far fewer images than the other, the interval is too narrow all the same.

    Args:
        first: At least 0, ``(N, k)``, in any scale.
        second: The other image factor, ``(N, k')``.
        labels: Integers ``(N,)``.
        resamples: Number of resamples.
        seed: Decides the resamples.

    Returns:
        Three numbers without a shape; NaN where one of them has no live concept or there is a single class.

    Source: A. C. Davison, D. V. Hinkley, "Bootstrap Methods and their Application", Cambridge 1997, section 5.2.
    """
    return difference_interval(mean_of_concepts, (first, second), labels, resamples, seed)


def cluster_entropy_difference(first: Array, second: Array, labels: Array, resamples: int, seed: int) -> Interval:
    """As :func:`entropy_difference`, for the :func:`cluster_entropy` of two clusterings ``(N,)``."""
    return difference_interval(mean_within, (memberships(first), memberships(second)), labels, resamples, seed)


def difference_interval(
    statistic: Callable[[Floats], Floats], pair: tuple[Array, Array], labels: Array, resamples: int, seed: int
) -> Interval:
    """The difference of a statistic of class masses ``(..., C, k)`` between two image factors, images resampled."""
    for factor in pair:
        check(factor, labels)
    once = np.ones((1, len(labels)), dtype=np.uint8)
    one, other = (statistic(resampled_mass(factor, labels, once))[0] for factor in pair)
    if not np.isfinite(one - other):
        return Interval(one - other, one - other, one - other)
    parts = []
    at_once = max(1, MASSES_AT_ONCE // (len(np.unique(labels)) * max(factor.shape[1] for factor in pair)))
    for block in resample_counts(len(labels), resamples, seed):
        for start in range(0, len(block), at_once):
            counts = block[start : start + at_once]
            first, second = (statistic(resampled_mass(factor, labels, counts)) for factor in pair)
            parts.append(first - second)
    drawn = np.concatenate(parts)
    drawn = drawn[np.isfinite(drawn)]
    upper, lower = 2 * (one - other) - np.quantile(drawn, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(2 * (one - other) - drawn.mean(), lower, upper)


def resampled_mass(image_factor: Array, labels: Array, counts: npt.NDArray[np.uint8]) -> Floats:
    """Class masses of resamples: image factor ``(N, k)``, counts ``(R, N)``; result ``(R, C, k)``."""
    _, order, starts = grouped(labels)
    values, members = image_factor.astype(float), np.split(order, starts[1:])
    return np.stack([counts[:, some].astype(float) @ values[some] for some in members], axis=1)


def mean_of_concepts(mass: Floats) -> Floats:
    """The mean class entropy of live concepts, from masses ``(..., C, k)``."""
    return mean_of_live(entropy(shares(mass)))


def mean_within(mass: Floats) -> Floats:
    """The class entropy of clusters weighted by their mass, from masses ``(..., C, k)``."""
    each, weight = entropy(shares(mass)), mass.sum(axis=-2)
    total = (weight * np.isfinite(each)).sum(axis=-1)
    summed = (weight * np.nan_to_num(each)).sum(axis=-1)
    return np.divide(summed, total, out=np.full_like(summed, np.nan), where=total > 0)


def memberships(clusters: Array) -> Floats:
    """1 where an image is in a cluster, ``(N, k)``; no 1 for a negative one."""
    number = np.asarray(clusters)
    return (number[:, None] == np.arange(max(1, number.max() + 1))).astype(float)


def grouped(labels: Array) -> tuple[Integers, Integers, Integers]:
    """The labels that occur, an order of the images by label, and the position of the first of each label in it."""
    present, first = np.unique(np.sort(labels), return_index=True)
    return present, np.argsort(labels, kind="stable"), first


def shares(mass: Floats) -> Floats:
    """Mass ``(..., C, k)`` divided by its sum over C, 0 where that is 0."""
    total = mass.sum(axis=-2, keepdims=True)
    return np.divide(mass, total, out=np.zeros_like(mass), where=total > 0)


def entropy(part: Floats) -> Floats:
    """Entropy of shares ``(..., C, k)`` over C, by the logarithm of C: ``(..., k)``; NaN where all are 0 or C is 1."""
    logarithm = np.log(part, out=np.zeros_like(part), where=part > 0)
    nats = -(part * logarithm).sum(axis=-2)
    count = part.shape[-2]
    if count == 1:
        return np.full_like(nats, np.nan)
    return np.where(part.sum(axis=-2) > 0, np.clip(nats / np.log(count), 0, 1), np.nan)


def mean_of_live(values: Floats) -> Floats:
    """The mean over the last axis of the values that are not NaN; NaN where there is none."""
    known = np.isfinite(values)
    count = known.sum(axis=-1)
    total = np.where(known, values, 0).sum(axis=-1)
    return np.divide(total, count, out=np.full_like(total, np.nan), where=count > 0)


def tail(observed: Floats, drawn: Floats) -> Floats:
    """The share of draws ``(permutations, ...)`` that are at most the observed value, which counts as one of them."""
    rounding = 1e-12  # the same sum in another order
    share = (1 + (drawn <= observed + rounding).sum(axis=0)) / (1 + len(drawn))
    return np.where(np.isfinite(observed), share, np.nan)


def check(image_factor: Array, labels: Array) -> None:
    """Refuse an image factor that has no class entropy."""
    if image_factor.ndim != 2 or len(image_factor) != len(labels) or not len(labels):
        raise ValueError(
            f"an image factor of shape {image_factor.shape} and {len(labels)} labels: give (N, k) and N, N at least 1"
        )
    if not np.isfinite(image_factor).all() or image_factor.min() < 0:
        raise ValueError("an image factor has negative or non-finite values: give amounts from 0 on")
