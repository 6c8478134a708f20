"""The classes on which an autoencoder changes accuracy most, and how similar classifiers are by three measures."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from report.figures.matrices import heat_map, slanted_columns
from report.figures.style import ACCENT, INK, STYLE
from report.names import classifier_title, shortened, spaced
from report.page import Part
from report.tables import read_table
from report.text import figure_text

TEMPLATE = "report/templates/agreement.html.j2"
FEW = 8  # classifiers, up to which cells hold their numbers
LOSS = "#c8553d"
LONGEST = 24  # letters of a title beside a heat map
MEASURES = {"kappa": "Cohen’s κ", "cka": "CKA", "rrc": "RRC, symmetrised"}


def read(root: Path, titles: Mapping[str, str]) -> Part | None:
    """The part on classes and agreement, if ``task=signal_statistics`` measured them."""
    names = ("classes", "class_changes", "similarity", "correlations")
    paths = [root / "signal_statistics" / f"{name}.csv" for name in names]
    if not all(path.exists() for path in paths):
        return None
    classes, changed, pairs, correlations = (read_table(path) for path in paths)
    values: dict[str, Any] = {"classes": None, "pairs": None}
    figures: dict[str, Figure] = {}
    if len(changed):
        figures["class_changes"] = draw_changes(changed, titles)
        values["classes"] = {
            "fewest": int(classes["images"].min()),
            "most": int(classes["images"].max()),
            "table": change_table(changed, titles),
        }
    measures = [name for name in MEASURES if pairs[name].notna().any()]
    if measures:
        figures["agreement"] = draw_matrices({name: square(pairs, name) for name in measures}, titles)
        values["pairs"] = named_pairs(pairs, measures, titles)
        values |= {"measures": measures, "names": MEASURES, "correlations": correlations.dropna().to_dict("records")}
    return Part(TEMPLATE, values, figures, paths) if figures else None


def draw_changes(table: pd.DataFrame, titles: Mapping[str, str]) -> Figure:
    """Bars of the largest gains and losses, a panel for each classifier."""
    names = list(dict.fromkeys(table["classifier"]))
    columns = min(len(names), 2 if len(names) <= FEW else 4)
    rows = math.ceil(len(names) / columns)
    most = table.groupby("classifier").size().max()
    limit = 100 * table["change"].abs().max() * 1.4
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(0.4 + 3.1 * columns, 0.5 + 1.35 * rows), layout="constrained")
        axes = figure.subplots(rows, columns, sharex=True, squeeze=False)
        for ax, name in zip(axes.flat, names, strict=False):
            of_classifier = table[table["classifier"] == name]
            change, heights = 100 * of_classifier["change"].to_numpy(), -np.arange(len(of_classifier))
            ax.barh(heights, change, color=[ACCENT if value > 0 else LOSS for value in change], height=0.7)
            for height, value in zip(heights, change, strict=True):
                side = "left" if value > 0 else "right"
                ax.text(value, height, f" {value:+.0f} ".replace("-", "−"), ha=side, va="center", fontsize=7, color=INK)
            ax.set_yticks(heights, [figure_text(shortened(value, 22)) for value in of_classifier["name"]], fontsize=7)
            ax.axvline(0, color=INK, linewidth=0.6)
            ax.set_title(figure_text(classifier_title(name, titles)), fontsize=8, color=INK)
            ax.set_xlim(-limit, limit)
            ax.set_ylim(-most + 0.4, 0.6)
            ax.tick_params(axis="y", length=0)
            ax.spines["left"].set_visible(False)
        for ax in axes.flat[len(names) :]:
            ax.set_visible(False)
        figure.supxlabel("own $A_i$ minus originals, percentage points of a class’s images", fontsize=9)
    return figure


def change_table(table: pd.DataFrame, titles: Mapping[str, str]) -> pd.DataFrame:
    """The numbers behind the bars."""
    pairs = zip(table["classifier"], table["name"], strict=True)
    rows = [f"{classifier_title(classifier, titles)}, {spaced(name)}" for classifier, name in pairs]
    columns = {"images": "images", "original": "originals", "pretrained": "through A_S", "own": "through own A_i"}
    return table[list(columns)].rename(columns=columns).set_axis(rows, axis=0)


def square(pairs: pd.DataFrame, value: str) -> pd.DataFrame:
    """A symmetric table with 1 on the diagonal from one row for each pair; NaN for pairs that were not measured."""
    names = list(dict.fromkeys([*pairs["classifier"], *pairs["other"]]))
    table = pd.DataFrame(np.where(np.eye(len(names)), 1.0, np.nan), names, names)
    for first, second, number in zip(pairs["classifier"], pairs["other"], pairs[value], strict=True):
        table.loc[first, second] = table.loc[second, first] = number
    return table


def draw_matrices(measures: Mapping[str, pd.DataFrame], titles: Mapping[str, str]) -> Figure:
    """Heat maps side by side; each has its own colour scale, from its lowest pair to 1."""
    count = len(next(iter(measures.values())))
    side = max(1.9, min(0.19 * count, 4.6)) if count > FEW else 2.1
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(0.9 + (side + 0.7) * len(measures), side + 1.1), layout="constrained")
        axes = figure.subplots(1, len(measures), squeeze=False)[0]
        for ax, (key, table) in zip(axes, measures.items(), strict=True):
            low, high = float(np.nanmin(table.to_numpy())), max(1.0, float(np.nanmax(table.to_numpy())))
            named = table.rename(index=lambda name: brief(classifier_title(name, titles)),
                                 columns=lambda name: brief(classifier_title(name, titles)))  # fmt: skip
            image = heat_map(ax, named, (low - 0.2 * (high - low), high), cell_text if count <= FEW else None, 7,
                             square=True)  # fmt: skip
            slanted_columns(ax, named)
            ax.tick_params(labelsize=8 if count <= FEW else 6, labelleft=ax is axes[0])
            ax.set_title(MEASURES[key])
            figure.colorbar(image, ax=ax, fraction=0.046, pad=0.03).outline.set_visible(False)
    return figure


def brief(title: str) -> str:
    """A title that leaves room for small heat maps beside it."""
    return title if len(title) <= LONGEST else f"{title[: LONGEST - 1]}…"


def cell_text(value: float) -> str:
    """A similarity in its cell; nothing where it was not measured."""
    return "" if math.isnan(value) else f"{value:.2f}"


def named_pairs(pairs: pd.DataFrame, measures: list[str], titles: Mapping[str, str]) -> pd.DataFrame:
    """The pairs with their measures, the most similar by the first measure first."""
    ranked = pairs.dropna(subset=measures, how="all").sort_values(measures[0], ascending=False)
    sides = [ranked[side].map(lambda name: classifier_title(name, titles)) for side in ("classifier", "other")]
    return ranked[measures].set_axis(sides[0] + " – " + sides[1], axis=0).rename(columns=MEASURES)
