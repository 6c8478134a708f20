"""Tables of accuracies under attack, with intervals, from predictions on single images."""

import math
from collections.abc import Sequence
from itertools import product
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from methods.robustness.module import ATTACKS, DEFENCES, OWN, PLAIN, RobustnessResult, continues
from stats.proportion import wilson_interval

WORST = "worst"
FILES = ("accuracy.csv", "transfer.csv", "masking.csv", "findings.csv", "predictions.npz")
Bools = npt.NDArray[np.bool_]


def tables(result: RobustnessResult) -> dict[str, Any]:
    """The tables and the predictions per image, by the names of ``FILES``."""
    arrays = dict(vars(result))
    threats = arrays.pop("threats")
    arrays |= {"defences": DEFENCES, "attacks": ATTACKS, "worst": result.worst}
    arrays |= {"norms": [threat.norm for threat in threats], "epsilons": [threat.epsilon for threat in threats]}
    contents = (accuracy_table(result), transfer_table(result), masking_table(result), findings(result), arrays)
    return dict(zip(FILES, contents, strict=True))


def with_intervals(rows: Sequence[tuple[object, ...]], columns: Sequence[str], right: Bools) -> pd.DataFrame:
    """A table of accuracies with their 95 % intervals and the number of images.

    Args:
        rows: What is measured in each row of the table, in the order of ``right``.
        columns: Names of its columns.
        right: Predictions ``(N, ...)``; every position but the first axis is a row.
    """
    accuracy = right.sum(axis=0, dtype=np.int64).ravel() / len(right)
    lower, upper = wilson_interval(accuracy, len(right))
    table = pd.DataFrame(rows, columns=list(columns))
    return table.assign(accuracy=accuracy, lower=lower, upper=upper, images=len(right))


def accuracy_table(result: RobustnessResult) -> pd.DataFrame:
    """Accuracy of each classifier behind each defence under each attack; at epsilon 0 nothing is changed.

    Attacks that differ from PGD only behind a defence are left out for the classifier alone.
    """
    attacked = np.concatenate([result.right, result.worst[..., None]], axis=-1)
    unchanged = np.broadcast_to(result.clean[..., None], attacked[:, :, 0].shape)
    budgets, right = [], []
    for number, threat in enumerate(result.threats):
        if not continues(result.threats, number):  # every norm begins with the images as they are
            budgets.append((threat.norm, 0.0))
            right.append(unchanged)
        budgets.append((threat.norm, threat.epsilon))
        right.append(attacked[:, :, number])
    axes = product(result.classifiers, DEFENCES, (*ATTACKS, WORST), budgets)
    rows = [(name, defence, attack, *budget) for name, defence, attack, budget in axes]
    columns = ["classifier", "defence", "attack", "norm", "epsilon"]
    table = with_intervals(rows, columns, np.stack(right, axis=-1))
    same_as_pgd = (table["defence"] == PLAIN) & table["attack"].isin(["transfer", "bpda"])
    return table[~same_as_pgd].reset_index(drop=True)


def transfer_table(result: RobustnessResult) -> pd.DataFrame:
    """Accuracy of each classifier (``target``) on the images that PGD made on each (``source``)."""
    axes = product(result.threats, result.classifiers, result.classifiers)
    rows = [(threat.norm, threat.epsilon, source, target) for threat, source, target in axes]
    return with_intervals(rows, ["norm", "epsilon", "source", "target"], result.transferred)


def masking_table(result: RobustnessResult) -> pd.DataFrame:
    """Signs that gradients mislead the attack, shares of all images.

    Returns:
        Columns ``classifier``, ``defence``, ``norm``, ``epsilon``; ``no_gradient`` (the loss has no gradient at the
        image); ``missed`` (another attack succeeded where PGD, which has all gradients, failed).

    Source: arXiv 1802.00420, section 3.1.
    """
    no_gradient = result.vanishing.mean(axis=0)
    missed = (result.right[..., ATTACKS.index("pgd")] & ~result.worst).mean(axis=0)
    rows = [
        (name, defence, threat.norm, threat.epsilon, no_gradient[column, position], missed[column, number, position])
        for column, name in enumerate(result.classifiers)
        for position, defence in enumerate(DEFENCES)
        for number, threat in enumerate(result.threats)
    ]
    return pd.DataFrame(rows, columns=["classifier", "defence", "norm", "epsilon", "no_gradient", "missed"])


def findings(result: RobustnessResult) -> pd.DataFrame:
    """Mean accuracies at the middle epsilon of each norm, and the gain of classifiers behind their A_i.

    Args:
        result: The predictions.

    Returns:
        For each ``norm`` its middle ``epsilon`` and, averaged over classifiers: ``clean_plain``, ``worst_plain`` (the
        classifier alone), ``clean_own``, ``transfer_own``, ``worst_own`` (behind its A_i); ``gain`` (worst_own minus
        worst_plain) and ``ignorance`` (transfer_own minus worst_own), each with half the width of its 95 % interval
        (``gain_error``, ``ignorance_error``); ``missed``: share of images on which another attack succeeded and PGD
        had not; ``no_gradient``: share of images on which the loss has no gradient; ``on_itself`` and ``on_others``:
        accuracy on images that PGD made on the same and on another classifier (NaN where there is one classifier).
    """
    positions: dict[str, list[int]] = {}
    for position, threat in enumerate(result.threats):
        positions.setdefault(threat.norm, []).append(position)
    return pd.DataFrame([finding(result, of_norm[len(of_norm) // 2]) for of_norm in positions.values()])


def finding(result: RobustnessResult, threat: int) -> dict[str, Any]:
    """The numbers of the threat model at a position; see :func:`findings`."""
    plain, own = DEFENCES.index(PLAIN), DEFENCES.index(OWN)
    worst, right = result.worst[:, :, threat], result.right[:, :, threat]
    clean = result.clean.mean(axis=(0, 1))
    alone, known = worst[..., plain].mean(axis=1), worst[..., own].mean(axis=1)
    unknown = right[:, :, own, ATTACKS.index("transfer")].mean(axis=1)
    missed = right[:, :, own, ATTACKS.index("pgd")] & ~worst[..., own]
    transferred = result.transferred[:, threat].mean(axis=0)
    others = ~np.eye(len(transferred), dtype=bool)
    (gain, gain_error), (ignorance, ignorance_error) = paired(known - alone), paired(unknown - known)
    return {
        "norm": result.threats[threat].norm,
        "epsilon": result.threats[threat].epsilon,
        "clean_plain": clean[plain],
        "worst_plain": alone.mean(),
        "clean_own": clean[own],
        "transfer_own": unknown.mean(),
        "worst_own": known.mean(),
        "gain": gain,
        "gain_error": gain_error,
        "ignorance": ignorance,
        "ignorance_error": ignorance_error,
        "missed": missed.mean(),
        "no_gradient": result.vanishing[..., own].mean(),
        "on_itself": np.diag(transferred).mean(),
        "on_others": transferred[others].mean() if others.any() else math.nan,
    }


def paired(differences: npt.NDArray[np.float64]) -> tuple[float, float]:
    """Mean of differences, one for each image, and half the width of its 95 % interval."""
    # the images are the same on both sides, so the deviation of their differences is the one that counts
    error = differences.std(ddof=1) / math.sqrt(len(differences)) if len(differences) > 1 else math.inf
    return float(differences.mean()), float(1.96 * error)
