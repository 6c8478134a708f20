"""How a figure tells the lines of many sources of images apart, be they 4 or 24."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from report.figures.style import GREY, INK, typeset
from report.names import source_title
from stats.names import ORIGINAL, PRETRAINED

COLOURS = ("#0b6e69", "#c8553d", "#d99a2b", "#5b6fb5", "#8a5a9e", "#6fae4e", "#d67fa5", "#6d4c33")
START_COLOUR = "#7b8794"


def line_styles(sources: Sequence[str], ranking: pd.Series, titles: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    """How to draw the line of each source: each has its colour while there are few, else only the extremes have one.

    Args:
        sources: Their names; ``original`` and ``pretrained`` among them get the styles that they have everywhere.
        ranking: A number for each: where there are more sources than colours, those with the largest are coloured.
        titles: Display name of each classifier.

    Returns:
        Arguments of ``Axes.plot``; lines without a ``label`` of their own are in the background.
    """
    others = [name for name in sources if name not in (ORIGINAL, PRETRAINED)]
    shown = others
    if len(others) > len(COLOURS):
        largest = ranking[others].sort_values(ascending=False).index[:5]
        shown = [name for name in others if name in largest]
    styles: dict[str, dict[str, Any]] = {
        ORIGINAL: {"color": INK, "linewidth": 2.0, "zorder": 3},
        PRETRAINED: {"color": START_COLOUR, "linewidth": 1.6, "linestyle": "--", "zorder": 4},
    }
    for name in others:
        styles[name] = {"color": GREY, "linewidth": 0.7, "alpha": 0.7, "zorder": 1}
    for name, colour in zip(shown, COLOURS, strict=False):
        styles[name] = {"color": colour, "linewidth": 1.2, "zorder": 5}
    for name in (ORIGINAL, PRETRAINED, *shown):
        styles[name]["label"] = typeset(source_title(name, titles))
    return {name: styles[name] for name in sources}


def add_legend(figure: Figure, axes: Sequence[Axes], columns: int = 6) -> None:
    """One legend above all panels."""
    entries: dict[str, Any] = {}
    unnamed = False
    for ax in axes:
        handles, names = ax.get_legend_handles_labels()
        entries |= dict(zip(names, handles, strict=True))
        unnamed |= any(str(line.get_label()).startswith("_child") and line.get_color() == GREY for line in ax.lines)
    if unnamed:
        entries["other autoencoders"] = Line2D([], [], color=GREY, linewidth=0.7)
    rows = -(-len(entries) // columns)
    figure.legend(
        entries.values(), entries.keys(), frameon=False, fontsize=8, loc="lower center", bbox_to_anchor=(0.5, 1.0),
        ncols=-(-len(entries) // rows), columnspacing=1.4, handlelength=1.6,
    )  # fmt: skip
