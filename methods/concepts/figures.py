"""Figures of concepts: their classes, their controls, their stability, and their removal."""

import math
from collections.abc import Sequence
from typing import Any

import matplotlib as mpl
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from methods.concepts.record import Floats
from report.figures.style import ACCENT, GREY, INK, PAGE, STYLE, name_columns, typeset
from report.text import figure_text
from report.words import measure

SECOND = "#d08c2f"  # beside the accent; the two differ for colour-blind readers, too
BAND = "#dfe5ea"  # the range of chance
MOST = 12  # concepts of a block in the figure of their removal


def class_map(table: pd.DataFrame, groups: Sequence[str] | None = None) -> Figure:
    """Heat map of the share of each concept's mass (columns) in each class (rows).

    Args:
        table: Shares in [0, 1]; rows are classes, columns are concepts, both in the order of the figure.
        groups: The super-class of each row, rows of a super-class together; named at the right, with lines between.
    """
    values = table.to_numpy(dtype=float)
    cell, row = min(0.42, PAGE / len(table.columns) * 0.8), min(0.24, max(0.115, 9 / len(table)))
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(2.4 + cell * len(table.columns), 0.9 + row * len(table)))
        ax = figure.subplots()
        heat_map(ax, values, max(float(values.max()), 1e-9), "share of the concept", aspect="auto")
        size = min(8.0, 72 * row * 0.8)
        names = [figure_text(str(name).replace("_", " ")) for name in table.index]
        ax.set_yticks(range(len(table)), names, fontsize=size)
        slanted = 90 if cell < 0.2 else 0
        ax.set_xticks(range(len(table.columns)), table.columns, fontsize=min(8.0, 72 * cell * 0.7), rotation=slanted)
        ax.set(xlabel="concept")
        if groups is not None:
            name_groups(ax, groups, size)
    return figure


def name_groups(ax: Axes, groups: Sequence[str], size: float) -> None:
    """White lines between groups of rows, and their names at the right."""
    starts = [row for row in range(len(groups)) if row == 0 or groups[row] != groups[row - 1]]
    for start, end in zip(starts, [*starts[1:], len(groups)], strict=True):
        if start:
            ax.axhline(start - 0.5, color="white", linewidth=2)
        middle, name = (start + end - 1) / 2, figure_text(groups[start].replace("_", " "))
        ax.text(1.01, middle, name, transform=ax.get_yaxis_transform(), va="center", fontsize=size, color=ACCENT)


def heat_map(ax: Axes, values: Floats, most: float, label: str, **look: Any) -> None:
    """Values from 0 to ``most`` as colours, with a colour bar above that is as high in every figure."""
    figure: Any = ax.figure
    image, tall = ax.imshow(values, cmap="GnBu", vmin=0, vmax=most, **look), figure.get_figheight()
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    bar = figure.colorbar(image, ax=ax, label=label, location="top", fraction=0.14 / tall, pad=0.12 / tall, aspect=40)
    bar.outline.set_visible(False)
    bar.ax.tick_params(labelsize=7, length=2)


def control_dots(table: pd.DataFrame) -> Figure:
    """The class entropy of concepts and of each control: of the concepts themselves, and within their clusters.

    Args:
        table: In the order of the rows: ``classifier``, ``control``, ``class_entropy``, ``null_lower``,
            ``null_upper``, ``cluster_entropy``; the first row of each classifier has its concepts.
    """
    parts = {str(name): part.reset_index(drop=True) for name, part in table.groupby("classifier", sort=False)}
    heights = [len(part) for part in parts.values()]
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(PAGE * 0.9, 0.75 + 0.25 * sum(heights) + 0.35 * len(parts)))
        grid = {"height_ratios": heights, "hspace": 1.5 / (sum(heights) / len(heights)), "wspace": 0.08}
        axes = figure.subplots(len(parts), 2, sharex="col", sharey="row", squeeze=False, gridspec_kw=grid)
        for (left, right), (name, part) in zip(axes, parts.items(), strict=True):
            rows = range(len(part))
            ends = part["null_lower"], part["null_upper"]
            left.hlines(rows, *ends, color="#c3ced9", linewidth=6, label="labels permuted (95 %)")
            for ax, column in ((left, "class_entropy"), (right, "cluster_entropy")):
                ax.plot(part[column], rows, "o", color=INK, markersize=5)
                ax.plot(part[column][:1], [0], "o", color=ACCENT, markersize=7)
                ax.axvline(float(part[column].iloc[0]), color=ACCENT, linewidth=0.8, linestyle=":")
                ax.tick_params(axis="y", length=0)
                ax.spines["left"].set_visible(False)
            left.set_yticks(rows, [figure_text(control) for control in part["control"]])
            left.get_yticklabels()[0].set(color=ACCENT, fontweight="bold")
            left.set_ylim(len(part) - 0.4, -0.6)
            left.set_title(typeset(name), color=INK, loc="left", fontweight="bold")
        axes[-1, 0].set_xlabel("class entropy of concepts\n(0: one class, 1: all equally)")
        axes[-1, 1].set_xlabel("class entropy within clusters\n(every image in one cluster)")
        handles, texts = axes[0, 0].get_legend_handles_labels()
        axes[0, 1].legend(handles, texts, frameon=False, fontsize=8, loc="lower right", bbox_to_anchor=(1.0, 1.0))
    return figure


