"""Figures of a study, ready for a paper: numbers and images in, matplotlib figures out."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from torch import Tensor

from analysis.concept_lattice import Concept, cover_relation, formal_concepts
from analysis.order import ThresholdInterval

STYLE: Any = {
    "font.family": "sans-serif",
    "font.size": 9,
    "axes.titlesize": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.6,
    "pdf.fonttype": 42,  # text stays text
}
INK, ACCENT, PALE, GREY = "#1f2933", "#0b6e69", "#e3f1ef", "#9fb3c8"
DEEP, FAINT = "#b5dcd6", "#f5f7f8"


def save_figure(figure: Figure, png: Path, pdf: Path) -> None:
    """Write a figure as PNG (200 dpi) and PDF, with no date in either, so that equal figures are equal files."""
    figure.savefig(png, dpi=200, bbox_inches="tight", metadata={"Software": None})
    figure.savefig(
        pdf, dpi=200, bbox_inches="tight", metadata={"CreationDate": None, "Producer": None, "Creator": None}
    )


def image_grid(images: Mapping[str, Sequence[Tensor]], row_names: Sequence[str] = (), width: float = 1.1) -> Figure:
    """The same images under every source: one column each.

    Args:
        images: For each column, its images ``(3, H, W)``, clamped to [0, 1] here; the same shapes in every column.
        row_names: Name of each row, if they shall have one.
        width: Width of a column, in inches; each row is as high as its images are at that width.
    """
    ratios = [image.shape[-2] / image.shape[-1] for image in next(iter(images.values()))]
    title = 0.25
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(width * len(images), width * sum(ratios) + title))
        axes = figure.subplots(
            len(ratios),
            len(images),
            squeeze=False,
            gridspec_kw={"height_ratios": ratios, "wspace": 0.03, "hspace": 0.03},
        )
        figure.subplots_adjust(left=0, right=1, bottom=0, top=1 - title / figure.get_figheight())
        for column, (name, sources) in enumerate(images.items()):
            axes[0, column].set_title(typeset(name), color=INK, pad=4)
            for row, image in enumerate(sources):
                ax = axes[row, column]
                ax.imshow(image.clamp(0, 1).permute(1, 2, 0).numpy(), interpolation="nearest", aspect="auto")
                ax.set(xticks=[], yticks=[])
                ax.spines[:].set_visible(False)
                if column == 0 and row_names:
                    ax.set_ylabel(row_names[row], fontsize=8, color=INK)
    return figure


def typeset(name: str) -> str:
    """A name for a figure: ``A_S`` and its like get their subscript."""
    if not name.startswith("A_"):
        return name
    subscript = name.removeprefix("A_").replace("_", r"\_").replace(" ", "~").replace("$", "")
    return f"$A_{{\\mathrm{{{subscript}}}}}$"


def accuracy_matrix(table: pd.DataFrame, baselines: int) -> Figure:
    """Heat map of the accuracy of each classifier (columns) on each source of images (rows).

    Args:
        table: Accuracies in [0, 1], with names as they shall be read.
        baselines: How many rows at the top are no fine-tuned autoencoders; a line parts them from the others.
    """
    values = table.to_numpy(dtype=float)
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(1.5 + 0.95 * len(table.columns), 0.9 + 0.42 * len(table.index)))
        ax = figure.subplots()
        image = ax.imshow(values, cmap="GnBu", vmin=0, vmax=1, aspect="auto")
        for (row, column), value in np.ndenumerate(values):
            ax.text(column, row, f"{100 * value:.1f}", ha="center", va="center", color="white" if value > 0.6 else INK)
        ax.set_xticks(range(len(table.columns)), list(table.columns))
        ax.set_yticks(range(len(table.index)), [typeset(name) for name in table.index])
        ax.tick_params(length=0)
        ax.set_xlabel("classifier")
        ax.spines[:].set_visible(False)
        ax.axhline(baselines - 0.5, color="white", linewidth=3)
        bar = figure.colorbar(image, ax=ax, label="top-1 accuracy", fraction=0.05, pad=0.03)
        bar.outline.set_visible(False)
    return figure


def rrc_curve(intervals: Sequence[ThresholdInterval], rrc: pd.DataFrame, chain: ThresholdInterval | None) -> Figure:
    """The relative rates of change in ascending order, with the thresholds at which the lattice is a chain shaded.

    Args:
        intervals: Every threshold interval.
        rrc: Relative rates of change, rows autoencoders, columns classifiers; the diagonal, 1, is left out.
        chain: The widest chain, shaded darkest.
    """
    values = rrc.to_numpy(dtype=float)
    pairs = sorted(
        (values[row, column], f"{typeset(str(rrc.index[row]))} → {rrc.columns[column]}")
        for row, column in np.ndindex(values.shape)
        if row != column
    )
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(6.3, 3.2))
        ax = figure.subplots()
        for interval in intervals:
            if interval.order is not None:
                colour = DEEP if interval == chain else PALE if len(interval.order) > 1 else FAINT
                ax.axhspan(interval.lower, interval.upper, color=colour, linewidth=0)
        ax.plot([value for value, _ in pairs], "o-", color=ACCENT, markersize=3.5, linewidth=1)
        if len(pairs) <= 30:
            ax.set_xticks(range(len(pairs)), [name for _, name in pairs], rotation=60, ha="right", fontsize=7)
        else:
            ax.set_xlabel("pair of autoencoder and classifier, sorted")
        keys = [(DEEP, "widest order"), (PALE, "other orders"), (FAINT, "all served alike")]
        patches = [Patch(color=colour, label=text) for colour, text in keys]
        ax.legend(handles=patches, frameon=False, fontsize=8, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=3)
        low, high = values.min(), max(1.0, values.max())
        span = max(high - low, 0.1)
        ax.set_ylim(max(0.0, low - 0.35 * span), high + 0.03 * span)
        ax.set_ylabel("relative rate of change")
    return figure


def lattice(served: pd.DataFrame) -> Figure:
    """Hasse diagram of a concept lattice, with reduced labels.

    A classifier, named at the left of its node, is served by the autoencoders named at the right of that node and of
    every node above it. In a chain, the classifier that the fewest autoencoders serve is at the top.

    Args:
        served: Booleans: whether a classifier (row) is served by an autoencoder (column).
    """
    concepts = formal_concepts(served.to_numpy(dtype=bool))
    places = lattice_places(concepts)
    with mpl.rc_context(STYLE):
        wide = max(abs(x) for x, _ in places) * 2 + 1
        tall = max(y for _, y in places) + 1
        figure = Figure(figsize=(max(4.6, 1.9 * wide), 0.5 + 0.75 * tall))
        ax = figure.subplots()
        for upper, lower in cover_relation(concepts):
            ax.plot(*zip(places[upper], places[lower], strict=True), color=INK, linewidth=1, zorder=1)
        for concept, (x, y) in zip(concepts, places, strict=True):
            draw_concept(ax, concept, concepts, served, x, y)
        ax.set_xlim(-wide / 2 - 0.6, wide / 2 + 0.6)
        ax.set_ylim(-0.5, tall - 0.5)
        ax.axis("off")
    return figure


def draw_concept(
    ax: Axes, concept: Concept, concepts: Sequence[Concept], served: pd.DataFrame, x: float, y: float
) -> None:
    """A node with reduced labels: classifiers for which it is the lowest, autoencoders for which it is the highest."""
    own_objects = set(concept.extent)
    own_attributes = set(concept.intent)
    for other in concepts:
        if set(other.extent) < set(concept.extent):
            own_objects -= set(other.extent)
        if set(other.intent) < set(concept.intent):
            own_attributes -= set(other.intent)
    ax.plot(x, y, "o", color=ACCENT if own_objects else "white", markeredgecolor=ACCENT, markersize=9, zorder=2)
    if own_objects:
        ax.text(x - 0.14, y, ", ".join(served.index[sorted(own_objects)]), ha="right", va="center", color=INK)
    if own_attributes:
        ax.text(
            x + 0.14,
            y,
            ", ".join(typeset(name) for name in served.columns[sorted(own_attributes)]),
            ha="left",
            va="center",
            color=ACCENT,
        )


def lattice_places(concepts: Sequence[Concept]) -> list[tuple[float, float]]:
    """A place for each node: as high as its longest way down, and spread evenly among those of equal height."""
    covers = cover_relation(concepts)
    heights = [0] * len(concepts)
    for position in reversed(range(len(concepts))):
        heights[position] = max((heights[lower] + 1 for upper, lower in covers if upper == position), default=0)
    places: list[tuple[float, float]] = []
    for position, height in enumerate(heights):
        level = [other for other, value in enumerate(heights) if value == height]
        places.append((level.index(position) - (len(level) - 1) / 2, float(height)))
    return places


def nmi_bars(rows: pd.DataFrame, floor: float) -> Figure:
    """NMI of images and their reconstructions, and between different images' reconstructions.

    Args:
        rows: Columns ``intra_mean``, ``intra_std``, ``inter_mean``, ``inter_std``, a row per autoencoder.
        floor: nMI between different original images.
    """
    places = np.arange(len(rows))
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(1.6 + 0.9 * len(rows), 3))
        ax = figure.subplots()
        bars = (
            ("intra", "image and its reconstruction", ACCENT, -0.19),
            ("inter", "two reconstructions", GREY, 0.19),
        )
        for kind, text, colour, offset in bars:
            ax.bar(
                places + offset, rows[f"{kind}_mean"], 0.36, yerr=rows[f"{kind}_std"], color=colour, label=text,
                error_kw={"elinewidth": 0.8, "ecolor": INK, "capsize": 2},
            )  # fmt: skip
        ax.axhline(floor, color=INK, linewidth=0.8, linestyle="--", label="floor: two different originals")
        ax.set_xticks(places, [typeset(name) for name in rows.index])
        ax.set_ylabel("normalised mutual information")
        ax.set_ylim(0, None)
        ax.legend(frameon=False, fontsize=8, loc="upper center", bbox_to_anchor=(0.5, 1.16), ncols=3, columnspacing=1)
    return figure
