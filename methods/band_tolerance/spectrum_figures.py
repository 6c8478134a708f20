"""Figures of the spectra of band tolerance, of their width, and of what passes of photographs."""

from collections.abc import Sequence

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import MultipleLocator

from methods.band_tolerance.figures import in_words, row_height
from methods.band_tolerance.transform import COLOURS, LOW_PASS, ORIENTATIONS
from report.figures.images import draw_image
from report.figures.matrices import MANY, heat_map, name_some
from report.figures.style import ACCENT, DEEP, FAINT, INK, LETTER, STYLE
from report.text import LONGEST, figure_text

BLOCKS = 12  # networks, beyond which their spectra are one row each
NUMBERED = 6  # networks, up to which the cells of their spectra have numbers
COLOUR_MAP = "GnBu"
COLOUR_NAMES = {"luminance": "luminance", "red_green": "red–green", "blue_yellow": "blue–yellow"}
HUMAN, WIDER = 1.0, (2.0, 4.0)  # octaves: people, and networks, in Subramanian et al., NeurIPS 2023
SMALLEST_PICTURE = 220  # pixels that a picture is wide, at least
DPI = 200  # of the files of figures: one pixel of a picture is one of the file


def band_names(table: pd.DataFrame, unit: str) -> list[str]:
    """The frequencies of every scale, fine to coarse, then the low-pass; unit ``cycles_per_image`` or ``…_pixel``."""
    rows = table.assign(low_pass=table["orientation"] == LOW_PASS).drop_duplicates(["level", "low_pass"])
    ends = zip(rows[f"low_{unit}"], rows[f"high_{unit}"], rows["low_pass"], strict=True)
    write = as_fraction if unit == "cycles_per_pixel" else "{:.3g}".format
    return [f"below {write(high)}" if low_pass else f"{write(low)}–{write(high)}" for low, high, low_pass in ends]


def as_fraction(frequency: float) -> str:
    """Cycles per pixel, which are powers of 1/2."""
    return f"1/{1 / frequency:.0f}"


def spectra(blocks: Sequence[tuple[str, str, pd.DataFrame]]) -> Figure:
    """Bits by scale (rows), colour and orientation (columns): a block for each network, all in one colour scale.

    Args:
        blocks: The name of each network, a note, and the rows of its spectrum, fine to coarse.
    """
    numbers = len(blocks) <= NUMBERED
    across = min(len(blocks), 2 if numbers else 3)
    down = -(-len(blocks) // across)
    octaves = max(table["level"].nunique() for _, _, table in blocks) + 1
    most = max(float(table["bits"].max()) for _, _, table in blocks)
    scale = PowerNorm(0.5, vmin=0, vmax=max(most, 1e-3))
    block = (3.7 if numbers else 2.3, (0.3 if numbers else 0.22) * octaves + 0.75)
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(1.6 + block[0] * across, 0.5 + block[1] * down), layout="constrained")
        axes = figure.subplots(down, across, squeeze=False)
        for number, ax in enumerate(axes.ravel()):
            if number >= len(blocks):
                ax.set_visible(False)
                continue
            name, note, table = blocks[number]
            draw_block(ax, table, scale, numbers)
            ax.set_title(f"{figure_text(name)}\n{note}" if note else figure_text(name), color=INK, fontsize=8, pad=4)
            if number % across:
                ax.set_yticklabels([])
        figure.supylabel("cycles per image (and per pixel)", fontsize=9)
        bar = figure.colorbar(ScalarMappable(scale, COLOUR_MAP), ax=axes, fraction=0.025, pad=0.01, aspect=30)
        bar.set_label("bits per image")
        bar.outline.set_visible(False)
    return figure


def draw_block(ax: Axes, table: pd.DataFrame, scale: PowerNorm, numbers: bool) -> None:
    """The spectrum of one network; the low-pass has one cell for each colour, as it has no orientation."""
    colours, levels = mpl.colormaps[COLOUR_MAP], sorted(table["level"].unique())
    for row in table.to_dict("records"):
        low_pass, column = row["orientation"] == LOW_PASS, 3 * COLOURS.index(row["colour"])
        left = column if low_pass else column + ORIENTATIONS.index(row["orientation"])
        height, wide, bits = len(levels) if low_pass else levels.index(row["level"]), 3 if low_pass else 1, row["bits"]
        ax.add_patch(Rectangle((left, height), wide, 1, facecolor=colours(scale(bits)), edgecolor="white", linewidth=1))
        if numbers:
            ink = "white" if scale(bits) > 0.6 else INK
            ax.text(left + wide / 2, height + 0.5, in_words(bits), ha="center", va="center", fontsize=7, color=ink)
    ax.set_xlim(0, 3 * len(COLOURS))
    ax.set_ylim(len(levels) + 1, 0)
    texts = zip(band_names(table, "cycles_per_image"), band_names(table, "cycles_per_pixel"), strict=True)
    ax.set_yticks(np.arange(len(levels) + 1) + 0.5, [f"{image} ({pixel})" for image, pixel in texts], fontsize=7)
    ax.set_xticks(np.arange(9) + 0.5, ["hor.", "vert.", "diag."] * 3 if numbers else list("hvdhvdhvd"), fontsize=7)
    for number, colour in enumerate(COLOURS):
        ax.annotate(COLOUR_NAMES[colour], (3 * number + 1.5, 0), (0, -16), fontsize=7, color=INK, ha="center", va="top",
                    xycoords=("data", "axes fraction"), textcoords="offset points")  # fmt: skip
        if number:
            ax.axvline(3 * number, color="white", linewidth=4)
    ax.tick_params(length=0, pad=2)
    ax.spines[:].set_visible(False)


