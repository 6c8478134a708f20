"""How often patterns succeed: predictions in, tables out."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from methods.class_patterns.evaluation_plan import HARD, SEARCHED, SOFT
from methods.class_patterns.patterns import Array
from methods.class_patterns.success_module import PatternPredictions
from stats.proportion import wilson_interval

TABLES = ("success", "by_source", "transfer", "simplicity", "class_anomaly", "triggers")  # of single patterns, as CSV
SUCCESS = [
    "classifier", "class", "pair", "kind", "number", "source", "method", "budget", "pixels", "seed", "success", "lower",
    "upper", "images", "clean", "overall", "soft", "gap",
]  # fmt: skip
TRANSFER = ["source", "class", "pair", "kind", "budget", "seed", "success", "lower", "upper", "images", "target"]
BY_SOURCE = ["class", "source", "method", "budget", "success", "images"]


def success_tables(
    name: str, predictions: PatternPredictions, rows: pd.DataFrame, classes: Sequence[str]
) -> dict[str, pd.DataFrame]:
    """The rows of one classifier in ``success.csv``, ``by_source.csv`` and ``transfer.csv``.

    Args:
        name: Name of the classifier.
        predictions: Its predictions, R patterns.
        rows: What each pattern is, R rows.
        classes: Names of the classes.
    """
    rates = success_rates(predictions.hits, predictions.clean, rows["target"].to_numpy())
    table = rows.join(rates).assign(**{"class": [classes[target] for target in rows["target"]]})
    own = table[table["origin"] == name]
    transfer = table[table["shown"]].drop(columns="source").rename(columns={"origin": "source"})
    return {
        "success": success_table(own).assign(classifier=name)[SUCCESS],
        "by_source": success_by_source(predictions, own, classes),
        "transfer": transfer.assign(target=name)[TRANSFER],
    }


def success_rates(hits: Array, clean: Array, targets: Array) -> pd.DataFrame:
    """How often each pattern turns the prediction into its target class, where it is not the target class already.

    Args:
        hits: 1 where the prediction on an image with the pattern is the pattern's target class, shape ``(N, R)``.
        clean: The prediction on each image without a pattern, ``(N,)``.
        targets: The target class of each pattern, ``(R,)``.

    Returns:
        A row for each pattern: ``success``, ``lower``, ``upper`` (Wilson, 95 %) and ``images``, of images whose clean
        prediction is another class (NaN, 0 and 1 where there are none); ``clean``, the share of all images predicted as
        the target without the pattern; ``overall``, the share of all images predicted as the target with it.
    """
    free = clean[:, None] != targets[None, :]
    images = free.sum(axis=0)
    share = np.where(images > 0, (hits.astype(bool) & free).sum(axis=0) / np.maximum(images, 1), np.nan)
    lower, upper = wilson_interval(np.nan_to_num(share), images)
    columns = {"success": share, "lower": lower, "upper": upper, "images": images}
    overall = hits.mean(axis=0, dtype=np.float64)
    return pd.DataFrame(columns | {"clean": 1 - free.mean(axis=0), "overall": overall})


def success_table(table: pd.DataFrame) -> pd.DataFrame:
    """The rates of hard patterns; for searched ones, beside those of their soft masks.

    Args:
        table: What each pattern is: ``pair``, ``method``, ``mask``, ``budget``, ``seed`` and further columns; and its
            rates, as :func:`success_rates` gives them.

    Returns:
        The hard rows, ``soft`` (the success of the soft mask) and ``gap`` (soft minus hard; NaN for controls).
    """
    keys = ["pair", "method", "seed"]
    soft = table[table["mask"] == SOFT].set_index(keys)["success"].rename("soft")
    hard = table[table["mask"] == HARD].join(soft, on=keys)
    return hard.assign(gap=hard["soft"] - hard["success"]).reset_index(drop=True)


def success_by_source(predictions: PatternPredictions, rows: pd.DataFrame, classes: Sequence[str]) -> pd.DataFrame:
    """The mean success of each class's patterns on the images of every class.

    Args:
        predictions: Of R patterns.
        rows: What some of these are, numbered by their position among the R; the hard ones that were searched are used.
        classes: Names of the classes.

    Returns:
        Columns ``BY_SOURCE``; ``success`` is the mean over canvases and seeds.
    """
    searched = rows[(rows["mask"] == HARD) & rows["method"].isin(SEARCHED)]
    records = []
    keys: Any
    for keys, part in searched.groupby(["target", "method", "budget"], sort=False):
        target, method, budget = keys
        shares = predictions.hits[:, part.index].mean(axis=1, dtype=np.float64)
        for source in np.unique(predictions.labels):
            used = (predictions.labels == source) & (predictions.clean != target)
            if used.any():
                success, images = shares[used].mean(), int(used.sum())
                records.append((classes[target], classes[source], method, budget, success, images))
    return pd.DataFrame(records, columns=BY_SOURCE)


def read_table(path: Path, *names: str) -> pd.DataFrame:
    """A table of patterns; names of classes such as ``007`` or ``null`` stay text.

    Args:
        path: The CSV.
        names: Columns with names of classes, beside ``class``.
    """
    return pd.read_csv(path, dtype=dict.fromkeys(("class", *names), str), keep_default_na=False, na_values=[""])