def layer_entropies(table: pd.DataFrame) -> Figure:
    """Class entropy of concepts of single layers, in the order of the network, a panel for each classifier.

    Args:
        table: ``classifier``, ``layer``, ``class_entropy``, ``null_lower``, ``null_upper``; ``together``, the entropy
            of the concepts of all blocks; ``untrained``, that of the layer with random weights, or NaN.
    """
    parts = {str(name): part.reset_index(drop=True) for name, part in table.groupby("classifier", sort=False)}
    axes, figure = panels(list(parts), "class entropy", 3.1, 3.2)
    with mpl.rc_context(STYLE):
        for ax, part in zip(axes, parts.values(), strict=True):
            ends = part["null_lower"], part["null_upper"]
            ax.fill_between(part.index, *ends, color=BAND, linewidth=0, label="permuted labels (95 %)")
            ax.plot(part.index, part["class_entropy"], "o-", color=ACCENT, label="one layer alone", linewidth=1.4)
            if part["untrained"].notna().any():
                ax.plot(
                    part.index, part["untrained"], "o:", color=INK, mfc="white", label="random weights", linewidth=1
                )
            together = float(part["together"].iloc[0])
            ax.axhline(together, color=SECOND, linestyle="--", linewidth=1.2, label="all blocks together")
            name_columns(ax, [str(layer) for layer in part["layer"]], 2.2 / len(part))
            ax.margins(x=0.08)
        legend_above(figure, axes[0])
    return figure


def stability_matrix(matrix: Floats, concepts: Sequence[int]) -> Figure:
    """Heat map of the cosines of concepts (rows) with those of other starts, in the order of their matches.

    Args:
        matrix: In [0, 1], ``(k, k)``.
        concepts: Their numbers, ``(k,)``.
    """
    side = min(6.0, max(2.6, 0.17 * len(matrix)))
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(side + 0.6, side + 0.9))
        ax = figure.subplots()
        heat_map(ax, matrix, 1, "cosine (1: the same)", interpolation="nearest")
        every = math.ceil(len(matrix) / 25)
        shown = range(0, len(matrix), every)
        texts = [str(concepts[index]) for index in shown]
        ax.set_xticks(shown, texts, fontsize=7)
        ax.set_yticks(shown, texts, fontsize=7)
        ax.set(ylabel="concept", xlabel="matches of the concepts in other starts")
    return figure


def rank_curves(table: pd.DataFrame) -> Figure:
    """Error and stability against the number of concepts.

    Args:
        table: ``classifier``, ``k``, ``error``, ``heldout_error``, ``stability``, ``chance``.
    """
    parts = {str(name): part.sort_values("k") for name, part in table.groupby("classifier", sort=False)}
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(6.6, 2.3 * len(parts) + 0.5))
        axes = figure.subplots(len(parts), 2, squeeze=False, sharex=True)
        for (left, right), (name, part) in zip(axes, parts.items(), strict=True):
            left.plot(part["k"], part["error"], "o-", color=ACCENT, label="images factorised")
            hidden = "other half of columns,\nimages held out"
            left.plot(part["k"], part["heldout_error"], "s--", color=SECOND, label=hidden)
            right.plot(part["k"], part["stability"], "o-", color=ACCENT, label="matched concepts")
            right.plot(part["k"], part["chance"], ":", color=INK, label="chance")
            left.set(ylim=(0, None), ylabel="relative squared error")
            right.set(ylim=(0, 1.02), ylabel="cosine with other starts")
            left.set_title(typeset(name), color=INK, loc="left")
            for ax in (left, right):
                ax.set_xticks(part["k"], [str(k) for k in part["k"]])
                ax.legend(frameon=False, fontsize=8)
        for ax in axes[-1]:
            ax.set_xlabel("number of concepts")
        figure.tight_layout()
    return figure