def spectrum_rows(table: pd.DataFrame) -> Figure:
    """The share of each colour and scale in the bits of many networks: a row for each.

    Args:
        table: Shares; index names, columns pairs of a colour and a range of frequencies.
    """
    each, cell = row_height(len(table), 0.26), min(0.62, 9.5 / len(table.columns))
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(2.6 + cell * len(table.columns), each * len(table) + 1.6), layout="constrained")
        ax = figure.subplots()
        text = None if len(table) > MANY else lambda share: f"{100 * share:.0f}"
        draw_rows(ax, table, text)
        groups = table.columns.get_level_values(0).tolist()
        ax.set_xticks(range(len(groups)), table.columns.get_level_values(1).tolist(), rotation=90, fontsize=7)
        ax.set_xlabel("cycles per image")
        for number, colour in enumerate(dict.fromkeys(groups)):
            width = groups.count(colour)
            ax.text((number + 0.5) * width - 0.5, -0.7, COLOUR_NAMES[colour], ha="center", va="bottom", fontsize=8)
            if number:
                ax.axvline(number * width - 0.5, color="white", linewidth=4)
    return figure


def draw_rows(ax: Axes, table: pd.DataFrame, text: object) -> None:
    """Shares as coloured cells; of very many rows, some have names."""
    flat = table.set_axis(range(len(table.columns)), axis=1)
    most = float(np.nanmax(flat.to_numpy(dtype=float), initial=0))
    heat_map(ax, flat, (0, most or 1.0), text, 7)  # type: ignore[arg-type]
    if len(table) > MANY:
        name_some(ax, flat)


def octave_widths(shares: pd.DataFrame, widths: pd.DataFrame, retention: str) -> Figure:
    """The share of each octave in the bits of each network, and beside it how many octaves its spectrum is wide.

    Args:
        shares: A row for each network, from the top; a column for each range of frequencies, coarse to fine, the
            low-pass first.
        widths: ``bandwidth``, ``bandwidth_lower`` and ``bandwidth_upper`` in octaves, in the same rows.
        retention: At which the widths were measured, in words.
    """
    count, each, cell = len(shares), row_height(len(shares), 0.34), 0.66
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(1.9 + cell * len(shares.columns) + 3.6, each * count + 1.35), layout="constrained")
        left, right = figure.subplots(1, 2, width_ratios=[cell * len(shares.columns), 3.4], sharey=True)
        draw_rows(left, shares, None if count > MANY else lambda share: f"{100 * share:.0f} %")
        left.set_xticks(range(len(shares.columns)), list(shares.columns), fontsize=7)
        left.set_xlabel("cycles per image")
        left.axvline(0.5, color="white", linewidth=4)
        left.set_title("share of the bits", color=INK)
        for row in range(0, count, 2):
            right.axhspan(row - 0.5, row + 0.5, color=FAINT, linewidth=0, zorder=0)
        right.hlines(range(count), widths["bandwidth_lower"], widths["bandwidth_upper"], color=ACCENT, linewidth=1.6)
        right.plot(widths["bandwidth"], range(count), "o", color=ACCENT, markersize=4.5)
        right.axvline(HUMAN, color=INK, linewidth=1.4, label="people: one octave")
        right.axvspan(*WIDER, color=DEEP, alpha=0.45, linewidth=0, zorder=0, label="networks: two to four")
        widest = float(np.nanmax(widths["bandwidth_upper"].to_numpy(dtype=float), initial=WIDER[1]))
        right.set_xlim(0, widest + 0.3)
        right.xaxis.set_major_locator(MultipleLocator(1))
        right.set_ylim(count - 0.5, -0.5)
        right.set_title(f"width at half height, at {retention}", color=INK)
        right.set_xlabel("octaves")
        figure.legend(loc="outside lower right", title="Subramanian et al.:", title_fontsize=8, fontsize=8, ncols=2,
                      frameon=False)  # fmt: skip
        right.tick_params(axis="y", length=0, labelleft=False)
    return figure


def pictures(
    original: npt.NDArray[np.uint8],
    passed: npt.NDArray[np.uint8],
    retentions: npt.NDArray[np.float64],
    names: Sequence[str],
) -> Figure:
    """A photograph and what passes of it: a row for each network, one pixel of the file for each of a picture.

    Args:
        original: ``(3, H, W)``; small ones are enlarged by a whole number.
        passed: ``(networks, K, 3, H, W)``.
        retentions: Share of decisions kept that each picture stands for, ``(networks, K)``.
        names: Of the networks.
    """
    factor = -(-SMALLEST_PICTURE // original.shape[-1])
    high, wide = (factor * side / DPI for side in original.shape[-2:])
    gap, title, label = 0.04, 0.24, 0.3
    columns, rows = passed.shape[1] + 1, len(passed)
    size = (label + columns * (wide + gap), rows * (high + title))
    words = "% of decisions kept" if wide > 1.6 else "% kept"
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=size)
        for row in range(rows):
            bottom = size[1] - (row + 1) * (high + title)
            texts = ["original", *(f"{100 * kept:.3g} {words}" for kept in retentions[row])]
            for column, (text, image) in enumerate(zip(texts, [original, *passed[row]], strict=True)):
                left = label + column * (wide + gap)
                ax = figure.add_axes((left / size[0], bottom / size[1], wide / size[0], high / size[1]))
                draw_image(ax, image / 255)
                ax.set_title(text, color=INK, pad=3, fontsize=8)
            name = figure_text(names[row], min(LONGEST, max(4, int(high / LETTER))))
            figure.text(0.08 / size[0], (bottom + high / 2) / size[1], name, rotation=90, ha="left", va="center")
    return figure
