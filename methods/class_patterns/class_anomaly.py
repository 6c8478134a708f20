"""Classes that are anomalously cheap: a backdoor is a short cut, so its target class costs fewer pixels than others.

The cost of a class is the number of pixels that its pattern needs for a given success (:func:`pixels_needed`). The area
of the mask, which Neural Cleanse takes, is no cost where a search may give up: an empty mask that changes no prediction
would be the most anomalous. Nor is the success at a given number of pixels: it ends at 1, so a class near 1 cannot
stand out from others near 1.
"""

import functools
import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.stats import median_abs_deviation, rankdata  # type: ignore[import-untyped]

from methods.class_patterns.patterns import NEURAL_CLEANSE, Array

NEURAL_CLEANSE_THRESHOLD = 2.0  # of the anomaly index
NORMAL_MEAN_DEVIATION = math.sqrt(2 / math.pi)  # mean absolute deviation of the standard normal distribution
FEWEST = 3  # classes, of which one can stand out
SIMULATED = 20_000
PARTS = 20  # in which they are simulated
WANTED = 0.5  # success at which the cost of a class is read
CLEAN_RATE = 0.05  # share of clean networks in which some class is flagged
COLUMNS = ["class", "label", "pixels", "median_pixels", "statistic", "anomaly_index", "rank", "flagged"]


def class_anomaly_table(success: pd.DataFrame, classes: Sequence[str], pixels: int) -> pd.DataFrame:
    """The cost of each class of one network, and how far it stands out.

    The cost of a class is the number of pixels with learned colours that turn half of the images of other classes into
    it, interpolated between budgets, from the mean success over canvases and seeds. The statistic is the logarithm of
    the cost, so that the index compares ratios. A class is flagged if its anomaly index exceeds the threshold that 5 %
    of networks without a backdoor exceed (:func:`calibrated_threshold`).

    Args:
        success: A table of :func:`methods.class_patterns.success.success_table`, of one classifier.
        classes: Names of the classes, in the order of the labels.
        pixels: Number of pixels of an image.

    Returns:
        Columns ``COLUMNS``, the cheapest class first; ``median_pixels`` is the median cost over classes. No rows if
        fewer than three classes were searched with learned colours.
    """
    searched = success[success["method"] == NEURAL_CLEANSE]
    rates = searched.groupby(["class", "pixels"])["success"].mean().unstack()
    rates = rates.loc[:, rates.columns.to_numpy(dtype=int) > 0].dropna()
    if len(rates) < FEWEST or not len(rates.columns):
        return pd.DataFrame(columns=COLUMNS)
    costs = pd.Series(pixels_needed(rates.columns, rates, WANTED, pixels), rates.index)
    statistic = np.log(costs.reindex(list(classes)))
    table = anomaly_table(classes, statistic, calibrated_threshold(len(rates), CLEAN_RATE))
    table = table.dropna(subset="statistic", ignore_index=True)
    table["pixels"] = np.exp(table["statistic"])
    return table.assign(median_pixels=table["pixels"].median())[COLUMNS]


