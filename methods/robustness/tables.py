"""Accuracies under attack, with intervals, from predictions on single images."""

import itertools
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd

from stats.proportion import wilson_interval

WORST = "worst"
BEHIND_ONLY = ("transfer", "bpda")  # attacks that differ from PGD only behind a defence
Array = npt.NDArray[np.integer]


def with_intervals(rows: Sequence[tuple[object, ...]], columns: Sequence[str], images: int) -> pd.DataFrame:
    """A table whose last column is a count of right images, as accuracy, its 95 % interval and the number of images."""
    table = pd.DataFrame(list(rows), columns=[*columns, "right"])
    right = table.pop("right").to_numpy(dtype=np.int64)
    lower, upper = wilson_interval(right / images, images)
    return table.assign(accuracy=right / images, lower=lower, upper=upper, images=images)


def accuracy_rows(
    clean: Array,
    attacked: Mapping[str, Array],
    classifiers: Sequence[str],
    threats: Sequence[tuple[str, float]],
    defences: Sequence[str],
) -> pd.DataFrame:
    """Accuracy of each classifier behind each defence under each attack; at epsilon 0 nothing is changed.

    Args:
        clean: 0 or 1, ``(N, C, defences)``.
        attacked: By attack, 0 or 1, ``(N, C, T, defences)``. The first defence is none: there ``transfer`` and
            ``bpda`` are left out, because they equal ``pgd``.
        classifiers: Names of the C classifiers.
        threats: Norm and epsilon of the T threat models.
        defences: Names of the defences.
    """
    norms = dict.fromkeys(norm for norm, _ in threats)
    rows: list[tuple[object, ...]] = []
    for column, defence, (attack, right) in itertools.product(
        range(len(classifiers)), range(len(defences)), attacked.items()
    ):
        if defence == 0 and attack in BEHIND_ONLY:
            continue
        counts = {(norm, 0.0): clean[:, column, defence] for norm in norms}
        counts |= {threat: right[:, column, number, defence] for number, threat in enumerate(threats)}
        for norm, epsilon in sorted(counts, key=lambda threat: (list(norms).index(threat[0]), threat[1])):
            count = int(counts[norm, epsilon].sum(dtype=np.int64))
            rows.append((classifiers[column], defences[defence], attack, norm, epsilon, count))
    return with_intervals(rows, ["classifier", "defence", "attack", "norm", "epsilon"], len(clean))


def transfer_rows(transferred: Array, classifiers: Sequence[str], threats: Sequence[tuple[str, float]]) -> pd.DataFrame:
    """Accuracy of each classifier (``target``) on the images that PGD made on each (``source``).

    Args:
        transferred: 0 or 1, ``(N, T, C, C)``, sources before targets.
        classifiers: Names of the C classifiers.
        threats: Norm and epsilon of the T threat models.
    """
    counts = transferred.sum(axis=0, dtype=np.int64)
    rows = [
        (*threat, source, target, int(counts[number, i, j]))
        for number, threat in enumerate(threats)
        for i, source in enumerate(classifiers)
        for j, target in enumerate(classifiers)
    ]
    return with_intervals(rows, ["norm", "epsilon", "source", "target"], len(transferred))


def masking_rows(
    vanishing: Array,
    pgd: Array,
    worst: Array,
    classifiers: Sequence[str],
    threats: Sequence[tuple[str, float]],
    defences: Sequence[str],
) -> pd.DataFrame:
    """Signs that gradients mislead the attack: ``no_gradient`` and ``missed``, shares of all images.

    Args:
        vanishing: Whether the loss has no gradient at an image, ``(N, C, defences)``.
        pgd: Right under PGD with all gradients, ``(N, C, T, defences)``.
        worst: Right under every attack, ``(N, C, T, defences)``; where it is 0 and ``pgd`` is 1, another attack
            succeeded where PGD, which has all gradients, failed.
        classifiers: Names of the C classifiers.
        threats: Norm and epsilon of the T threat models.
        defences: Names of the defences.

    Source: arXiv 1802.00420, section 3.1.
    """
    no_gradient, missed = vanishing.mean(axis=0), (pgd.astype(bool) & ~worst.astype(bool)).mean(axis=0)
    rows = [
        (name, defence, *threat, no_gradient[column, position], missed[column, number, position])
        for column, name in enumerate(classifiers)
        for position, defence in enumerate(defences)
        for number, threat in enumerate(threats)
    ]
    return pd.DataFrame(rows, columns=["classifier", "defence", "norm", "epsilon", "no_gradient", "missed"])
