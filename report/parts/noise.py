"""Accuracy under noise, with and without autoencoders."""

import html
import math
from collections.abc import Mapping
from pathlib import Path

import matplotlib as mpl
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from report.figures.source_lines import START_COLOUR, add_legend, classifier_name
from report.figures.study import ACCENT, INK, STYLE
from report.page import Part, Section
from stats.names import ORIGINAL, PRETRAINED

OWN = "own"
CURVES = {
    ORIGINAL: ("noisy image itself", {"color": INK, "linewidth": 1.4}),
    PRETRAINED: ("through $A_S$", {"color": START_COLOUR, "linewidth": 1.2, "linestyle": "--"}),
    OWN: ("through its own $A_i$", {"color": ACCENT, "linewidth": 1.6}),
}


def read(root: Path, labels: Mapping[str, str]) -> Part | None:
    """The part on noise, if ``task=noise_curves`` measured it."""
    paths = [root / "noise" / name for name in ("accuracy.csv", "predictions.npz")]
    if not paths[0].exists():
        return None
    table = pd.read_csv(paths[0])
    table["curve"] = table["source"].where(table["source"] != table["classifier"], OWN)
    table = table[table["curve"].isin(list(CURVES))]
    wide = table.pivot_table("accuracy", ["classifier", "curve"], "epsilon", sort=False)
    wide.index = pd.Index([f"{classifier_name(name, labels)}, {curve_name(curve)}" for name, curve in wide.index])
    section = Section(
        "Noise", noise_text(table, labels), "noise", {"Accuracy by strength of noise": wide.rename(columns=str)}
    )
    return Part([section], {"noise": draw_curves(table, labels)}, [path for path in paths if path.exists()])


def curve_name(curve: str) -> str:
    """Name of a curve for tables."""
    return {ORIGINAL: "itself", PRETRAINED: "through A_S", OWN: "through its own A_i"}[curve]


def draw_curves(table: pd.DataFrame, labels: Mapping[str, str]) -> Figure:
    """One small panel for each classifier.

    Args:
        table: As ``noise/accuracy.csv``, with the ``curve`` that a source is for its classifier.
        labels: What people call each classifier.
    """
    names = list(dict.fromkeys(table["classifier"]))
    columns = min(len(names), 4 if len(names) <= 8 else 6)
    rows = math.ceil(len(names) / columns)
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(max(3.6, 0.5 + 1.75 * columns), 0.5 + 1.45 * rows), layout="constrained")
        axes = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
        for ax, name in zip(axes.flat, names, strict=False):
            draw_panel(ax, table[table["classifier"] == name])
            ax.set_title(classifier_name(name, labels), fontsize=8, color=INK)
        for ax in axes.flat[len(names) :]:
            ax.set_visible(False)
        axes[0, 0].set_ylim(0, 1.02)
        axes[0, 0].set_yticks([0, 0.5, 1], ["0", "50 %", "100 %"])
        strongest = table["epsilon"].max()
        axes[0, 0].set_xticks([0, strongest / 2, strongest], ["0", f"{strongest / 2:g}", f"{strongest:g}"])
        figure.supxlabel("strength of the noise ε", fontsize=9)
        figure.supylabel("accuracy", fontsize=9)
        add_legend(figure, [axes[0, 0]])
    return figure


def draw_panel(ax: Axes, table: pd.DataFrame) -> None:
    """The three curves of one classifier, with their intervals."""
    for curve, (name, style) in CURVES.items():
        found = table[table["curve"] == curve].sort_values("epsilon")
        if not len(found):
            continue
        ax.plot(found["epsilon"], found["accuracy"], label=name, marker="o", markersize=2, **style)  # type: ignore[arg-type]
        ax.fill_between(found["epsilon"], found["lower"], found["upper"], color=style["color"], alpha=0.15, linewidth=0)


def noise_text(table: pd.DataFrame, labels: Mapping[str, str]) -> str:
    """How to read the curves, and for whom the own autoencoder helps."""
    wide = table.pivot_table("accuracy", ["classifier", "epsilon"], "curve", sort=False).reset_index()
    mean = wide[wide["epsilon"] > 0].groupby("classifier", sort=False)[[ORIGINAL, OWN]].mean()
    helped = [html.escape(classifier_name(str(name), labels)) for name in mean.index[mean[OWN] > mean[ORIGINAL]]]
    whom = "no classifier" if not helped else f"{len(helped)} of {len(mean)} classifiers ({', '.join(helped)})"
    return (
        "Every pixel of an image in [0, 1] got noise, uniform between −ε and ε, before anything looked at it. Each "
        "panel is one classifier: fed by the noisy image itself, by A<sub>S</sub>’s reconstruction of it, and by that "
        f"of its own A<sub>i</sub>. Bands are 95 % intervals (Wilson) over {int(table['images'].iloc[0])} images. On "
        f"average over all ε &gt; 0, the own autoencoder helps {whom}. Unless training images were augmented with "
        "noise, nothing was trained against it, and the curves say what the autoencoders happen to remove, not what "
        "could be removed."
    )
