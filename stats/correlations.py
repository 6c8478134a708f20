"""Does a classifier's place in the order go with something else that is known of it?"""

import numpy as np
import pandas as pd

from stats.accuracy_csv import FloatArray
from stats.bootstrap import normal_quantile, percentile_interval
from stats.order_stability import average_ranks, serving

NORMAL_POINTS = 200


def order_correlations(
    rrc: FloatArray,
    resampled: FloatArray,
    covariates: pd.DataFrame,
    threshold: float | None,
    level: float = 0.95,
) -> pd.DataFrame:
    """Spearman's rank correlation between the classifiers' places in the order and what is known of them.

    A place is told in two ways: ``serving``, the number of autoencoders that serve the classifier at a threshold, and
    ``mean RRC``, the mean over its column, which is that number averaged over all thresholds.

    Two questions, two intervals. ``lower_images`` and ``upper_images``: these classifiers, other images (percentiles of
    the resamples). ``lower`` and ``upper``: other images and other classifiers of the same kind; with four classifiers
    this interval always holds 0, as even four ranks in perfect agreement come about by chance once in 24 times.

    Args:
        rrc: Relative rates of change ``(n, n)``, rows autoencoders, columns classifiers, in the order of
            ``covariates``.
        resampled: The same of each resample, ``(resamples, n, n)``, every value finite.
        covariates: A row for each classifier, a column of finite numbers for each covariate.
        threshold: Where to count the autoencoders that serve; ``None`` leaves ``serving`` out.
        level: Coverage of the intervals.

    Returns:
        A row for each covariate and way to tell the place: ``covariate``, ``place``, ``classifiers``, ``spearman``,
        ``lower``, ``upper``, ``lower_images``, ``upper_images``, ``left_out`` (the share of resamples in which all
        classifiers have one place). NaN where a covariate or a place is the same for all classifiers.

    Raises:
        ValueError: If a covariate is no finite number, or the number of classifiers differs.
    """
    values = covariates.to_numpy(dtype=float)
    if values.shape[0] != rrc.shape[-1]:
        raise ValueError(f"covariates of {values.shape[0]} classifiers for {rrc.shape[-1]}: give one row for each")
    if not np.isfinite(values).all():
        row, column = np.argwhere(~np.isfinite(values))[0]
        raise ValueError(
            f"covariate {covariates.columns[column]!r} of {covariates.index[row]!r} is no finite number: fill it in, "
            "or leave the column out"
        )
    places = {"mean RRC": (rrc.mean(axis=-2), resampled.mean(axis=-2))}
    if threshold is not None:
        places = {"serving": (serving(rrc, threshold), serving(resampled, threshold))} | places
    rows = [
        {"covariate": name, "place": place} | _correlation(*found, values[:, column], level)
        for column, name in enumerate(covariates.columns)
        for place, found in places.items()
    ]
    return pd.DataFrame(rows)


def spearman(first: FloatArray, second: FloatArray) -> FloatArray:
    """Spearman's correlation along the last axis, NaN where all of a side are equal."""
    ranks = [average_ranks(values) for values in (first, second)]
    centred = [rank - rank.mean(axis=-1, keepdims=True) for rank in ranks]
    together = (centred[0] * centred[1]).sum(axis=-1)
    alone = np.sqrt((centred[0] ** 2).sum(axis=-1) * (centred[1] ** 2).sum(axis=-1))
    return np.divide(together, alone, out=np.full_like(together, np.nan), where=alone > 0)


def population_interval(correlations: FloatArray, classifiers: int, level: float) -> tuple[float, float]:
    """An interval for the correlation among all classifiers of the kind, from resamples of those at hand.

    Each resample's correlation is taken to Fisher's scale, where its error is about normal with the variance
    (1 + r² / 2) / (n - 3); the interval is between percentiles of the mixture. A correlation of ±1, which has no place
    on that scale, is moved inwards by half of the smallest step that Spearman's correlation can take.

    Args:
        correlations: Spearman's correlation in each resample, finite.
        classifiers: How many there are; of fewer than four nothing can be said.
        level: Its coverage.

    Source: D. G. Bonett, T. A. Wright, "Sample size requirements for estimating Pearson, Kendall and Spearman
    correlations", Psychometrika 65, 2000 (the variance).
    """
    if classifiers < 4 or len(correlations) == 0:
        return -1.0, 1.0
    inside = 1 - 6 / (classifiers * (classifiers**2 - 1))
    clipped = np.clip(correlations, -inside, inside)
    errors = np.sqrt((1 + clipped**2 / 2) / (classifiers - 3))
    normal = normal_quantile((np.arange(NORMAL_POINTS) + 0.5) / NORMAL_POINTS)
    mixture = np.arctanh(clipped)[:, None] + errors[:, None] * normal
    lower, upper = np.tanh(np.quantile(mixture, [(1 - level) / 2, (1 + level) / 2]))
    return float(lower), float(upper)


def _correlation(place: FloatArray, resampled: FloatArray, covariate: FloatArray, level: float) -> dict[str, float]:
    """One row of ``order_correlations``, without its names."""
    estimate = spearman(place, covariate)
    correlations = spearman(resampled, np.broadcast_to(covariate, resampled.shape))
    defined = correlations[np.isfinite(correlations)]
    nan = float("nan")
    row = {"classifiers": len(place), "spearman": float(estimate), "lower": nan, "upper": nan}
    row |= {"lower_images": nan, "upper_images": nan, "left_out": 1 - len(defined) / len(correlations)}
    if np.isfinite(estimate) and len(defined):
        row["lower"], row["upper"] = population_interval(defined, len(place), level)
        images = percentile_interval(defined, estimate, level)
        row["lower_images"], row["upper_images"] = float(images.lower), float(images.upper)
    return row
