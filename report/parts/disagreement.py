"""The report's part on compressed classifiers: how often, where and on which images they differ from their parents."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from report.figures.matrices import heat_map
from report.figures.style import ACCENT, GREY, INK, PAGE, STYLE, name_columns
from report.names import shortened, source_titles, spaced
from report.page import Part
from report.provenance import is_outdated
from report.tables import read_table
from report.text import figure_text
from stats.names import ORIGINAL, OWN, PRETRAINED

TEMPLATE = "report/templates/disagreement.html.j2"
CLASSES = 20  # columns of the figure of classes, at most
SOURCES = {
    ORIGINAL: ("originals", INK, "o"),
    PRETRAINED: ("A$_S$’s images", GREY, "s"),
    OWN: ("own A$_i$", ACCENT, "D"),
}


def read(root: Path, titles: Mapping[str, str]) -> Part | None:
    """The part of a study in which ``task=disagreement`` has run.

    Args:
        root: The study's folder.
        titles: Display name of each classifier.
    """
    names = ("disagreement.csv", "classes.csv", "exemplars.csv", "exemplars.npz")
    files = [root / "disagreement" / name for name in names]
    if not all(path.exists() for path in files):
        return None
    table, classes = read_table(files[0]), read_table(files[1], index="class")
    exemplars = read_table(files[2], index="parent").rename(index=titles, columns=spaced)
    with np.load(files[3]) as file:
        pictures = {name: file[name] for name in file.files}
    mean, shares = classes["mean"], classes.drop(columns="mean").rename(columns=titles)
    figures = {
        "disagreement": disagreement_figure(table, titles),
        "disagreement_classes": classes_figure(shares.head(CLASSES).T),
    }
    if len(pictures["images"]):
        figures["disagreement_exemplars"] = exemplars_figure(pictures, titles)
    originals = table[table["source"] == ORIGINAL].replace({"child": titles, "parent": titles})
    ascending = originals.sort_values("share", kind="stable").to_dict("records")
    values = {
        "outdated": is_outdated(root, "disagreement"),
        "least": ascending[0],
        "most": ascending[-1],
        "pairs": len(ascending),
        "table": named_table(table, titles),
        "shares": shares,
        "most_affected": mean.index[0],
        "largest": mean.iloc[0],
        "middle": mean.iloc[len(mean) // 2],
        "shown": CLASSES,
        "exemplars": exemplars,
    }
    return Part(TEMPLATE, values, figures, files)


def named_table(table: pd.DataFrame, titles: Mapping[str, str]) -> pd.DataFrame:
    """The disagreements with the names that people read."""
    sources = source_titles(titles) | {OWN: "each its own A_i"}
    named = table.replace({"child": titles, "parent": titles, "source": sources})
    return named.rename(columns=spaced).set_index("child")


def disagreement_figure(table: pd.DataFrame, titles: Mapping[str, str]) -> Figure:
    """Share of images on which each child disagrees with its parent, for each source of images."""
    parents = dict(zip(table["child"], table["parent"], strict=True))
    children = list(parents)
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(6.3, 0.9 + 0.42 * len(children)))
        ax = figure.subplots()
        for offset, (source, (text, colour, marker)) in zip((-0.22, 0, 0.22), SOURCES.items(), strict=True):
            part = table[table["source"] == source]
            y = np.array([children.index(child) for child in part["child"]]) + offset
            spread = [part["share"] - part["low"], part["high"] - part["share"]]
            ax.errorbar(
                part["share"], y, xerr=spread, fmt=marker, color=colour, markersize=4.5, elinewidth=0.8, label=text,
                clip_on=False,
            )  # fmt: skip
        shown = {name: figure_text(titles[name]) for pair in parents.items() for name in pair}
        names = [f"{shown[child]}  (of {shown[parent]})" for child, parent in parents.items()]
        ax.set_yticks(range(len(children)), names)
        ax.set_ylim(len(children) - 0.5, -0.5)
        ax.set_xlim(0, None)
        ax.xaxis.set_major_formatter(PercentFormatter(1))
        ax.set_xlabel("images for which child and parent predict different classes")
        ax.tick_params(axis="y", length=0)
        ax.legend(frameon=False, fontsize=8, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=3)
    return figure


def classes_figure(shares: pd.DataFrame) -> Figure:
    """Heat map of disagreement: children as rows, classes as columns."""
    cell = min(0.6, max(0.4, PAGE / len(shares.columns)))
    top = max(float(np.nanmax(shares.to_numpy(dtype=float))), 0.01)
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(1.5 + cell * len(shares.columns), 1.0 + 0.3 * len(shares.index)))
        ax = figure.subplots()
        heat_map(ax, shares, (0, top), lambda share: f"{100 * share:.0f}")
        name_columns(ax, [spaced(name) for name in shares.columns], cell)
        ax.set_title("% of a class’s images", loc="left", color=INK)
    return figure


def exemplars_figure(pictures: Mapping[str, Any], titles: Mapping[str, str]) -> Figure:
    """The exemplars' pictures, six in a row."""
    columns, images = 6, pictures["images"]
    rows = -(-len(images) // columns)
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(columns * 1.55, rows * 1.95))
        axes = figure.subplots(rows, columns, squeeze=False)
        figure.subplots_adjust(left=0, right=1, bottom=0, top=1 - 0.5 / figure.get_figheight(), hspace=0.42)
        for ax in axes.flat:
            ax.axis("off")
        for number, (ax, image) in enumerate(zip(axes.flat, images, strict=False)):
            ax.imshow(image.transpose(1, 2, 0), interpolation="nearest")
            label, theirs, ours = (str(pictures[key][number]) for key in ("label", "parent_sees", "children_see"))
            lines = [label, f"{titles[str(pictures['of'][number])]}: {theirs}", f"compressed: {ours}"]
            ax.set_title("\n".join(figure_text(shortened(line, 26)) for line in lines), fontsize=7, color=INK, pad=3)
    return figure
