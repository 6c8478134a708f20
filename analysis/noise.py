"""Accuracy as a function of noise, with intervals."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd

Floats = npt.NDArray[np.float64]
Z_95 = 1.959963984540054  # of a normal distribution, for 95 %


def accuracy_under_noise(
    right: npt.NDArray[np.bool_], sources: Sequence[str], classifiers: Sequence[str], epsilons: Sequence[float]
) -> pd.DataFrame:
    """The mean of per-image verdicts.

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


def wilson_interval(share: Floats, images: int) -> tuple[Floats, Floats]:
    """The 95 % interval of a share of so many independent images.

    For a mean over seeds, which share their images, it is a little too wide.

    Args:
        share: In [0, 1], any shape.
        images: How many.

    Source: Wilson 1927, "Probable inference, the law of succession, and statistical inference".
    """
    weight = Z_95**2 / images
    centre = (share + weight / 2) / (1 + weight)
    half = Z_95 / (1 + weight) * np.sqrt(share * (1 - share) / images + weight / (4 * images))
    return np.clip(centre - half, 0, 1), np.clip(centre + half, 0, 1)
