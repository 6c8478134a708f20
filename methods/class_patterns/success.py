"""How often patterns succeed: predictions on images in, tables out."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from methods.class_patterns.evaluation_plan import HARD, LEARNED, PATTERN, SOFT
from stats.proportion import wilson_interval

Array = npt.NDArray
RESAMPLES = 2000


def read_table(path: Path, *names: str) -> pd.DataFrame:
    """A table of patterns, in which classes keep their names, be they ``007`` or ``null``.

    Args:
        path: The CSV.
        names: Columns with names of classes, beside ``class``.
    """
    return pd.read_csv(path, dtype=dict.fromkeys(("class", *names), str), keep_default_na=False, na_values=[""])


def success_rates(hits: Array, clean: Array, targets: Array) -> pd.DataFrame:
    """How often each pattern turns an image into its class, where the image is not seen as that class already.

    Args:
        hits: 1 where an image with the pattern is seen as the pattern's class, shape ``(N, R)``.
        clean: The class seen in each image as it is, ``(N,)``.
        targets: The class of each pattern, ``(R,)``.

    Returns:
        A row for each pattern: ``success``, ``lower``, ``upper`` (Wilson, 95 %) and ``images``, of images not seen as
        the class without it (NaN, 0 and 1 where there are none); ``clean``, the share of all images seen as the class
        without it; ``overall``, the share of all images seen as the class with it.
    """
    free = clean[:, None] != targets[None, :]
    images = free.sum(axis=0)
    share = np.where(images > 0, (hits.astype(bool) & free).sum(axis=0) / np.maximum(images, 1), np.nan)
    lower, upper = wilson_interval(np.nan_to_num(share), images)
    columns = {"success": share, "lower": lower, "upper": upper, "images": images}
    overall = hits.mean(axis=0, dtype=np.float64)
    return pd.DataFrame(columns | {"clean": 1 - free.mean(axis=0), "overall": overall})


def success_table(rows: pd.DataFrame, rates: pd.DataFrame) -> pd.DataFrame:
    """The rates of patterns of whole pixels; where they were searched, beside those of their soft masks.

    Args:
        rows: What each pattern is: ``pair``, ``method``, ``mask``, ``budget``, ``seed`` and whatever else.
        rates: Their rates, as :func:`success_rates` gives them.

    Returns:
        The hard rows with their rates, ``soft`` (the success of the soft mask) and ``gap`` (how much is lost by making
        it hard; NaN for controls).
    """
    table = rows.reset_index(drop=True).join(rates)
    keys = ["pair", "method", "seed"]
    soft = table[table["mask"] == SOFT].set_index(keys)["success"].rename("soft")
    hard = table[table["mask"] == HARD].drop(columns="mask").join(soft, on=keys)
    return hard.assign(gap=hard["soft"] - hard["success"]).reset_index(drop=True)


def success_by_source(
    hits: Array, clean: Array, labels: Array, rows: pd.DataFrame, targets: Array, classes: Sequence[str]
) -> pd.DataFrame:
    """Which images give in to a class's patterns: the mean success for each class that images come from.

    Args:
        hits: As for :func:`success_rates`.
        clean: Likewise.
        labels: The class of each image, ``(N,)``.
        rows: What each pattern is; of those searched, the hard ones are taken.
        targets: The class of each pattern, ``(R,)``.
        classes: Names of the classes.

    Returns:
        Columns ``class``, ``source``, ``method``, ``budget``, ``success`` (mean over canvases and seeds), ``images``.
    """
    chosen = (rows["mask"] == HARD).to_numpy() & rows["method"].isin(LEARNED).to_numpy()
    searched = rows[chosen].assign(target=targets[chosen], place=np.flatnonzero(chosen))
    found = []
    keys: Any
    for keys, part in searched.groupby(["target", "method", "budget"], sort=False):
        target, method, budget = keys
        shares = hits[:, part["place"]].mean(axis=1, dtype=np.float64)
        for source in np.unique(labels):
            used = (labels == source) & (clean != target)
            if used.any():
                found.append((classes[target], classes[source], method, budget, shares[used].mean(), int(used.sum())))
    return pd.DataFrame(found, columns=["class", "source", "method", "budget", "success", "images"])


def mean_over_classes(table: pd.DataFrame, values: str = "success", seed: int = 0) -> tuple[float, float, float]:
    """The mean of a rate over classes, each counted once, and its 95 % interval for other classes.

    Patterns of one class share images and class, so they are no independent trials; classes are drawn anew instead.

    Args:
        table: Rows with ``class`` and the rate.
        values: The column of the rate.
        seed: Decides the resamples.

    Returns:
        Mean, lower and upper end (percentiles of resampled means; both NaN for a single class).
    """
    means = table.groupby("class", sort=True)[values].mean().dropna().to_numpy()
    if not len(means):
        return float("nan"), float("nan"), float("nan")
    if len(means) == 1:
        return float(means[0]), float("nan"), float("nan")
    drawn = np.random.default_rng(seed).integers(len(means), size=(RESAMPLES, len(means)))
    lower, upper = np.percentile(means[drawn].mean(axis=1), [2.5, 97.5])
    return float(means.mean()), float(lower), float(upper)


def curves(table: pd.DataFrame) -> pd.DataFrame:
    """Success against the budget, over all classes.

    Args:
        table: As :func:`success_table` makes it, with ``classifier`` and ``class``.

    Returns:
        A row for each classifier, method and budget: ``success``, ``lower``, ``upper``; ``seeds``, the standard
        deviation over seeds of the mean over everything else (NaN with fewer than two).
    """
    found = []
    for (classifier, method, budget), part in table.groupby(["classifier", "method", "budget"], sort=False):
        spread = part.groupby("seed")["success"].mean().std(ddof=1)
        found.append((classifier, method, budget, *mean_over_classes(part), spread))
    return pd.DataFrame(found, columns=["classifier", "method", "budget", "success", "lower", "upper", "seeds"])


def margins(table: pd.DataFrame, budget: float) -> pd.DataFrame:
    """By how much searched pixels beat every control of the same canvas, budget and class.

    Args:
        table: As for :func:`curves`.
        budget: Which share of the pixels.

    Returns:
        A row for each classifier and control: ``margin`` with ``lower`` and ``upper``, over classes.
    """
    part = table[table["budget"] == budget]
    means = part.groupby(["classifier", "method", "class", "pair"], sort=False)["success"].mean()
    found = []
    for classifier in part["classifier"].unique():
        own = means.loc[classifier]
        for control in own.index.get_level_values("method").unique():
            if control not in LEARNED:
                margin = (own.loc[PATTERN] - own.loc[control]).rename("success").reset_index()
                found.append((classifier, control, *mean_over_classes(margin)))
    return pd.DataFrame(found, columns=["classifier", "control", "margin", "lower", "upper"])
