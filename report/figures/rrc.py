"""The relative rates of change in ascending order, with the thresholds at which they order the classifiers."""

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.collections import PolyCollection
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from report.figures.style import ACCENT, DEEP, FAINT, PALE, STYLE, typeset
from report.text import figure_text

FEW, MANY = 30, 100  # pairs: up to FEW they are named, beyond MANY their dots are small


def rrc_curve(intervals: Sequence[Mapping[str, Any]], rrc: pd.DataFrame, widest: int | None) -> Figure:
    """The relative rates of change in ascending order; thresholds at which the lattice is a chain are shaded.

    Args:
        intervals: Every range of thresholds, as in ``order/order.json``: ``from``, ``to``, ``chain``, ``order`` or the
            number of its ``groups``.
        rrc: Relative rates of change, rows autoencoders, columns classifiers; the diagonal, 1, is left out.
        widest: Which of the ranges is the widest with an order; it is shaded darkest.
    """
    values = rrc.to_numpy(dtype=float)
    pairs = sorted(
        (values[row, column], f"{typeset(str(rrc.index[row]))} → {figure_text(rrc.columns[column])}")
        for row, column in np.ndindex(values.shape)
        if row != column
    )
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(6.3, 3.2))
        ax = figure.subplots()
        shaded = [(number, interval) for number, interval in enumerate(intervals) if interval["chain"]]
        ends = [(interval["from"], interval["to"]) for _, interval in shaded]
        colours = [DEEP if number == widest else PALE if group_count(one) > 1 else FAINT for number, one in shaded]
        # one artist: a study of 200 classifiers has 40,000 ranges of thresholds
        spans = [[(0, low), (0, high), (1, high), (1, low)] for low, high in ends]
        ax.add_collection(PolyCollection(spans, facecolors=colours, linewidth=0, transform=ax.get_yaxis_transform()))
        ax.plot([value for value, _ in pairs], "o-", color=ACCENT, markersize=3.5 if len(pairs) <= MANY else 1.5,
                linewidth=1)  # fmt: skip
        if len(pairs) <= FEW:
            ax.set_xticks(range(len(pairs)), [name for _, name in pairs], rotation=60, ha="right", fontsize=7)
        else:
            ax.set_xlabel("pair of autoencoder and classifier, sorted")
        keys = [(DEEP, "widest order"), (PALE, "other orders"), (FAINT, "all classifiers equal")]
        patches = [Patch(color=colour, label=text) for colour, text in keys]
        ax.legend(handles=patches, frameon=False, fontsize=8, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=3)
        low, high = values.min(), max(1.0, values.max())
        span = max(high - low, 0.1)
        ax.set_ylim(max(0.0, low - 0.35 * span), high + 0.03 * span)
        ax.set_ylabel("relative rate of change")
    return figure


def group_count(interval: Mapping[str, Any]) -> int:
    """How many groups of classifiers an order has."""
    return interval["groups"] if interval["order"] is None else len(interval["order"])
