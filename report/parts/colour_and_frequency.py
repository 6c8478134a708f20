"""What autoencoders change in colours and in spatial frequencies, including checkerboard patterns."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from report.figures.matrices import heat_map
from report.figures.source_lines import add_legend, line_styles
from report.figures.style import LETTER, STYLE
from report.names import classifier_title, source_title
from report.page import Part
from report.tables import read_table
from report.text import LONGEST
from stats.names import ORIGINAL, PRETRAINED

TEMPLATE = "report/templates/colour_and_frequency.html.j2"
FILES = ("lab_histograms.csv", "lab_distances.csv", "spectra.csv", "checkerboard.csv")
CHANNELS = {"L": "lightness L", "a": "a: green – red", "b": "b: blue – yellow"}
USUAL = 16  # letters of a name, for which a figure has room
RAREST = 0.01  # % of pixels per unit: colours below are not shown
MERGED = {"L": 8, "a": 2, "b": 2}  # bins drawn as one: pixels of 8 bits leave gaps between finer ones


def read(root: Path, titles: Mapping[str, str]) -> Part | None:
    """The part on colour and frequency, if ``task=signal_statistics`` measured them."""
    folder = root / "signal_statistics"
    paths = [folder / name for name in FILES]
    if not all(path.exists() for path in paths):
        return None
    histograms, distances, spectra, boards = (read_table(path) for path in paths)
    far = distances[distances["other"] == ORIGINAL].set_index("source")[list(CHANNELS)]
    figures = {
        "lab_histograms": draw_histograms(histograms, far.mean(axis=1), titles),
        "spectra": draw_spectra(spectra, titles),
    }
    values: dict[str, Any] = {"distances": distance_table(distances, titles), "checkerboard": None}
    measured = boards.dropna(subset="score")
    if len(measured):
        figures["checkerboard"] = draw_checkerboards(measured, titles)
        best = measured.sort_values("score").iloc[-1]
        originals = measured[measured["source"] == ORIGINAL]["score"]
        values["checkerboard"] = {
            "strides": stride_table(boards, titles),
            "originals": (originals.min(), originals.max()),
            "highest": best["score"],
            "source": source_title(best["source"], titles),
            "period": best["period"],
        }
    return Part(TEMPLATE, values, figures, paths)


def draw_histograms(table: pd.DataFrame, ranking: pd.Series, titles: Mapping[str, str]) -> Figure:
    """LAB histograms of every source of images.

    Args:
        table: As ``lab_histograms.csv``.
        ranking: Of each source, how far it is from the originals.
        titles: Display name of each classifier.
    """
    sources = list(dict.fromkeys(table["source"]))
    styles = line_styles(sources, ranking, titles)
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(7.2, 2.6), layout="constrained")
        axes = figure.subplots(1, 3)
        for ax, (channel, name) in zip(axes, CHANNELS.items(), strict=True):
            density = densities(table[table["channel"] == channel], MERGED[channel])
            for source in sources:
                ax.semilogy(density.index, density[source].where(density[source] > 0), **styles[source])
            common = density.index[(density > RAREST).any(axis=1)]
            ax.set_xlim(common.min(), common.max())
            ax.set_ylim(RAREST, None)
            ax.set_xlabel(name)
        axes[0].set_ylabel("% of pixels per LAB unit")
        add_legend(figure, list(axes))
    return figure


def densities(table: pd.DataFrame, merged: int) -> pd.DataFrame:
    """Percent of pixels per LAB unit: a row for each bin (its centre), a column for each source."""
    bins = table.pivot_table("share", ["lower", "upper"], "source", sort=False)
    edges = np.array([*bins.index.get_level_values("lower"), bins.index.get_level_values("upper")[-1]])[::merged]
    shares = bins.groupby(np.arange(len(bins)) // merged).sum()
    density = 100 * shares.div(np.diff(edges), axis=0)
    return density.set_axis((edges[1:] + edges[:-1]) / 2, axis=0)


def distance_table(distances: pd.DataFrame, titles: Mapping[str, str]) -> pd.DataFrame:
    """LAB distances of each autoencoder's images, to the originals and to A_S, side by side."""
    wide = distances.pivot_table(list(CHANNELS), "source", "other", sort=False)
    order = [(channel, other) for other in (ORIGINAL, PRETRAINED) for channel in CHANNELS if (channel, other) in wide]
    names = [f"{channel}, to {source_title(other, titles)}" for channel, other in order]
    return wide[order].fillna(0.0).set_axis(names, axis=1).rename(index=lambda name: source_title(name, titles))


