"""Figures of band tolerance: bits per image as bars, retention against bits, predictions against what was measured."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, NullFormatter

from report.figures.intervals import name_bands
from report.figures.style import ACCENT, DEEP, GREY, INK, PAGE, STYLE
from report.text import figure_text

PALETTE = (ACCENT, "#b7791f", "#7b6ca8", "#c05640", "#3f7cac")
PANELS = 40  # networks, beyond which their curves have no panel each
TALLEST = 20.0  # inches that the rows of a figure share
LOOKS: dict[str, dict[str, Any]] = {
    "water_filling": {"marker": "D", "color": "#b7791f", "markersize": 4},
    "even": {"marker": "s", "color": "#8a5a83", "markersize": 4.5},
    "seeds": {"marker": "|", "color": INK, "markersize": 10},
}
PREDICTIONS = {
    "predicted_rrc": "RRC predicted from common bands",
    "dominance": "share of the bits of j that i lets in",
}
FEW_PAIRS = 60  # up to which they have intervals
MARKS = {
    "water_filling": "control: bits spread by water-filling",
    "even": "control: bits spread evenly",
    "seeds": "fewest and most of all seeds",
}


def row_height(rows: int, most: float) -> float:
    """Height of a row in inches; that of many rows is a part of the tallest figure."""
    return min(most, TALLEST / max(rows, 1))


def in_words(bits: float) -> str:
    """Bits with as many digits as they deserve."""
    return f"{bits:,.0f}" if bits >= 10 else f"{bits:.1f}" if bits >= 0.05 else "0"


def logarithmic(axis: Axis, limits: tuple[float, float], most: int = 9) -> None:
    """Plain numbers at the powers of ten between the limits, at most so many."""
    low, high = np.log10(limits)
    powers = np.arange(math.ceil(low - 1e-9), math.floor(high + 1e-9) + 1)
    axis.set_major_locator(FixedLocator((10.0 ** powers[:: -(-len(powers) // most) or 1]).tolist()))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}" if value >= 1 else f"{value:g}"))
    axis.set_minor_formatter(NullFormatter())


def bits_bars(bars: pd.DataFrame, label: str, pixels: int) -> Figure:
    """Bits per image of each network as bars on a logarithmic axis, with intervals and controls.

    Args:
        bars: A row for each network, from the top: ``name``; whether it is a ``control``; ``bits``, ``lower`` and
            ``upper``, which may be 0 or infinite; ``smallest`` and ``largest``, the bits that were measured;
            ``seed_min`` and ``seed_max``; ``even`` and ``water_filling``, the bits of these controls, or NaN.
        label: Of the axis.
        pixels: Of an image.
    """
    low, high = bar_limits(bars)
    each = row_height(len(bars), 0.36)
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(7.4, each * len(bars) + 1.35), layout="constrained")
        ax = figure.subplots()
        ax.set_xscale("log")
        ax.set_xlim(low, high)
        name_bands(ax, bars["name"].tolist())
        ax.tick_params(axis="y", labelsize=min(9.0, 60 * each))
        marks = [draw_bar(ax, row, bar, low) for row, bar in enumerate(bars.to_dict("records"))]
        logarithmic(ax.xaxis, (low, high))
        ax.set_xlabel(label)
        top = ax.secondary_xaxis(
            "top", functions=(lambda bits: np.divide(bits, pixels), lambda rate: np.multiply(rate, pixels))
        )
        logarithmic(top.xaxis, (low / pixels, high / pixels))
        top.set_xlabel("bits per pixel")
        top.tick_params(labelsize=8)
        handles = [
            Line2D([], [], linestyle="none", label=text, **LOOKS[name])
            for name, text in MARKS.items()
            if any(name in drawn for drawn in marks)
        ]
        if handles:
            figure.legend(handles=handles, loc="outside lower center", frameon=False, fontsize=8, ncols=3)
    return figure


def bar_limits(bars: pd.DataFrame) -> tuple[float, float]:
    """Ends of the logarithmic axis: a power of ten below the networks' bits, and a place for words beyond the most."""
    networks = bars if bars["control"].all() else bars[~bars["control"]]
    bounds = networks[["bits", "lower", "upper", "even", "water_filling", "seed_min", "seed_max"]].to_numpy(dtype=float)
    outside = networks["bits"].isin([0, np.inf])
    values = np.concatenate([bounds.ravel(), networks.loc[outside, ["smallest", "largest"]].to_numpy().ravel()])
    values = values[np.isfinite(values) & (values > 0.01)]
    if not len(values):
        return 0.01, 10.0
    return 10 ** math.floor(math.log10(values.min() / 1.3)), 2.0 * float(values.max())


