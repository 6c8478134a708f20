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

from stats.order import ThresholdInterval

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
PAGE = 8.6  # inches that the columns of a wide figure share, so that its text is readable on a page
MANY = 10  # sources of images, beyond which each has a row instead of a column
LETTER = 0.075  # inches, about, at the font size of the style


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
        width: Width of a column, in inches; each row is as high as its images are at that width. More than ten
            sources have a row each instead, in two blocks side by side.
    """
    if len(images) > MANY:
        return image_rows(images, row_names, height=0.35 * width + 0.4)
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
                draw_image(ax, image)
                if column == 0 and row_names:
                    ax.set_ylabel(row_names[row], fontsize=8, color=INK)
    return figure


def image_rows(images: Mapping[str, Sequence[Tensor]], names: Sequence[str], height: float) -> Figure:
    """The same images under many sources: one row each, the first half of the sources left of the second.

    Args:
        images: As for :func:`image_grid`.
        names: What each image shows, or nothing.
        height: Height of a row, in inches.
    """
    widths = [height * image.shape[-1] / image.shape[-2] for image in next(iter(images.values()))]
    rows, gap, title = -(-len(images) // 2), 0.03, 0.5 if names else 0.0
    label = 0.2 + 0.75 * LETTER * max(map(len, images))
    block = label + sum(widths) + gap * len(widths)
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(2 * block, rows * height + title))
        wide, tall = figure.get_size_inches()
        for place, (name, sources) in enumerate(images.items()):
            side, row = divmod(place, rows)
            left, bottom = side * block + label, tall - title - (row + 1) * height
            middle = (bottom + height / 2) / tall
            figure.text((left - 0.08) / wide, middle, typeset(name), ha="right", va="center", color=INK)
            for position, image in enumerate(sources):
                ax = figure.add_axes((left / wide, bottom / tall, widths[position] / wide, (height - gap) / tall))
                draw_image(ax, image)
                if row == 0 and names:
                    ax.set_title(names[position], fontsize=7, color=INK, pad=3)
                left += widths[position] + gap
    return figure


def draw_image(ax: Axes, image: Tensor) -> None:
    """An image ``(3, H, W)``, clamped to [0, 1], over the whole of some axes."""
    ax.imshow(image.clamp(0, 1).permute(1, 2, 0).numpy(), interpolation="nearest", aspect="auto")
    ax.set(xticks=[], yticks=[])
    ax.spines[:].set_visible(False)


def name_columns(ax: Axes, names: Sequence[str], room: float) -> None:
    """Names under columns: level where each fits into its column's ``room``, in inches, else slanted."""
    texts = [typeset(name) for name in names]
    if max(map(len, names), default=0) * LETTER <= room:
        ax.set_xticks(range(len(texts)), texts)
    else:
        ax.set_xticks(range(len(texts)), texts, rotation=50, ha="right", rotation_mode="anchor")


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
    cell = min(0.95, max(0.36, PAGE / len(table.columns)))
    row = min(0.42, max(0.26, PAGE / len(table.index)))
    digits, size = (1, 9) if cell > 0.5 else (0, 8)
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(1.5 + cell * len(table.columns), 0.9 + row * len(table.index)))
        ax = figure.subplots()
        image = ax.imshow(values, cmap="GnBu", vmin=0, vmax=1, aspect="auto")
        for (y, x), value in np.ndenumerate(values):
            colour = "white" if value > 0.6 else INK
            ax.text(x, y, f"{100 * value:.{digits}f}", ha="center", va="center", color=colour, fontsize=size)
        name_columns(ax, list(table.columns), cell)
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
        marker = 3.5 if len(pairs) <= 100 else 1.5
        ax.plot([value for value, _ in pairs], "o-", color=ACCENT, markersize=marker, linewidth=1)
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


def nmi_bars(rows: pd.DataFrame, floor: float) -> Figure:
    """NMI of images and their reconstructions, and between different images' reconstructions.

    Args:
        rows: Columns ``intra_mean``, ``intra_std``, ``inter_mean``, ``inter_std``, a row per autoencoder.
        floor: nMI between different original images.
    """
    places = np.arange(len(rows))
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
                places + offset, rows[f"{kind}_mean"], 0.36, yerr=rows[f"{kind}_std"], color=colour, label=text,
                error_kw={"elinewidth": 0.8, "ecolor": INK, "capsize": 2},
            )  # fmt: skip
        ax.axhline(floor, color=INK, linewidth=0.8, linestyle="--", label="floor: two different originals")
        name_columns(ax, list(rows.index), room)
        ax.set_ylabel("normalised mutual information")
        ax.set_ylim(0, None)
        ax.legend(frameon=False, fontsize=8, loc="upper center", bbox_to_anchor=(0.5, 1.16), ncols=3, columnspacing=1)
    return figure
