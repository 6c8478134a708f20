"""What a pass over the images measured, as tables with a row for each number."""

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd

Floats = npt.NDArray[np.float64]
CHANNELS = ("L", "a", "b")


def lab_table(sources: Sequence[str], edges: Floats, counts: npt.NDArray[np.int64]) -> pd.DataFrame:
    """Share of pixels in each bin: columns ``source, channel, lower, upper, share``.

    Args:
        sources: Name of each row; rows of the same name, seeds of one autoencoder, are averaged.
        edges: Edges of the bins, ``(3, bins + 1)``.
        counts: Pixels, ``(R, 3, bins)``.
    """
    shares = counts / counts.sum(axis=-1, keepdims=True)
    tables = [
        pd.DataFrame({"source": source, "channel": channel, "lower": low[:-1], "upper": low[1:], "share": share})
        for source, row in zip(sources, shares, strict=True)
        for channel, low, share in zip(CHANNELS, edges, row, strict=True)
    ]
    return averaged(pd.concat(tables), ["source", "channel", "lower", "upper"])


def spectrum_table(sources: Sequence[str], frequencies: Floats, power: Floats) -> pd.DataFrame:
    """Mean power at each frequency: columns ``source, frequency, power``.

    Args:
        sources: As for :func:`lab_table`.
        frequencies: In cycles per pixel, ``(K,)``.
        power: ``(R, K)``.
    """
    tables = [
        pd.DataFrame({"source": source, "frequency": frequencies, "power": row})
        for source, row in zip(sources, power, strict=True)
    ]
    return averaged(pd.concat(tables), ["source", "frequency"])


def checkerboard_table(
    sources: Sequence[str], periods: Sequence[float], scores: Floats, strides: Mapping[str, Mapping[int, float]]
) -> pd.DataFrame:
    """Scores at the periods of every network's strides.

    Args:
        sources: As for :func:`lab_table`.
        periods: Those that were measured, in pixels of the images.
        scores: In decibel, ``(R, P, 3)``.
        strides: For each network the period of each of its strides.

    Returns:
        Columns ``source, network, stride, period, horizontal, vertical, diagonal, score`` (the mean of the three);
        scores are missing at periods that such images cannot show.
    """
    position = {period: place for place, period in enumerate(periods)}
    rows = []
    for source, found in zip(sources, scores, strict=True):
        for network, of_network in strides.items():
            for stride, period in of_network.items():
                values = found[position[period]] if period in position else np.full(3, np.nan)
                rows.append((source, network, stride, period, *values, values.mean()))
    columns = ["source", "network", "stride", "period", "horizontal", "vertical", "diagonal", "score"]
    return averaged(pd.DataFrame(rows, columns=columns), columns[:4])


def pair_table(names: Sequence[str], **values: Floats) -> pd.DataFrame:
    """Each pair of classifiers once.

    Args:
        names: The C classifiers.
        **values: Symmetric matrices ``(C, C)`` by the name of their column.

    Returns:
        Columns ``classifier, other`` and those of the values.
    """
    first, second = np.triu_indices(len(names), k=1)
    picked = {name: matrix[first, second] for name, matrix in values.items()}
    return pd.DataFrame({"classifier": np.array(names)[first], "other": np.array(names)[second]} | picked)


def averaged(table: pd.DataFrame, keys: list[str]) -> pd.DataFrame:
    """One row for each combination of keys, in order of appearance: the mean over the others."""
    return table.groupby(keys, sort=False, as_index=False).mean()