def draw_spectra(table: pd.DataFrame, titles: Mapping[str, str]) -> Figure:
    """Radial power spectra, and their ratios to the originals'."""
    power = table.pivot_table("power", "frequency", "source", sort=False)
    ratio = 10 * power.div(power[ORIGINAL], axis=0).map(math.log10)
    styles = line_styles(list(power.columns), ratio.abs().max(), titles)
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(7.2, 2.9), layout="constrained")
        left, right = figure.subplots(1, 2)
        for source in power.columns:
            left.loglog(power.index, power[source], **styles[source])
            right.semilogx(ratio.index, ratio[source], **styles[source])
        for ax in (left, right):
            label_frequencies(ax, power.index.min())
        left.set_ylabel("power")
        right.set_ylabel("relative to the originals, dB")
        add_legend(figure, [left])
    return figure


def label_frequencies(ax: Axes, lowest: float) -> None:
    """Ticks that say what they are: one wave in so many pixels."""
    periods = [period for period in (2, 4, 8, 16, 32, 64, 128) if 1 / period >= lowest]
    ax.set_xticks([1 / period for period in periods], [f"1/{period}" for period in periods])
    ax.minorticks_off()
    ax.set_xlabel("frequency, cycles per pixel")


def draw_checkerboards(table: pd.DataFrame, titles: Mapping[str, str]) -> Figure:
    """Heat map of the scores: a row for each source of images, a column for each period."""
    scores = table.drop_duplicates(["source", "period"]).pivot_table("score", "source", "period", sort=False)
    scores = scores[sorted(scores.columns)]
    named = scores.rename(index=lambda name: source_title(name, titles))
    limit = max(6.0, float(np.nanmax(np.abs(scores.to_numpy()))))
    label = LETTER * max(0, min(LONGEST, max(len(str(name)) for name in named.index)) - USUAL)
    size = (2.2 + label + 0.75 * len(scores.columns), 0.9 + 0.26 * len(scores))
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=size, layout="constrained")
        ax = figure.subplots()
        image = heat_map(ax, named, (-limit, limit), score_text, colours="BrBG")
        ax.set_xticks(range(len(scores.columns)), [f"{period:.4g}" for period in scores.columns])
        ax.set_xlabel("period, pixels")
        figure.colorbar(image, ax=ax, label="score, dB", fraction=0.08, pad=0.04).outline.set_visible(False)
    return figure


def score_text(score: float) -> str:
    """A score in its cell; a dash where it cannot be measured."""
    return "–" if math.isnan(score) else f"{score:.1f}".replace("-", "−")


def stride_table(boards: pd.DataFrame, titles: Mapping[str, str]) -> pd.DataFrame:
    """The strides of each network, and which of their periods these images are too small or too coarse to show."""
    first = boards[boards["source"] == boards["source"].iloc[0]]
    rows = {}
    for network, boards_of in first.groupby("network", sort=False):
        shown, hidden = boards_of.dropna(subset="score"), boards_of[boards_of["score"].isna()]
        rows[classifier_title(str(network), titles)] = (
            ", ".join(map(str, boards_of["stride"])),
            ", ".join(f"{period:.4g}" for period in shown["period"]) or "–",
            ", ".join(f"{period:.4g}" for period in hidden["period"]) or "–",
        )
    return pd.DataFrame.from_dict(rows, orient="index", columns=["strides", "periods", "not measurable here"])
