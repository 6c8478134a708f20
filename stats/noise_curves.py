"""Accuracy as a function of noise, with intervals."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd

from stats.proportion import wilson_interval


def accuracy_under_noise(
    right: npt.NDArray[np.bool_], sources: Sequence[str], classifiers: Sequence[str], epsilons: Sequence[float]
) -> pd.DataFrame:
    """The mean of per-image predictions.

    Args:
        right: Whether an image was classified rightly, ``(N, E, K)``.
        sources: For each of the K curves what it is fed by; curves alike but for the seed of A_i are averaged.
        classifiers: For each curve its classifier.
        epsilons: Strengths of the noise.

    Returns:
        Columns ``source, classifier, epsilon, accuracy, images``, and ``lower, upper``: 95 % intervals over images.
    """
    accuracy = right.mean(axis=0, dtype=np.float64)
    tables = [
        pd.DataFrame({"source": source, "classifier": name, "epsilon": epsilons, "accuracy": accuracy[:, curve]})
        for curve, (source, name) in enumerate(zip(sources, classifiers, strict=True))
    ]
    keys = ["source", "classifier", "epsilon"]
    table = pd.concat(tables).groupby(keys, sort=False, as_index=False).mean()
    lower, upper = wilson_interval(table["accuracy"].to_numpy(), len(right))
    return table.assign(images=len(right), lower=lower, upper=upper)
