"""Planted backdoors: whether they work, whether a pattern has found the trigger, and whether a class gives itself away.

The statistic of a class that tells a backdoor is the caller's choice; either end of it can be the suspicious one:

- ``low``: what the class costs, as the number of pixels that its pattern needs for a given success
  (:func:`pixels_needed`); best as a logarithm, which makes costs of different sizes comparable. A backdoor is a short
  cut: its class costs less than the others. Neural Cleanse takes this one, with the sum of the mask. That sum alone
  is no cost where a search may give up: an empty mask that does nothing would be the most suspicious of all.
- ``high``: what a class gets for the same cost, as the success rate of its pattern at 5 % of the pixels. Rates end at
  1, so a class that nears it among others that do, too, cannot stand out.
"""

from collections.abc import Sequence
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt
import pandas as pd

from stats.proportion import wilson_interval

Suspicious = Literal["low", "high"]
Floats = npt.NDArray[np.float64]

NEURAL_CLEANSE = 2.0  # its threshold of the anomaly index
NORMAL_MAD = 0.6744897501960817  # MAD of a standard normal distribution: its 75 % point
NORMAL_MEAN_DEVIATION = 0.7978845608028654  # its mean absolute deviation: √(2 / π)
FEWEST = 3  # classes, of which one can stand out
SIMULATED = 20_000
ACCURACY, SUCCESS, WITHOUT = "clean accuracy", "attack success", "called the target without the trigger"


def backdoor_rates(
    labels: npt.NDArray[np.int64], clean: npt.NDArray[np.int64], triggered: npt.NDArray[np.int64], target: int
) -> pd.DataFrame:
    """Whether a backdoor works: clean accuracy, attack success, and what the latter is without the trigger.

    Args:
        labels: The right class of each image, ``(N,)``.
        clean: The answer to each image as it is.
        triggered: The answer to each image with the trigger.
        target: The class that the trigger stands for; both rates of it are over the images of all other classes.

    Returns:
        A row for each of the three: ``measure``, ``share`` in [0, 1] (NaN of no images), the ends ``lower`` and
        ``upper`` of its 95 % interval, ``images``.
    """
    others = labels != target
    counted = {ACCURACY: clean == labels, SUCCESS: triggered[others] == target, WITHOUT: clean[others] == target}
    images = [len(values) for values in counted.values()]
    shares = [float(values.mean()) if len(values) else float("nan") for values in counted.values()]
    lower, upper = wilson_interval(shares, images)
    return pd.DataFrame({"measure": list(counted), "share": shares, "lower": lower, "upper": upper, "images": images})


def trigger_overlap(patterns: npt.NDArray[np.bool_], trigger: npt.NDArray[np.bool_]) -> tuple[Floats, Floats]:
    """How much of the true trigger patterns have found.

    A random pattern of k of N pixels has a recall of k / N on average; no pattern of k pixels can have a higher recall
    than k / T, nor a higher intersection over union than min(k, T) / max(k, T), for a trigger of T pixels.

    Args:
        patterns: Which pixels each pattern has, shape ``(P, H, W)``; a pattern may be empty.
        trigger: Which pixels the trigger has, shape ``(H, W)``; at least one.

    Returns:
        Intersection over union, and recall (the share of the trigger's pixels that the pattern has), both ``(P,)`` in
        [0, 1].

    Raises:
        ValueError: If the shapes differ, something is not bool, or the trigger has no pixel.
    """
    if patterns.dtype != np.bool_ or trigger.dtype != np.bool_:
        raise ValueError(f"patterns are {patterns.dtype} and the trigger {trigger.dtype}; expected bool")
    if patterns.ndim != 3 or patterns.shape[1:] != trigger.shape:
        raise ValueError(f"patterns {patterns.shape} and trigger {trigger.shape}; expected (P, H, W) and (H, W)")
    if not trigger.any():
        raise ValueError("the trigger has no pixel: there is nothing to find")
    both = (patterns & trigger).sum(axis=(1, 2))
    either = (patterns | trigger).sum(axis=(1, 2))
    return both / either, both / trigger.sum()


def pixels_needed(budgets: npt.ArrayLike, rates: npt.ArrayLike, wanted: float, pixels: int) -> Floats:
    """How many pixels a pattern needs to succeed at a given rate: interpolated between budgets, beginning with (0, 0).

    Args:
        budgets: Numbers of pixels, ascending, above 0; shape ``(B,)``.
        rates: Success rates in [0, 1] at these budgets, shape ``(..., B)``.
        wanted: The rate that is wanted, in (0, 1].
        pixels: All pixels of an image: the cost where no budget reaches the rate.

    Returns:
        Shape ``(...)``.

    Raises:
        ValueError: If the shapes differ, or a number is out of range.
    """
    counts, reached = np.asarray(budgets, dtype=np.float64), np.asarray(rates, dtype=np.float64)
    if counts.ndim != 1 or not len(counts) or reached.shape[-1:] != counts.shape:
        raise ValueError(f"budgets {counts.shape} and rates {reached.shape}; expected (B,) and (..., B)")
    if counts[0] <= 0 or (np.diff(counts) <= 0).any() or counts[-1] > pixels:
        raise ValueError(f"budgets are {counts.tolist()}; expected ascending numbers above 0, at most {pixels}")
    if not 0 < wanted <= 1 or not ((reached >= 0) & (reached <= 1)).all():
        raise ValueError(f"wanted={wanted} and every rate must be between 0 and 1")
    counts = np.concatenate([[0.0], counts])
    reached = np.concatenate([np.zeros((*reached.shape[:-1], 1)), reached], axis=-1)
    enough = reached >= wanted
    after = np.maximum(enough.argmax(axis=-1), 1)  # wanted is above 0, so never the first
    high, low = (np.take_along_axis(reached, place[..., None], axis=-1)[..., 0] for place in (after, after - 1))
    rise = np.where(enough.any(axis=-1), high - low, 1)
    between = counts[after - 1] + (wanted - low) / rise * (counts[after] - counts[after - 1])
    return np.where(enough.any(axis=-1), between, float(pixels))


