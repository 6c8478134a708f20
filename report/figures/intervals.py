"""Figures of intervals: dots with their ends, chances of a chain, ranks with several seeds."""

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from report.figures.style import ACCENT, DEEP, FAINT, GREY, INK, PALE, STYLE, typeset
from report.text import figure_text
from report.words import measure
from stats.names import OWN

CONTROL_COLOURS = ("#b7791f", "#8a5a83", "#c05640", "#5b7fa3")
MARKERS = ("o", "s", "D", "v", "^", "P", "X")


def forest(series: Mapping[str, pd.DataFrame]) -> Figure:
    """Accuracy of each classifier on several sources of images, as dots on their intervals.

    Args:
        series: For each source, by its name in the legend, columns ``estimate``, ``lower``, ``upper`` in [0, 1] with a
            row for each classifier; those of the first are drawn, top down.
    """
    names = list(next(iter(series.values())).index)
    offsets = np.linspace(-0.3, 0.3, len(series)) if len(series) > 1 else np.zeros(1)
    band = max(0.3, 0.085 * len(series))
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(6.3, 0.8 + band * len(names)))
        ax = figure.subplots()
        name_bands(ax, names)
        for (source, table), offset, look in zip(series.items(), offsets, looks(list(series)), strict=True):
            of_names, heights = table.loc[names], np.arange(len(names)) + offset
            ax.hlines(heights, of_names["lower"], of_names["upper"], color=look["color"], linewidth=1.2, zorder=2)
            label = "own $A_i$" if source == OWN else typeset(source)
            ax.plot(of_names["estimate"], heights, linestyle="none", markersize=3.8, label=label, zorder=3, **look)
        ax.set_xlabel(f"top-1 {measure()}")
        legend_above(figure, ax, len(series))
    return figure


def looks(sources: Sequence[str]) -> list[dict[str, Any]]:
    """Colour and marker of each source: each source has always the same."""
    known = {"originals": INK, "A_S": GREY, OWN: ACCENT}
    others = [source for source in sources if source not in known]
    colours = known | {name: CONTROL_COLOURS[k % len(CONTROL_COLOURS)] for k, name in enumerate(others)}
    return [{"color": colours[name], "marker": MARKERS[k % len(MARKERS)]} for k, name in enumerate(sources)]


def chain_chances(thresholds: pd.DataFrame, widest: tuple[float, float] | None) -> Figure:
    """The share of resamples that order the classifiers totally, against the threshold.

    Args:
        thresholds: Columns ``from``, ``to``, ``chain`` (whether the study itself is a chain there) and ``chain_share``,
            ascending.
        widest: The thresholds of the widest chain, shaded darkest.
    """
    edges = [*thresholds["from"], thresholds["to"].iloc[-1]]
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(6.3, 2.7))
        ax = figure.subplots()
        for row in thresholds[thresholds["chain"]].to_dict("records"):
            inside = widest is not None and np.isclose(row["from"], widest[0]) and np.isclose(row["to"], widest[1])
            ax.axvspan(row["from"], row["to"], color=DEEP if inside else PALE, linewidth=0, zorder=0)
        ax.stairs(thresholds["chain_share"], edges, color=ACCENT, linewidth=1.4, baseline=None)
        low = thresholds["to"].iloc[0]
        span = max(edges[-1] - low, 0.05)
        ax.set_xlim(max(0.0, low - 0.15 * span), edges[-1])
        ax.set_ylim(-0.03, 1.03)
        ax.set_xlabel("threshold of the relative rate of change")
        ax.set_ylabel("share of resamples\nthat are a chain")
        ax.fill_between([], [], color=DEEP, label="this study’s widest order")
        ax.fill_between([], [], color=PALE, label="this study’s other chains")
        legend_above(figure, ax, 2)
    return figure


def ranks_by_seed(ranks: pd.DataFrame) -> Figure:
    """Each classifier's rank with each seed (small dots) and the mean over seeds (bars).

    Args:
        ranks: A row for each seed, a column for each classifier, in the order in which they are drawn.
    """
    names = list(ranks.columns)
    shifts = np.linspace(-0.22, 0.22, len(ranks))  # equal ranks must not hide each other
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(6.3, 0.8 + 0.3 * len(names)))
        ax = figure.subplots()
        name_bands(ax, names)
        for shift, (_, row) in zip(shifts, ranks.iterrows(), strict=True):
            ax.plot(row, np.arange(len(names)) + shift, "o", color=GREY, markersize=3.8)
        ax.plot([], [], "o", color=GREY, markersize=3.8, label="one seed")
        means = ranks.mean(axis=0)
        ax.vlines(
            means, np.arange(len(names)) - 0.36, np.arange(len(names)) + 0.36, color=ACCENT, linewidth=2.2, label="mean"
        )
        ax.set_xlim(0.5, len(names) + 0.5)
        ax.xaxis.set_major_locator(MaxNLocator(integer=True))
        ax.set_xlabel("rank: 1 has the fewest sufficient autoencoders")
        legend_above(figure, ax, 2)
    return figure


def name_bands(ax: Axes, names: Sequence[str]) -> None:
    """A row for each name, from the top; every second one is shaded."""
    for row in range(0, len(names), 2):
        ax.axhspan(row - 0.5, row + 0.5, color=FAINT, linewidth=0, zorder=0)
    ax.set_yticks(range(len(names)), [figure_text(name) for name in names])
    ax.tick_params(axis="y", length=0)
    ax.set_ylim(len(names) - 0.5, -0.5)


def legend_above(figure: Figure, ax: Axes, entries: int) -> None:
    """A legend of one or two lines above the axes, as far from them in a tall figure as in a low one."""
    inches = figure.get_figheight() * 0.77  # of the axes
    columns = -(-entries // -(-entries // 4))  # of at most four, and rows of about one length
    position = (0.5, 1 + 0.04 / inches)
    ax.legend(frameon=False, fontsize=8, loc="lower center", bbox_to_anchor=position, ncols=columns)