def draw_bar(ax: Axes, row: int, bar: Mapping[Any, Any], low: float) -> set[str]:
    """One bar with its interval and marks, and words where the bits are outside what was measured; which marks."""
    known = 0 < bar["bits"] < np.inf
    end = max(bar["bits"] if known else bar["largest"] if bar["bits"] > 0 else bar["smallest"], low)
    ax.barh(row, end - low, left=low, height=0.62, color=GREY if bar["control"] else DEEP, zorder=1)
    if known:
        ends = [max(bar["lower"], bar["smallest"], low), min(bar["upper"], bar["largest"])]
        ax.hlines(row, *ends, color=INK, linewidth=1.4, zorder=3)
        if np.isinf(bar["upper"]):
            ax.plot(ends[1], row, ">", color=INK, markersize=4, zorder=3)
    else:
        words = outside_words(bar["bits"], bar["smallest"], bar["largest"])
        ax.annotate(words, (end, row), (5, 3), textcoords="offset points", va="center", fontsize=8, color=INK)
    marks = {name: [bar[name]] for name in ("even", "water_filling")}
    marks["seeds"] = [bar["seed_min"], bar["seed_max"]] if bar["seed_min"] < bar["seed_max"] else []
    shown = {name: [value for value in values if low < value < np.inf] for name, values in marks.items()}
    for name, values in shown.items():
        ax.plot(
            values, [row + (0 if name == "seeds" else 0.22)] * len(values), linestyle="none", zorder=4, **LOOKS[name]
        )
    return {name for name, values in shown.items() if values}


def outside_words(bits: float, smallest: float, largest: float) -> str:
    """What is known of bits that are 0 or infinite because the measured curve ends before the retention."""
    return f"more than {in_words(largest)}" if bits > 0 else f"fewer than {in_words(max(smallest, 0.1))}"


def retention_curves(curves: Sequence[tuple[str, Mapping[str, pd.DataFrame]]], networks: int, target: float) -> Figure:
    """Share of decisions kept against bits per image: one line for each network, dotted if spread by water-filling.

    Args:
        curves: The name of each network with its ``fit`` and, unless it is a control, ``water_filling``: columns
            ``bits``, ``retention``, ``retention_lower`` and ``retention_upper``, ascending in bits; controls last.
        networks: How many are no controls.
        target: The retention at which bits are compared.
    """
    together = networks <= len(PALETTE) or networks > PANELS
    across = 1 if together else min(5, networks)
    down = 1 if together else -(-networks // across)
    lowest = min(float(curve["fit"]["retention_lower"].min()) for _, curve in curves[:networks])
    size = (7.4, 4.4) if together else (PAGE + 1, 1.5 * down + 0.9)
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=size, layout="constrained")
        axes = figure.subplots(down, across, sharex=True, sharey=True, squeeze=False).ravel()
        for number, (name, curve) in enumerate(curves[:networks]):
            ax = axes[0 if together else number]
            colour = PALETTE[number] if networks <= len(PALETTE) else ACCENT
            draw_curve(ax, curve, colour, figure_text(name) if together else "the network", networks > PANELS)
            if not together:
                ax.set_title(figure_text(name), color=INK, pad=3, fontsize=8)
        for ax in axes[: 1 if together else networks]:
            ax.axhline(target, color=GREY, linewidth=0.7, zorder=0)
            ax.annotate(
                f"{100 * target:g} %",
                (0, target),
                (2, -2),
                xycoords=("axes fraction", "data"),
                fontsize=7,
                textcoords="offset points",
                va="top",
                color=INK,
            )
            for name, curve in curves[networks:]:
                fit = curve["fit"]
                ax.plot(fit["bits"], fit["retention"], "--", color=GREY, linewidth=1.2, label=figure_text(name))
        for number, ax in enumerate(axes if not together else ()):
            ax.set_visible(number < networks)
            ax.tick_params(axis="x", labelbottom=number + across >= networks)
        axes[0].set_xscale("log")
        axes[0].set_xlim(*curve_limits([curve for _, curve in curves[:networks]]))
        logarithmic(axes[0].xaxis, axes[0].get_xlim(), 9 if together else 2)
        ticks = [share for share in (0, 0.25, 0.5, 0.75, 1) if share >= lowest - 0.25]
        axes[0].set_ylim(ticks[0], 1.03)
        axes[0].set_yticks(ticks, [f"{100 * share:.0f} %" for share in ticks])
        figure.supxlabel("bits per image", fontsize=9)
        figure.supylabel("decisions kept", fontsize=9)
        name_curves(figure, axes[0])
    return figure


