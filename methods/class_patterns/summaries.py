"""Means over classes with their intervals: what the page shows of the tables of single patterns."""

import itertools
import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from methods.class_patterns.patterns import PATTERN, SEARCHED

RESAMPLES = 2000
PHOTOGRAPHS = ("own", "other")  # kinds of canvases that are images: shapes in noise are made by the search
SHAPES = ("mask_variation", "pixel_variation", "edge_density", "components", "largest_share")


def mean_over_classes(table: pd.DataFrame, values: str = "success", seed: int = 0) -> tuple[float, float, float]:
    """The mean of a rate over classes, each with equal weight, and its 95 % bootstrap interval over classes.

    Patterns of one class share images and class, so they are not independent; therefore classes are resampled.

    Args:
        table: Rows with ``class`` and the rate.
        values: The column of the rate.
        seed: Seed of the resamples.

    Returns:
        Mean, lower and upper end (percentiles of resampled means; both NaN for a single class).
    """
    means = table.groupby("class", sort=True)[values].mean().dropna().to_numpy()
    if len(means) < 2:
        return float(means[0]) if len(means) else math.nan, math.nan, math.nan
    drawn = np.random.default_rng(seed).integers(len(means), size=(RESAMPLES, len(means)))
    lower, upper = np.percentile(means[drawn].mean(axis=1), [2.5, 97.5])
    return float(means.mean()), float(lower), float(upper)


def curves(success: pd.DataFrame) -> pd.DataFrame:
    """Success against the budget, over all classes.

    Args:
        success: The rows of ``success.csv``.

    Returns:
        A row for each classifier, method and budget: ``success``, ``lower``, ``upper``; ``seeds``, the standard
        deviation over seeds of the mean success of a seed (NaN with fewer than two).
    """
    rows = []
    for (classifier, method, budget), part in success.groupby(["classifier", "method", "budget"], sort=False):
        seeds = part.groupby("seed")["success"].mean().std(ddof=1)
        rows.append((classifier, method, budget, *mean_over_classes(part), seeds))
    return pd.DataFrame(rows, columns=["classifier", "method", "budget", "success", "lower", "upper", "seeds"])


def margins(success: pd.DataFrame, budget: float) -> pd.DataFrame:
    """By how much patterns beat every control on the same canvas, at one budget.

    Args:
        success: The rows of ``success.csv``.
        budget: Share of the pixels.

    Returns:
        A row for each classifier and control: mean ``success`` of the pattern and ``control_success``; their
        difference ``margin`` with ``lower`` and ``upper``, over classes; ``best``, whether the margin to this control
        is the smallest.
    """
    part = success[success["budget"] == budget]
    means = part.groupby(["classifier", "method", "class", "pair"], sort=False)["success"].mean()
    by_method: dict[Any, pd.Series] = {
        keys: part.droplevel([0, 1]) for keys, part in means.groupby(level=[0, 1], sort=False)
    }
    rows = []
    for (classifier, control), of_control in by_method.items():
        if control not in SEARCHED:
            pattern = by_method[classifier, PATTERN]
            of_both = (mean_over_classes(part.reset_index())[0] for part in (pattern, of_control))
            rows.append((classifier, control, *of_both, *mean_over_classes((pattern - of_control).reset_index())))
    columns = ["classifier", "control", "success", "control_success", "margin", "lower", "upper"]
    table = pd.DataFrame(rows, columns=columns)
    best = table.sort_values("margin", kind="stable").drop_duplicates("classifier").index
    return table.assign(best=table.index.isin(best))


def soft_masks(success: pd.DataFrame, budget: float) -> pd.DataFrame:
    """Success of soft masks and of hard ones at one budget.

    Args:
        success: The rows of ``success.csv``.
        budget: Share of the pixels.

    Returns:
        A row for each classifier and searched method: means over classes of ``soft``, ``success``, ``gap``, ``clean``.
    """
    part = success[success["soft"].notna() & (success["budget"] == budget)]
    columns = ["soft", "success", "gap", "clean"]
    rows = [
        (*keys, *(mean_over_classes(group, column)[0] for column in columns))
        for keys, group in part.groupby(["classifier", "method"], sort=False)
    ]
    return pd.DataFrame(rows, columns=["classifier", "method", *columns])


def transfer_means(transfer: pd.DataFrame) -> pd.DataFrame:
    """Mean success, over classes, of the patterns of each classifier on every classifier.

    Args:
        transfer: The rows of ``transfer.csv``.

    Returns:
        Columns ``source``, ``target``, ``success``.
    """
    by_class = transfer.groupby(["source", "target", "class"], sort=False)["success"].mean()
    return by_class.groupby(["source", "target"], sort=False).mean().reset_index()


def transfer_summary(means: pd.DataFrame) -> pd.DataFrame:
    """Mean success of patterns on the classifiers that they were searched on, and on others.

    Args:
        means: A table of :func:`transfer_means`.

    Returns:
        One row: ``same_classifier``, ``other_classifiers`` (NaN if there is a single classifier).
    """
    same, success = means["source"] == means["target"], means["success"]
    return pd.DataFrame({"same_classifier": [success[same].mean()], "other_classifiers": [success[~same].mean()]})


def simplicity_means(simplicity: pd.DataFrame) -> pd.DataFrame:
    """Means over classes of the shapes of patterns cut from images, and differences to the first classifier.

    Args:
        simplicity: The rows of ``simplicity.csv``.

    Returns:
        A row for each classifier and ``shape`` of ``SHAPES``: ``mean``; ``difference`` to the first classifier on the
        same canvases with ``lower`` and ``upper`` (NaN for the first).
    """
    shapes = simplicity[simplicity["kind"].isin(PHOTOGRAPHS)].set_index(["class", "kind", "number", "seed"])
    by_classifier = dict(list(shapes.groupby("classifier", sort=False)))
    rows = []
    for (name, part), shape in itertools.product(by_classifier.items(), SHAPES):
        first = next(iter(by_classifier.values()))
        difference = (np.nan, np.nan, np.nan)
        if part is not first:
            difference = mean_over_classes((part[shape] - first[shape]).reset_index(), shape)
        rows.append((name, shape, mean_over_classes(part.reset_index(), shape)[0], *difference))
    return pd.DataFrame(rows, columns=["classifier", "shape", "mean", "difference", "lower", "upper"])


def trigger_means(triggers: pd.DataFrame) -> pd.DataFrame:
    """Mean overlap with the trigger, by whether the class is its target, by kind of canvas, and by size.

    Args:
        triggers: The rows of ``triggers.csv``.

    Returns:
        Columns ``classifier``, ``target``, ``kind``, ``pixels``, ``recall``, ``overlap``.
    """
    keys = ["classifier", "target", "kind", "pixels"]
    return triggers.groupby(keys, sort=False)[["recall", "overlap"]].mean().reset_index()


SUMMARIES: dict[str, Callable[[Mapping[str, pd.DataFrame], float], pd.DataFrame]] = {
    "curves": lambda tables, shown: curves(tables["success"]),
    "margins": lambda tables, shown: margins(tables["success"], shown),
    "soft_masks": lambda tables, shown: soft_masks(tables["success"], shown),
    "transfer_means": lambda tables, shown: transfer_means(tables["transfer"]),
    "transfer_summary": lambda tables, shown: transfer_summary(transfer_means(tables["transfer"])),
    "simplicity_means": lambda tables, shown: simplicity_means(tables["simplicity"]),
    "trigger_means": lambda tables, shown: trigger_means(tables["triggers"]),
}
"""Each table of ``summary/``, from the tables of single patterns and the budget shown."""
