"""What autoencoders do to colours and to spatial frequencies, checkerboards among them."""

import math
from collections.abc import Mapping
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from report.figures.source_lines import add_legend, classifier_name, line_styles, source_name
from report.figures.study import INK, STYLE, typeset
from report.page import Part, Section, typeset_html
from stats.names import ORIGINAL, PRETRAINED

FILES = ("lab_histograms.csv", "lab_distances.csv", "spectra.csv", "checkerboard.csv")
CHANNELS = {"L": "lightness L", "a": "a: green – red", "b": "b: blue – yellow"}
RAREST = 0.01  # % of pixels per unit: colours below are not shown
MERGED = {"L": 8, "a": 2, "b": 2}  # bins drawn as one: pixels of 8 bits leave gaps between finer ones
COLOUR_TEXT = (
    "How the pixels of all test images are spread over the lightness and the two colour axes of CIE LAB, on a "
    "logarithmic scale, so that rare colours show. Where an autoencoder’s line ends before that of the originals, it "
    "has given up the strongest colours. The table has the mean shift of a pixel, in LAB units, that turns one "
    "histogram into the other (1-Wasserstein distance); about 2 is just visible side by side. The histograms ignore "
    "where a pixel lies: images can differ although their histograms agree."
)
SPECTRUM_TEXT = (
    "Left: mean power of the images at each spatial frequency, from slow changes to the finest grid of pixels (1/2). "
    "Right: the same relative to the originals. Below 0 dB an autoencoder has removed detail of that size, above it "
    "has added some. Images are taken as the classifiers get them, not cut to [0, 1]. The figure does not say whether "
    "added detail has anything to do with the image."
)


def read(root: Path, labels: Mapping[str, str]) -> Part | None:
    """The part on colour and frequency, if ``task=signal_statistics`` measured them."""
    folder = root / "signal_statistics"
    paths = [folder / name for name in FILES]
    if not all(path.exists() for path in paths):
        return None
    histograms, distances, spectra, boards = (pd.read_csv(path) for path in paths)
    far = distances[distances["other"] == ORIGINAL].set_index("source")[list(CHANNELS)]
    figures = {
        "lab_histograms": draw_histograms(histograms, far.mean(axis=1), labels),
        "spectra": draw_spectra(spectra, labels),
    }
    tables = {"Distances of LAB histograms": distance_table(distances, labels)}
    sections = [
        Section("Colours", COLOUR_TEXT, "lab_histograms", tables),
        Section("Spatial frequencies", SPECTRUM_TEXT, "spectra"),
    ]
    measured = boards.dropna(subset="score")
    if len(measured):
        figures["checkerboard"] = draw_checkerboards(measured, labels)
        tables = {"Strides, and their periods in pixels of these images": stride_table(boards, labels)}
        sections.append(Section("Checkerboards", checkerboard_text(measured, labels), "checkerboard", tables))
    return Part(sections, figures, paths)


def draw_histograms(table: pd.DataFrame, ranking: pd.Series, labels: Mapping[str, str]) -> Figure:
    """LAB histograms of every source of images.

    Args:
        table: As ``lab_histograms.csv``.
        ranking: Of each source, how far it is from the originals.
        labels: What people call each classifier.
    """
    sources = list(dict.fromkeys(table["source"]))
    styles = line_styles(sources, ranking, labels)
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


def distance_table(distances: pd.DataFrame, labels: Mapping[str, str]) -> pd.DataFrame:
    """LAB distances of each autoencoder's images, to the originals and to A_S, side by side."""
    wide = distances.pivot_table(list(CHANNELS), "source", "other", sort=False)
    order = [(channel, other) for other in (ORIGINAL, PRETRAINED) for channel in CHANNELS if (channel, other) in wide]
    names = [f"{channel}, to {source_name(other, labels)}" for channel, other in order]
    return wide[order].fillna(0.0).set_axis(names, axis=1).rename(index=lambda name: source_name(name, labels))


def draw_spectra(table: pd.DataFrame, labels: Mapping[str, str]) -> Figure:
    """Radial power spectra, and their ratios to the originals'."""
    power = table.pivot_table("power", "frequency", "source", sort=False)
    ratio = 10 * power.div(power[ORIGINAL], axis=0).map(math.log10)
    styles = line_styles(list(power.columns), ratio.abs().max(), labels)
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


def draw_checkerboards(table: pd.DataFrame, labels: Mapping[str, str]) -> Figure:
    """Heat map of the scores: a row for each source of images, a column for each period."""
    scores = table.drop_duplicates(["source", "period"]).pivot_table("score", "source", "period", sort=False)
    scores = scores[sorted(scores.columns)]
    values = scores.to_numpy()
    limit = max(6.0, float(np.nanmax(np.abs(values))))
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(2.2 + 0.75 * len(scores.columns), 0.9 + 0.26 * len(scores)), layout="constrained")
        ax = figure.subplots()
        image = ax.imshow(values, cmap="BrBG", vmin=-limit, vmax=limit, aspect="auto")
        for (row, column), value in np.ndenumerate(values):
            colour = "white" if abs(value) > 0.55 * limit else INK
            text = "–" if np.isnan(value) else f"{value:.1f}".replace("-", "−")
            ax.text(column, row, text, ha="center", va="center", fontsize=8, color=colour)
        ax.set_xticks(range(len(scores.columns)), [f"{period:.4g}" for period in scores.columns])
        ax.set_yticks(range(len(scores)), [typeset(source_name(str(name), labels)) for name in scores.index])
        ax.set_xlabel("period, pixels")
        ax.tick_params(length=0)
        ax.spines[:].set_visible(False)
        bar = figure.colorbar(image, ax=ax, label="score, dB", fraction=0.08, pad=0.04)
        bar.outline.set_visible(False)
    return figure


def stride_table(boards: pd.DataFrame, labels: Mapping[str, str]) -> pd.DataFrame:
    """The strides of each network, and which of their periods these images are too small or too coarse to show."""
    first = boards[boards["source"] == boards["source"].iloc[0]]
    rows = {}
    for network, found in first.groupby("network", sort=False):
        shown, hidden = found.dropna(subset="score"), found[found["score"].isna()]
        rows[classifier_name(str(network), labels)] = (
            ", ".join(map(str, found["stride"])),
            ", ".join(f"{period:.4g}" for period in shown["period"]) or "–",
            ", ".join(f"{period:.4g}" for period in hidden["period"]) or "–",
        )
    return pd.DataFrame.from_dict(rows, orient="index", columns=["strides", "periods", "not measurable here"])


def checkerboard_text(table: pd.DataFrame, labels: Mapping[str, str]) -> str:
    """How to read the scores, and the highest one."""
    best = table.sort_values("score").to_dict("records")[-1]
    originals = table[table["source"] == ORIGINAL]["score"]
    source = typeset_html(source_name(str(best["source"]), labels))
    return (
        "A layer of stride p treats every p-th pixel alike, and so can leave a pattern that repeats every p pixels. "
        "The score says how far the power at exactly that period stands out from that at neighbouring frequencies "
        "(mean of the horizontal, vertical and diagonal one, in decibel: 10 dB is ten times the power). Where nothing "
        f"stands out it is 0; the originals have {originals.min():.1f} to {originals.max():.1f} dB. Highest is "
        f"{best['score']:.1f} dB, for {source} at a period of {best['period']:.4g} pixels. Patterns whose sign follows "
        "the image are smeared over other frequencies and escape the score."
    )