def draw_curve(ax: Axes, curve: Mapping[str, pd.DataFrame], colour: str, name: str, thin: bool) -> None:
    """The line of one network with its interval, and of the same bits spread by water-filling."""
    fit = curve["fit"]
    if thin:
        ax.plot(fit["bits"], fit["retention"], color=colour, linewidth=0.6, alpha=0.5)
        return
    ax.fill_between(fit["bits"], fit["retention_lower"], fit["retention_upper"], color=colour, alpha=0.15, linewidth=0)
    ax.plot(fit["bits"], fit["retention"], "o-", color=colour, linewidth=1.4, markersize=3, label=name)
    if "water_filling" in curve:
        filled = curve["water_filling"]
        ax.plot(filled["bits"], filled["retention"], ":", color=colour, linewidth=1.3)


def curve_limits(curves: Sequence[Mapping[str, pd.DataFrame]]) -> tuple[float, float]:
    """Ends of the axis of bits: those of the fits; the ends of water-filling are beyond."""
    bits = np.concatenate([curve["fit"]["bits"].to_numpy(dtype=float) for curve in curves])
    low = max(float(bits.min()), 0.1)
    return low / 2, 2 * max(float(bits.max()), low)


def name_curves(figure: Figure, ax: Axes) -> None:
    """A legend above the panels."""
    handles, texts = ax.get_legend_handles_labels()
    if any(line.get_linestyle() == ":" for line in ax.get_lines()):
        handles.append(Line2D([], [], color=INK, linestyle=":"))
        texts.append("control: bits spread by water-filling")
    if handles:
        figure.legend(handles, texts, loc="outside upper center", frameon=False, fontsize=8, ncols=3)


def law_scatter(pairs: pd.DataFrame) -> Figure:
    """Measured relative rates of change against each prediction from the spectra: a dot for each ordered pair.

    Args:
        pairs: ``rrc``, ``rrc_lower``, ``rrc_upper`` and one or both of ``predicted_rrc`` and ``dominance``.
    """
    shown = [name for name in PREDICTIONS if pairs[name].notna().any()]
    few = len(pairs) <= FEW_PAIRS
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(0.4 + 3.5 * len(shown), 3.0), layout="constrained")
        for ax, name in zip(figure.subplots(1, len(shown), sharey=True, squeeze=False)[0], shown, strict=True):
            if few:
                ax.vlines(pairs[name], pairs["rrc_lower"], pairs["rrc_upper"], color=DEEP, linewidth=1.2)
            ax.plot(pairs[name], pairs["rrc"], "o", color=ACCENT, markersize=4 if few else 1.8)
            ax.set_xlabel(PREDICTIONS[name])
        figure.axes[0].set_ylabel("measured RRC")
    return figure
