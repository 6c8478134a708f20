"""Which class of a network gives itself away, and whether its pattern is the trigger: tables from patterns found."""

import math
from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd

from methods.class_patterns.backdoor_rates import (
    FEWEST,
    anomaly_table,
    calibrated_threshold,
    pixels_needed,
    trigger_overlap,
)
from methods.class_patterns.evaluation_plan import NEURAL_CLEANSE
from methods.class_patterns.files import PatternFile
from methods.class_patterns.simplicity import simplicity

WANTED = 0.5  # success that a class's cost is counted for
CLEAN_RATE = 0.05  # of clean networks that may be flagged
SUSPICION = ["class", "label", "pixels", "statistic", "anomaly_index", "rank", "flagged"]
TRIGGERS = ["class", "kind", "number", "seed", "target", "pixels", "overlap", "recall"]


def suspicion_table(success: pd.DataFrame, classes: Sequence[str], pixels: int) -> pd.DataFrame:
    """How cheap each class of one network is, and how far it stands out.

    The cost of a class is the number of pixels with learned colours that half of the other classes' images give in to,
    interpolated between budgets; the mean success over canvases and seeds is taken. The statistic is its logarithm. A
    class is flagged where its anomaly index is above what one in twenty networks without a class that stands out has.

    Args:
        success: As :func:`methods.class_patterns.success.success_table` makes it, of one classifier.
        classes: Names of the classes, in the order of the labels.
        pixels: Of an image.

    Returns:
        Columns ``SUSPICION``, most suspicious first; without rows if fewer than three classes were searched with
        learned colours.
    """
    searched = success[success["method"] == NEURAL_CLEANSE]
    rates = searched.groupby(["class", "pixels"])["success"].mean().unstack()
    rates = rates.loc[:, rates.columns.to_numpy(dtype=int) > 0].dropna()
    if len(rates) < FEWEST or not len(rates.columns):
        return pd.DataFrame(columns=SUSPICION)
    costs = pd.Series(pixels_needed(rates.columns.to_numpy(dtype=float), rates.to_numpy(), WANTED, pixels), rates.index)
    statistic = np.log(costs.reindex(list(classes)).to_numpy(dtype=float))
    found = anomaly_table(classes, statistic, "low", calibrated_threshold(len(rates), CLEAN_RATE))
    found = found[found["statistic"].notna()].assign(pixels=np.exp(found["statistic"]))
    return found[SUSPICION].reset_index(drop=True)


def triggers_table(
    found: PatternFile, trigger: npt.NDArray[np.bool_], target: int, budgets: Iterable[float], seed: int
) -> pd.DataFrame:
    """How much of the true trigger the patterns of a backdoored network hold.

    Args:
        found: The patterns.
        trigger: Which pixels the trigger has, ``(H, W)``.
        target: The class that it stands for; patterns of other classes show what is found by chance.
        budgets: Shares of the pixels; the size of the trigger itself is added.
        seed: Of the search.

    Returns:
        A row for each pattern and budget: ``class``, ``kind``, ``number``, ``seed``, ``target`` (whether it is of the
        trigger's class), ``pixels``, ``overlap`` (intersection over union), ``recall``.
    """
    sizes = sorted({int(trigger.sum()), *(math.floor(budget * trigger.size + 0.5) for budget in budgets)} - {0})
    rows = []
    for pixels in sizes:
        patterns = np.stack([found.pixels(pair, pixels, seed) for pair in range(len(found.targets))])
        overlap, recall = trigger_overlap(patterns, trigger)
        rows.append(described(found, seed).assign(
            target=found.targets == target, pixels=pixels, overlap=overlap, recall=recall
        ))  # fmt: skip
    return pd.concat(rows, ignore_index=True)


def simplicity_table(found: PatternFile, budget: float, seed: int) -> pd.DataFrame:
    """How simple each pattern is, at one budget.

    Args:
        found: The patterns.
        budget: Share of the pixels.
        seed: Of the search.

    Returns:
        A row for each: ``class``, ``kind``, ``number``, ``seed``, and the numbers of
        :class:`methods.class_patterns.simplicity.Simplicity`.
    """
    numbers = [
        vars(simplicity(found.pixels(pair, budget, seed), found.canvases[pair])) for pair in range(len(found.targets))
    ]
    return described(found, seed).join(pd.DataFrame(numbers))


def described(found: PatternFile, seed: int) -> pd.DataFrame:
    """What each pattern is."""
    names = {"class": found.classes[found.targets], "kind": found.kinds, "number": found.numbers}
    return pd.DataFrame(names).assign(seed=seed)
