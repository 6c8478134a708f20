"""Figures of class-wise patterns: pictures, success, transfer between classifiers, and costs of classes."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from report.figures.matrices import heat_map
from report.figures.style import ACCENT, GREY, INK, LETTER, PAGE, PALE, STYLE, name_columns, typeset
from report.names import spaced
from report.text import LONGEST, figure_text

ABSENT = (216, 204, 236)  # behind transparent pixels: a lilac, since photographs are often black, white or grey
MOST_NAMES = 30  # along an axis
MOST_CLASSES = 15
METHODS = {  # name, colour, line, width
    "pattern": ("pattern", ACCENT, "-", 1.8),
    "neural_cleanse": ("Neural Cleanse (learned colours)", "#7b6ca8", "-", 1.2),
    "saliency": ("most salient pixels", "#d08c2f", "--", 1.1),
    "random": ("random pixels", GREY, "-", 1.1),
    "centre": ("centre patch", INK, ":", 1.2),
}
CANVAS = "whole canvas (100 %)"
TICK_GAP = 1.9  # smallest ratio of two numbers that can both be named without overlap


def pattern_grid(pictures: Mapping[str, Sequence[npt.NDArray]], names: Sequence[str]) -> Figure:
    """Patterns, one row for each kind of canvas, one column for each class, on lilac where they are transparent.

    Args:
        pictures: By the row's name, RGBA uint8 ``(H, W, 4)`` for each class; an empty array leaves a gap.
        names: Of the classes.
    """
    side = min(0.9, (PAGE - 0.8) / max(1, len(names)))
    title = 0.2 + 0.75 * LETTER * min(LONGEST, max(map(len, names))) * 0.8
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(0.8 + side * len(names), title + side * len(pictures)))
        axes = figure.subplots(len(pictures), len(names), squeeze=False)
        wide, tall = figure.get_size_inches()
        figure.subplots_adjust(0.8 / wide, 0, 1, 1 - title / tall, wspace=0.06, hspace=0.06)
        for of_kind, (kind, shown) in zip(axes, pictures.items(), strict=True):
            for ax, rgba in zip(of_kind, shown, strict=True):
                ax.set(xticks=[], yticks=[])
                ax.spines[:].set_visible(False)
                if rgba.size:
                    ax.imshow(on_lilac(rgba), interpolation="nearest")
                else:
                    ax.text(0.5, 0.5, "–", ha="center", va="center", color=GREY, transform=ax.transAxes)
            of_kind[0].set_ylabel(kind, rotation=0, ha="right", va="center", fontsize=8, color=INK)
        turned = {"rotation": 45, "ha": "left", "va": "bottom", "rotation_mode": "anchor"}
        for ax, name in zip(axes[0], names, strict=True):
            ax.text(0.3, 1.06, figure_text(name), fontsize=8, color=INK, transform=ax.transAxes, **turned)
    return figure


def on_lilac(rgba: npt.NDArray) -> npt.NDArray:
    """A picture ``(H, W, 4)`` over an even lilac, uint8 ``(H, W, 3)``."""
    opacity = rgba[..., 3:].astype(float) / 255
    return (opacity * rgba[..., :3] + (1 - opacity) * np.array(ABSENT)).round().astype(np.uint8)


def budget_curves(table: pd.DataFrame) -> Figure:
    """Success against the share of the pixels, a panel for each classifier.

    Args:
        table: ``classifier``, ``method``, ``budget``, ``success``, ``lower``, ``upper``.
    """
    classifiers = table.groupby("classifier", sort=False)
    across = min(4, len(classifiers))
    down = math.ceil(len(classifiers) / across)
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(max(4.6, 2.1 * across + 0.7), 1.9 * down + 0.9))
        axes = figure.subplots(down, across, sharex=True, sharey=True, squeeze=False)
        for ax in axes.flatten()[len(classifiers) :]:
            ax.set_visible(False)
        for ax, (name, part) in zip(axes.flatten(), classifiers, strict=False):
            budget_panel(ax, part)
            ax.set_title(figure_text(name), color=INK)
        for ax in axes[:, 0]:
            ax.set_ylabel("success")
        figure.supxlabel("pixels of the pattern, share of all", fontsize=9)
        figure.tight_layout(h_pad=0.8, w_pad=0.6)
        style: Any = {"frameon": False, "fontsize": 8, "columnspacing": 1.2, "ncols": 3 if across > 2 else 2}
        entries = axes[0, 0].get_legend_handles_labels()
        figure.legend(*entries, loc="lower center", bbox_to_anchor=(0.5, 1.0), **style)
    return figure


def budget_panel(ax: Axes, table: pd.DataFrame) -> None:
    """The lines of one classifier."""
    for method, (text, colour, line, width) in METHODS.items():
        part = table[table["method"] == method].sort_values("budget")
        if part.empty:
            continue
        if method == "pattern":
            ax.fill_between(part["budget"], part["lower"], part["upper"], color=PALE, linewidth=0)
        marker = "o" if len(part) == 1 else None
        ax.plot(part["budget"], part["success"], line, color=colour, linewidth=width, label=text, marker=marker)
    whole = table[table["method"] == "canvas"]
    if len(whole):
        ax.axhline(float(whole["success"].iloc[0]), color=GREY, linewidth=0.8, linestyle="-.", label=CANVAS)
    budgets = sorted(table[table["method"] != "canvas"]["budget"].unique())
    ax.set(xscale="log", ylim=(-0.02, 1.02))
    ax.set_xticks(budgets, tick_names(budgets), fontsize=8)
    ax.minorticks_off()
    ax.set_yticks([0, 0.5, 1], ["0", "50", "100 %"])


def tick_names(budgets: Sequence[float]) -> list[str]:
    """Names of ascending ticks on a logarithmic axis; a tick too near to the next named one has none."""
    named = [math.inf]
    for budget in reversed(budgets):
        if named[-1] / budget > TICK_GAP:
            named.append(budget)
    return [f"{100 * budget:g} %" if budget in named else "" for budget in budgets]


def transfer_matrix(table: pd.DataFrame) -> Figure:
    """Heat map of the success of each classifier's patterns (rows) on every classifier (columns).

    Args:
        table: Rates in [0, 1], with display names.
    """
    cell = min(0.9, max(0.4, PAGE / len(table.columns)))
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(1.6 + cell * len(table.columns), 1.0 + 0.45 * len(table)))
        ax = figure.subplots()
        image = heat_map(ax, table, (0, 1), lambda value: "–" if math.isnan(value) else f"{100 * value:.0f}", size=9)
        name_columns(ax, list(table.columns), cell)
        ax.set(xlabel="tested on", ylabel="patterns of")
        figure.colorbar(image, ax=ax, label="success", fraction=0.05, pad=0.03).outline.set_visible(False)
    return figure


def source_matrices(tables: Mapping[str, pd.DataFrame]) -> Figure:
    """Heat maps: success of the patterns of each class (rows) on images of each class (columns).

    Args:
        tables: By classifier, rates in [0, 1]; NaN where no image is left.
    """
    first = next(iter(tables.values()))  # all tables have the same rows and columns
    across = min(3, len(tables))
    down = math.ceil(len(tables) / across)
    side = min(2.5, max(1.4, 0.16 * max(first.shape)))
    height = min(2.5, max(0.8, side * first.shape[0] / first.shape[1]))
    label = 0.75 * LETTER * min(LONGEST, max(len(str(name)) for name in first.index))
    with mpl.rc_context(STYLE):
        figure = Figure((side * across + label + 1.0, (height + label + 0.5) * down), layout="constrained")
        axes = figure.subplots(down, across, squeeze=False, sharey=True)
        for ax in axes.flatten()[len(tables) :]:
            ax.set_visible(False)
        for ax, (title, table) in zip(axes.flatten(), tables.items(), strict=False):
            image = heat_map(ax, table, (0, 1), None)
            ax.set_facecolor("#eceff2")  # seen where a cell is empty
            ax.set_title(figure_text(title), color=INK)
            for axis, names in ((ax.xaxis, list(table.columns)), (ax.yaxis, list(table.index))):
                every = math.ceil(len(names) / MOST_NAMES)
                axis.set_ticks(range(0, len(names), every), list(map(figure_text, names[::every])), fontsize=6)
            ax.tick_params(axis="x", rotation=90)
        axes[0, 0].set_ylabel("pattern of")
        figure.supxlabel("images of", fontsize=9)
        figure.colorbar(image, ax=axes, label="success", shrink=0.7, pad=0.02).outline.set_visible(False)
    return figure


def class_costs(table: pd.DataFrame) -> Figure:
    """The cost of each class in pixels, a row for each classifier; planted classes have a ring, flagged ones a name.

    Args:
        table: ``classifier``, ``class``, ``pixels``, ``median_pixels``, ``rank``, ``flagged``, ``planted``.
    """
    classifiers = table.groupby("classifier", sort=False)
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(PAGE, 0.75 + 0.42 * len(classifiers)))
        ax = figure.subplots()
        for row, (_, part) in enumerate(classifiers):
            ax.plot(part["pixels"], [row] * len(part), "o", color=GREY, markersize=4, alpha=0.7, markeredgewidth=0)
            ax.plot([part["median_pixels"].iloc[0]] * 2, [row - 0.28, row + 0.28], color=INK, linewidth=1)
            named = part[part["planted"] | part["flagged"]]
            # the cheapest class has a name if none is planted or flagged
            for record in (part.nsmallest(1, "rank") if named.empty else named).to_dict("records"):
                pixels, planted = record["pixels"], record["planted"]
                if planted:
                    ax.plot(pixels, row, "o", markerfacecolor="none", markeredgecolor=ACCENT, markersize=9)
                text = figure_text(spaced(record["class"])) + (", flagged" if record["flagged"] else "")
                style: Any = {"color": ACCENT if planted else INK, "fontsize": 7, "ha": "center", "va": "bottom"}
                ax.annotate(text, (pixels, row), (0, 6), textcoords="offset points", **style)
        what = "pixels with learned colours that turn half of the images into the class (line: median class)"
        ax.set(xscale="log", xlabel=what, ylim=(len(classifiers) - 0.5, -0.75))
        ax.set_yticks(range(len(classifiers)), [typeset(str(name)) for name, _ in classifiers])
        ax.tick_params(axis="y", length=0)
        ax.spines["left"].set_visible(False)
        figure.tight_layout()
    return figure
