"""The jobs of a sweep as a figure."""

from collections.abc import Sequence

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from report.figures.style import ACCENT, GREY, INK, STYLE
from report.text import figure_text

COLOURS = (ACCENT, "#c2571a", "#5b4fa0", "#7a8b1f", "#b02a5b", GREY)


def sweep_figure(table: pd.DataFrame, number: str, factors: Sequence[str]) -> Figure:
    """A dot for each job: the first factor across, all others together in colour, a bar at each mean.

    Args:
        table: A row for each job.
        number: The column to show.
        factors: The columns that vary, the one with most values first; there may be none.
    """
    across, others = (factors[0], list(factors[1:])) if factors else ("task", [])
    table = table.dropna(subset=[number])
    groups = table[others].astype(str).agg(", ".join, axis=1) if others else pd.Series("", index=table.index)
    values, names = list(dict.fromkeys(table[across].astype(str))), list(dict.fromkeys(groups))
    width = 0.8 / max(1, len(names))
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(max(3.6, 1.6 + 0.5 * len(values) * max(1, len(names))), 3.2))
        ax = figure.subplots()
        for number_of_group, name in enumerate(names):
            colour = COLOURS[number_of_group % len(COLOURS)]
            for position, value in enumerate(values):
                dots = table[(groups == name) & (table[across].astype(str) == value)][number].to_numpy(dtype=float)
                x = position + (number_of_group - (len(names) - 1) / 2) * width
                spread = (np.arange(len(dots)) - (len(dots) - 1) / 2) * width * 0.15
                label = None if position else figure_text(name)
                ax.plot(x + spread, dots, "o", color=colour, markersize=4, alpha=0.8, label=label)
                if len(dots) > 1:
                    ax.hlines(dots.mean(), x - 0.35 * width, x + 0.35 * width, color=INK, linewidth=1.2)
        ax.set_xticks(range(len(values)), list(map(figure_text, values)), rotation=30 if len(values) > 4 else 0)
        ax.set_xlim(-0.6, len(values) - 0.4)
        ax.set_xlabel(figure_text(across))
        ax.set_ylabel(figure_text(number))
        if others:
            title = figure_text(", ".join(others))
            ax.legend(frameon=False, fontsize=8, title=title, loc="upper left", bbox_to_anchor=(1, 1))
    return figure