def impurity_curves(table: pd.DataFrame) -> Figure:
    """Accuracy of the classifier by the share of neighbours with other labels.

    Args:
        table: ``classifier``, ``images`` (``fitted`` or ``heldout``), ``low``, ``high``, ``accuracy``, ``lower``,
            ``upper``.
    """
    parts = {str(name): part for name, part in table.groupby("classifier", sort=False)}
    kinds = {"fitted": ("images factorised", ACCENT, "o-", 0.0), "heldout": ("images held out", SECOND, "s--", 0.012)}
    axes, figure = panels(list(parts), measure(), 2.9, 2.6)
    with mpl.rc_context(STYLE):
        for ax, part in zip(axes, parts.values(), strict=True):
            for kind, (label, colour, line, shift) in kinds.items():
                bins = part[part["images"] == kind]
                middle = (bins["low"] + bins["high"]) / 2 + shift
                ax.plot(middle, bins["accuracy"], line, color=colour, label=label, markersize=4)
                ax.vlines(middle, bins["lower"], bins["upper"], color=colour, linewidth=1)
            ax.set(xlim=(0, 1), ylim=(-0.02, 1.02), xlabel="neighbours of other classes")
            ax.set_xticks([0, 0.5, 1], ["0", "50", "100 %"])
            ax.set_yticks([0, 0.5, 1], ["0", "50", "100 %"])
        legend_above(figure, axes[0])
    return figure


def importance_dots(table: pd.DataFrame) -> Figure:
    """The effect of removing a concept from a layer, beside removing as much from random channels.

    Args:
        table: Rows of one classifier: ``block``, ``concept``, ``logit_drop``, ``control_logit_drop``; each block has a
            panel with the :data:`MOST` concepts of the largest decrease.
    """
    shown = {str(block): part.nlargest(MOST, "logit_drop") for block, part in table.groupby("block", sort=False)}
    rows = max(map(len, shown.values()))
    axes, figure = panels(list(shown), "concept removed", 2.8, 0.8 + 0.2 * rows)
    with mpl.rc_context(STYLE):
        for ax, part in zip(axes, shown.values(), strict=True):
            positions = range(len(part))
            ax.hlines(positions, part["control_logit_drop"], part["logit_drop"], color=GREY, linewidth=1)
            drops = part["control_logit_drop"]
            ax.plot(drops, positions, "o", markersize=4.5, mfc="white", mec=INK, label="random channels")
            ax.plot(part["logit_drop"], positions, "o", color=ACCENT, markersize=5.5, label="the concept")
            ax.axvline(0, color=INK, linewidth=0.6)
            ax.set_yticks(positions, [str(concept) for concept in part["concept"]], fontsize=8)
            ax.set_ylim(rows - 0.5, -0.5)
            ax.tick_params(axis="y", length=0)
            ax.set_xlabel("decrease of the logit")
        legend_above(figure, axes[0])
    return figure


def panels(titles: Sequence[str], ylabel: str, width: float, height: float) -> tuple[list[Axes], Figure]:
    """A figure with a panel for each title, at most three in a row; further axes are hidden."""
    across = min(3, len(titles))
    down = math.ceil(len(titles) / across)
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(max(4.4, width * across), height * down), layout="constrained")
        axes: list[Axes] = list(figure.subplots(down, across, squeeze=False).flatten())
        for ax, title in zip(axes, titles, strict=False):
            ax.set_title(typeset(title), color=INK)
        axes[0].set_ylabel(ylabel)
    for ax in axes[len(titles) :]:
        ax.set_visible(False)
    return axes[: len(titles)], figure


def legend_above(figure: Figure, ax: Axes) -> None:
    """One legend for all panels."""
    handles, texts = ax.get_legend_handles_labels()
    figure.legend(
        handles, texts, frameon=False, fontsize=8, loc="outside upper center", ncols=2 if len(texts) > 3 else 3
    )
