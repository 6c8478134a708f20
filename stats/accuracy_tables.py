"""Per-image results in, tables out."""

from collections.abc import Sequence

import numpy as np
import pandas as pd


def accuracy_table(correct: np.ndarray, rows: list[str], columns: list[str]) -> pd.DataFrame:
    """Share of images classified rightly.

    Args:
        correct: 0 or 1, shape ``(N, R, C)``.
        rows: Names of the R sources of images.
        columns: Names of the C classifiers.

    Returns:
        Accuracies in [0, 1], rows by columns, with the index named ``autoencoder``.
    """
    return pd.DataFrame(
        correct.mean(axis=0, dtype=np.float64), index=pd.Index(rows, name="autoencoder"), columns=columns
    )


def mean_over_seeds(table: pd.DataFrame, sources: Sequence[str]) -> pd.DataFrame:
    """One row for each classifier that autoencoders were fine-tuned through: the mean of those of its seeds.

    Args:
        table: A row for each autoencoder.
        sources: For each row the name of its mean; rows of the same source follow each other.
    """
    return table.groupby(pd.Index(sources, name="autoencoder"), sort=False).mean()


def nmi_table(intra: np.ndarray, inter: np.ndarray, rows: list[str]) -> pd.DataFrame:
    """Mean and standard deviation of the nMI, within and between images.

    Args:
        intra: nMI of each image and its reconstruction, shape ``(N, R)``.
        inter: nMI of pairs of different images' reconstructions, shape ``(N // 2, R)``.
        rows: Names of the R sources of images; the inter nMI of ``original`` is the floor.

    Returns:
        Columns ``intra_mean``, ``intra_std``, ``inter_mean``, ``inter_std``, with the index named ``autoencoder``.
    """
    tables = {"intra": pd.DataFrame(intra, columns=rows), "inter": pd.DataFrame(inter, columns=rows)}
    columns = {
        f"{name}_{statistic}": table.agg(statistic)  # of a single pair there is a mean, and no deviation
        for name, table in tables.items()
        for statistic in ("mean", "std")
    }
    return pd.DataFrame(columns).rename_axis("autoencoder")