def pixels_needed(budgets: npt.ArrayLike, rates: npt.ArrayLike, wanted: float, pixels: int) -> Array:
    """The number of pixels at which success reaches a rate: interpolated between budgets, starting with (0, 0).

    Args:
        budgets: Numbers of pixels, ascending, above 0; shape ``(B,)``.
        rates: Success rates in [0, 1] at these budgets, shape ``(..., B)``; they need not ascend.
        wanted: The rate to reach, in (0, 1].
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
    high, low = (np.take_along_axis(reached, index[..., None], axis=-1)[..., 0] for index in (after, after - 1))
    rise = np.where(enough.any(axis=-1), high - low, 1)
    between = counts[after - 1] + (wanted - low) / rise * (counts[after] - counts[after - 1])
    return np.where(enough.any(axis=-1), between, float(pixels))


def anomaly_index(costs: npt.ArrayLike) -> Array:
    r"""How far the cost of each class lies below the median, in robust standard deviations.

    .. math:: a_c = (\mathrm{median}(s) - s_c) / (1.4826 \cdot \mathrm{MAD}(s))

    where :math:`s_c` is the cost of class :math:`c` and MAD the median absolute deviation; the factor makes it the
    standard deviation of normal values. If the MAD is 0, because more than half of the classes are equal, the mean
    absolute deviation takes its place, scaled in the same way; if all classes are equal, every index is 0.

    Args:
        costs: The cost of each class, or its logarithm, shape ``(..., C)``; NaN for classes without one.

    Returns:
        Shape ``(..., C)``; positive for classes that are cheaper than the median, NaN for classes without a cost.

    Raises:
        ValueError: If fewer than three classes have a cost, or one is infinite.

    Source: Wang et al., "Neural Cleanse", IEEE S&P 2019, section IV, which takes the absolute value and then looks at
        the low end only; the mean deviation for a MAD of 0 is from Iglewicz and Hoaglin, "How to detect and handle
        outliers", 1993.
    """
    values = np.asarray(costs, dtype=np.float64)
    if np.isinf(values).any():
        raise ValueError("a class has an infinite statistic; give the largest cost there is, as all pixels")
    if values.ndim < 1 or (np.isfinite(values).sum(axis=-1) < FEWEST).any():
        raise ValueError(f"fewer than {FEWEST} classes have a statistic: none of them can stand out")
    distance = values - np.nanmedian(values, axis=-1, keepdims=True)
    spread = np.asarray(median_abs_deviation(values, axis=-1, scale="normal", nan_policy="omit"))[..., None]
    mean = np.nanmean(np.abs(distance), axis=-1, keepdims=True) / NORMAL_MEAN_DEVIATION
    scale = np.where(spread > 0, spread, mean)
    index = np.where(np.isnan(distance), np.nan, 0.0)
    np.divide(distance, scale, out=index, where=(scale > 0) & np.isfinite(distance))
    return -index


@functools.cache
def calibrated_threshold(classes: int, rate: float) -> float:
    """The anomaly index that some class of a clean network exceeds with a given probability, if costs are normal.

    Neural Cleanse's threshold of 2 is for a single class. The largest index of many classes exceeds it far more often:
    of fifteen independent normal values in four clean networks of ten.

    Args:
        classes: Number of classes that have a statistic, at least 3.
        rate: Probability that a clean network has a flagged class, between 0 and 1; ``SIMULATED`` networks meet it to
            within about ``sqrt(rate / SIMULATED)``.

    Raises:
        ValueError: If a number is out of range.
    """
    if classes < FEWEST or not 0 < rate < 1:
        raise ValueError(f"classes={classes}, rate={rate}; expected {FEWEST} classes or more, a rate between 0 and 1")
    random = np.random.default_rng(0)
    parts = (random.standard_normal((SIMULATED // PARTS, classes)) for _ in range(PARTS))  # of all classes of ImageNet
    largest = np.concatenate([anomaly_index(-part).max(axis=1) for part in parts])  # a gigabyte would be needed at once
    return float(np.quantile(largest, 1 - rate))


def anomaly_table(classes: Sequence[str], costs: npt.ArrayLike, threshold: float) -> pd.DataFrame:
    """Every class of a network with its cost, anomaly index and rank, and whether it is flagged.

    Args:
        classes: Names of the classes, C.
        costs: As for :func:`anomaly_index`, shape ``(C,)``.
        threshold: A class with a larger index is flagged; see :func:`calibrated_threshold`.

    Returns:
        Columns ``class``, ``label``, ``statistic``, ``anomaly_index``, ``rank``, ``flagged``; the cheapest class first,
        with rank 1. Equal classes share the worst of their ranks; classes without a cost come last.
    """
    values = np.asarray(costs, dtype=np.float64)
    if values.shape != (len(classes),):
        raise ValueError(f"{len(classes)} classes and a statistic of shape {values.shape}; expected one for each")
    index = anomaly_index(values)
    columns = {"class": list(classes), "label": np.arange(len(classes)), "statistic": values, "anomaly_index": index}
    ranks = rankdata(np.where(np.isnan(index), np.inf, -index), method="max").astype(np.int64)
    table = pd.DataFrame(columns | {"rank": ranks, "flagged": index > threshold})
    return table.sort_values(["rank", "label"], ignore_index=True)
