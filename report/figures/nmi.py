"""Bars of normalised mutual information."""

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from report.figures.style import ACCENT, GREY, INK, PAGE, STYLE, name_columns


def nmi_bars(rows: pd.DataFrame, floor: float) -> Figure:
    """NMI of images and their reconstructions, and between different images' reconstructions.

    Args:
        rows: Columns ``intra_mean``, ``intra_std``, ``inter_mean``, ``inter_std``, a row per autoencoder.
        floor: nMI between different original images.
    """
    positions = np.arange(len(rows))
    room = min(0.9, max(0.3, PAGE / len(rows)))
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(max(6.1, 1.6 + room * len(rows)), 3))  # at least as wide as its legend
        ax = figure.subplots()
        bars = (
            ("intra", "image and its reconstruction", ACCENT, -0.19),
            ("inter", "two reconstructions", GREY, 0.19),
        )
        for kind, text, colour, offset in bars:
            ax.bar(
                positions + offset, rows[f"{kind}_mean"], 0.36, yerr=rows[f"{kind}_std"], color=colour, label=text,
                error_kw={"elinewidth": 0.8, "ecolor": INK, "capsize": 2},
            )  # fmt: skip
        ax.axhline(floor, color=INK, linewidth=0.8, linestyle="--", label="floor: two different originals")
        name_columns(ax, list(rows.index), room)
        ax.set_ylabel("normalised mutual information")
        ax.set_ylim(0, None)
        ax.legend(frameon=False, fontsize=8, loc="upper center", bbox_to_anchor=(0.5, 1.16), ncols=3, columnspacing=1)
    return figure
