"""Accuracy under noise, with and without autoencoders."""

import math
from collections.abc import Mapping
from pathlib import Path

import matplotlib as mpl
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from report.figures.source_lines import START_COLOUR, add_legend
from report.figures.style import ACCENT, INK, STYLE
from report.names import classifier_title
from report.page import Part
from report.tables import read_table
from report.text import figure_text
from report.words import measure
from stats.names import ORIGINAL, PRETRAINED

TEMPLATE = "report/templates/noise.html.j2"
OWN = "own"
CURVES = {
    ORIGINAL: ("noisy image itself", {"color": INK, "linewidth": 1.4}),
    PRETRAINED: ("through $A_S$", {"color": START_COLOUR, "linewidth": 1.2, "linestyle": "--"}),
    OWN: ("through its own $A_i$", {"color": ACCENT, "linewidth": 1.6}),
}
ROWS = {ORIGINAL: "itself", PRETRAINED: "through A_S", OWN: "through its own A_i"}


def read(root: Path, titles: Mapping[str, str]) -> Part | None:
    """The part on noise, if ``task=noise_curves`` measured it."""
    paths = [root / "noise" / name for name in (f"{measure()}.csv", "means.csv", "predictions.npz")]
    if not all(path.exists() for path in paths[:2]):
        return None
    table, means = (read_table(path) for path in paths[:2])
    table["curve"] = table["source"].where(table["source"] != table["classifier"], OWN)
    table = table[table["curve"].isin(list(CURVES))]
    wide = table.pivot_table("accuracy", ["classifier", "curve"], "epsilon", sort=False)
    wide.index = pd.Index([f"{classifier_title(name, titles)}, {ROWS[curve]}" for name, curve in wide.index])
    helped = means.loc[means[OWN] > means[ORIGINAL], "classifier"]
    values = {
        "table": wide.rename(columns=str),
        "images": int(table["images"].iloc[0]),
        "classifiers": len(means),
        "helped": [classifier_title(str(name), titles) for name in helped],
    }
    return Part(TEMPLATE, values, {"noise": draw_curves(table, titles)}, [path for path in paths if path.exists()])


def draw_curves(table: pd.DataFrame, titles: Mapping[str, str]) -> Figure:
    """One small panel for each classifier.

    Args:
        table: As ``noise/accuracy.csv``, with the ``curve`` that a source is for its classifier.
        titles: Display name of each classifier.
    """
    names = list(dict.fromkeys(table["classifier"]))
    columns = min(len(names), 4 if len(names) <= 8 else 6)
    rows = math.ceil(len(names) / columns)
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(max(3.6, 0.5 + 1.75 * columns), 0.5 + 1.45 * rows), layout="constrained")
        axes = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
        for ax, name in zip(axes.flat, names, strict=False):
            draw_panel(ax, table[table["classifier"] == name])
            ax.set_title(figure_text(classifier_title(name, titles)), fontsize=8, color=INK)
        for ax in axes.flat[len(names) :]:
            ax.set_visible(False)
        axes[0, 0].set_ylim(0, 1.02)
        axes[0, 0].set_yticks([0, 0.5, 1], ["0", "50 %", "100 %"])
        strongest = table["epsilon"].max()
        axes[0, 0].set_xticks([0, strongest / 2, strongest], ["0", f"{strongest / 2:g}", f"{strongest:g}"])
        figure.supxlabel("strength of the noise ε", fontsize=9)
        figure.supylabel(measure(), fontsize=9)
        add_legend(figure, [axes[0, 0]])
    return figure


def draw_panel(ax: Axes, table: pd.DataFrame) -> None:
    """The three curves of one classifier, with their intervals."""
    for curve, (name, style) in CURVES.items():
        points = table[table["curve"] == curve].sort_values("epsilon")
        if not len(points):
            continue
        ax.plot(points["epsilon"], points["accuracy"], label=name, marker="o", markersize=2, **style)  # type: ignore[arg-type]
        ax.fill_between(points["epsilon"], points["lower"], points["upper"], color=style["color"], alpha=0.15,
                        linewidth=0)  # fmt: skip