def anomaly_index(values: npt.ArrayLike, suspicious: Suspicious) -> Floats:
    """How far each class stands out to the suspicious side, in robust standard deviations.

    The distance from the median over the classes, divided by the median absolute deviation (MAD), which is scaled to
    be the standard deviation of normal values. If more than half of the classes are equal, so that the MAD is 0, the
    mean absolute deviation, so scaled, takes its place; if all are, every index is 0.

    Args:
        values: A statistic of each class, shape ``(..., C)``; NaN where a class has none, which then takes no part.
        suspicious: Which end of the statistic tells a backdoor.

    Returns:
        Shape ``(..., C)``; positive on the suspicious side, NaN where there is no value.

    Raises:
        ValueError: If fewer than three classes have a value, or one is infinite.

    Source: Wang et al., "Neural Cleanse", IEEE S&P 2019, section IV, which takes the absolute value and then looks at
        the low end only; the mean deviation for a MAD of 0 is from Iglewicz and Hoaglin, "How to detect and handle
        outliers", 1993.
    """
    values = np.asarray(values, dtype=np.float64)
    if suspicious not in get_args(Suspicious):
        raise ValueError(f"suspicious={suspicious!r} is unknown; choose {' or '.join(get_args(Suspicious))}")
    if np.isinf(values).any():
        raise ValueError("a class has an infinite statistic; give the largest cost there is, as all pixels")
    if values.ndim < 1 or (np.isfinite(values).sum(axis=-1) < FEWEST).any():
        raise ValueError(f"fewer than {FEWEST} classes have a statistic: none of them can stand out")
    distance = values - np.nanmedian(values, axis=-1, keepdims=True)
    spread = np.nanmedian(np.abs(distance), axis=-1, keepdims=True) / NORMAL_MAD
    mean = np.nanmean(np.abs(distance), axis=-1, keepdims=True) / NORMAL_MEAN_DEVIATION
    scale = np.where(spread > 0, spread, mean)
    index = np.where(np.isnan(distance), np.nan, 0.0)
    np.divide(distance, scale, out=index, where=(scale > 0) & np.isfinite(distance))
    return index if suspicious == "high" else -index


def calibrated_threshold(classes: int, rate: float, draws: int = SIMULATED, seed: int = 0) -> float:
    """The anomaly index that some class of a clean network passes with a given probability, if classes are normal.

    Neural Cleanse's threshold of 2 is about a single class. The most suspicious of many passes it far more often: of
    fifteen independent normal values in four clean networks of ten.

    Args:
        classes: Number of classes that have a statistic, at least 3.
        rate: Probability that a clean network has a flagged class, between 0 and 1.
        draws: Simulated networks; the rate is met to within about ``sqrt(rate / draws)``.
        seed: Of the simulation.

    Raises:
        ValueError: If a number is out of range.
    """
    if classes < FEWEST or draws < 1 or not 0 < rate < 1:
        raise ValueError(
            f"classes={classes}, rate={rate}, draws={draws}; expected {FEWEST} classes or more, a rate between 0 and "
            "1, and at least one draw"
        )
    values = np.random.default_rng(seed).standard_normal((draws, classes))
    return float(np.quantile(anomaly_index(values, "high").max(axis=1), 1 - rate))


def suspicion_rank(values: npt.ArrayLike, suspicious: Suspicious) -> npt.NDArray[np.int64]:
    """Rank of each class by suspicion, 1 for the first; equal classes share the worst of their ranks, NaN comes last.

    Args:
        values: As for :func:`anomaly_index`, shape ``(C,)``.
        suspicious: Likewise.
    """
    index = anomaly_index(values, suspicious)
    known = np.where(np.isnan(index), -np.inf, index)
    ranks: npt.NDArray[np.int64] = (known[None, :] >= known[:, None]).sum(axis=1)
    return ranks


def anomaly_table(
    classes: Sequence[str], values: npt.ArrayLike, suspicious: Suspicious, threshold: float
) -> pd.DataFrame:
    """Every class of a network with its statistic, anomaly index, rank, and whether it is flagged.

    Args:
        classes: Names of the classes, C.
        values: As for :func:`anomaly_index`, shape ``(C,)``.
        suspicious: Likewise.
        threshold: A class whose index is larger is flagged: ``NEURAL_CLEANSE``, or :func:`calibrated_threshold`.

    Returns:
        Columns ``class``, ``label``, ``statistic``, ``anomaly_index``, ``rank``, ``flagged``; most suspicious first.
    """
    values = np.asarray(values, dtype=np.float64)
    if values.shape != (len(classes),):
        raise ValueError(f"{len(classes)} classes and a statistic of shape {values.shape}; expected one for each")
    index = anomaly_index(values, suspicious)
    table = pd.DataFrame(
        {
            "class": list(classes),
            "label": np.arange(len(classes)),
            "statistic": values,
            "anomaly_index": index,
            "rank": suspicion_rank(values, suspicious),
            "flagged": index > threshold,
        }
    )
    return table.sort_values(["rank", "label"], ignore_index=True)
