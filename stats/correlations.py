"""Is a classifier's position in the order related to something else that is known about it?"""

import numpy as np
import pandas as pd
from scipy.stats import rankdata  # type: ignore[import-untyped]

from stats.arrays import FloatArray
from stats.bootstrap import normal_quantile, percentile_interval
from stats.order_stability import sufficient_counts

NORMAL_POINTS = 200


def order_correlations(
    rrc: FloatArray, resampled: FloatArray, covariates: pd.DataFrame, threshold: float | None, level: float
) -> pd.DataFrame:
    """Spearman's rank correlation between the classifiers' positions in the order and what is known about them.

    A position is measured in two ways: ``serving``, the number of autoencoders that are sufficient for the classifier
    at a threshold, and ``mean RRC``, the mean over its column, which is that number averaged over all thresholds.

    There are two intervals. ``lower_images`` and ``upper_images`` hold for these classifiers and other images
    (percentiles of the resamples). ``lower`` and ``upper`` hold for other images and other classifiers of the same
    kind; with four classifiers this interval always contains 0, as even four ranks in perfect agreement come about by
    chance once in 24 times.

    Args:
        rrc: Relative rates of change ``(n, n)``, rows autoencoders, columns classifiers, in the order of
            ``covariates``.
        resampled: The same of each resample, ``(resamples, n, n)``, every value finite.
        covariates: A row for each classifier, a column of finite numbers for each covariate.
        threshold: Where to count the sufficient autoencoders; ``None`` leaves ``serving`` out.
        level: Coverage of the intervals, such as 0.95.

    Returns:
        A row for each covariate and way to measure the position: ``covariate``, ``place`` (the way), ``classifiers``,
        ``spearman``, ``lower``, ``upper``, ``lower_images``, ``upper_images``, ``left_out`` (the share of resamples in
        which all classifiers have the same position). NaN where a covariate or a position is the same for all
        classifiers.

    Raises:
        ValueError: If a covariate is not a finite number, or the number of classifiers differs.

    Example:
        >>> rrc = np.array([[1.0, 0.9, 0.8, 0.7]] * 4)
        >>> sizes = pd.DataFrame({"parameters": [1.0, 2.0, 3.0, 5.0]}, index=list("abcd"))
        >>> table = order_correlations(rrc, np.stack([rrc] * 9), sizes, threshold=None, level=0.95)
        >>> table[["spearman", "lower", "upper", "lower_images"]].round(2).to_numpy().tolist()
        [[-1.0, -1.0, 0.67, -1.0]]
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
    positions = {"mean RRC": (rrc.mean(axis=-2), resampled.mean(axis=-2))}
    if threshold is not None:
        counts = sufficient_counts(rrc, threshold), sufficient_counts(resampled, threshold)
        positions = {"sufficient autoencoders": counts} | positions
    rows = [
        {"covariate": name, "position": measure} | _correlation(*of_measure, values[:, column], level)
        for column, name in enumerate(covariates.columns)
        for measure, of_measure in positions.items()
    ]
    return pd.DataFrame(rows)


def spearman(first: FloatArray, second: FloatArray) -> FloatArray:
    r"""Spearman's correlation along the last axis.

    .. math::
        \rho = \frac{\sum_i (a_i - \bar a)(b_i - \bar b)}{\sqrt{\sum_i (a_i - \bar a)^2 \sum_i (b_i - \bar b)^2}}

    where :math:`a_i` and :math:`b_i` are the ranks of the two sides (equal values share the mean of their ranks), and
    :math:`\bar a` and :math:`\bar b` their means.

    Args:
        first: Values, ``(..., n)``.
        second: Values, of a shape that broadcasts with that of ``first``.

    Returns:
        Correlations in [-1, 1], ``(...)``; NaN where all values of one side are equal.

    Example:
        >>> spearman(np.array([[1.0, 2, 3], [3, 2, 1], [5, 5, 5]]), np.array([10.0, 20, 40])).round(4).tolist()
        [1.0, -1.0, nan]
    """
    # scipy's spearmanr correlates every row with every other one, and warns of constant rows
    ranked = (rankdata(values, axis=-1) for values in (first, second))
    centred = [ranks - ranks.mean(axis=-1, keepdims=True) for ranks in ranked]
    together = (centred[0] * centred[1]).sum(axis=-1)
    alone = np.sqrt((centred[0] ** 2).sum(axis=-1) * (centred[1] ** 2).sum(axis=-1))
    return np.divide(together, alone, out=np.full_like(together, np.nan), where=alone > 0)


def population_interval(correlations: FloatArray, classifiers: int, level: float) -> tuple[float, float]:
    r"""An interval for the correlation among all classifiers of a kind, from resamples of the classifiers at hand.

    .. math::
        \left[ \tanh Q\left( \tfrac{1 - c}{2} \right), \tanh Q\left( \tfrac{1 + c}{2} \right) \right], \qquad
        Q \text{ of the mixture of } \mathcal{N}\left( \operatorname{artanh} r_b, \frac{1 + r_b^2 / 2}{n - 3} \right)

    where :math:`r_b` is the correlation in resample :math:`b`, :math:`n` the number of classifiers, :math:`c` the level
    and :math:`Q` gives quantiles. On this scale (Fisher's) the error of a correlation is about normal. A correlation of
    ±1, which is infinite on that scale, is moved inwards by half of the smallest step that Spearman's correlation can
    take.

    Args:
        correlations: Spearman's correlation in each resample, finite.
        classifiers: Number of classifiers.
        level: Coverage of the interval, such as 0.95.

    Returns:
        Lower and upper end; -1 and 1 for fewer than four classifiers, which tell nothing.

    Source: D. G. Bonett, T. A. Wright, "Sample size requirements for estimating Pearson, Kendall and Spearman
    correlations", Psychometrika 65, 2000 (the variance).

    Example:
        >>> [round(end, 2) for end in population_interval(np.array([0.6]), classifiers=24, level=0.95)]
        [0.23, 0.82]
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


def _correlation(position: FloatArray, resampled: FloatArray, covariate: FloatArray, level: float) -> dict[str, float]:
    """One row of ``order_correlations``, without its names."""
    estimate, correlations = spearman(position, covariate), spearman(resampled, covariate)
    defined = correlations[np.isfinite(correlations)]
    row = {"classifiers": len(position), "spearman": float(estimate), "lower": np.nan, "upper": np.nan}
    row |= {"lower_images": np.nan, "upper_images": np.nan, "left_out": 1 - len(defined) / len(correlations)}
    if np.isfinite(estimate) and len(defined):
        row["lower"], row["upper"] = population_interval(defined, len(position), level)
        images = percentile_interval(defined, estimate, level)
        row["lower_images"], row["upper_images"] = float(images.lower), float(images.upper)
    return row
