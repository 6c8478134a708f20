"""The report's part on compressed classifiers: how often, where and on which images they differ from their parents."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from report.figures.study import ACCENT, GREY, INK, PAGE, STYLE, name_columns
from report.page import Part, Section
from report.study import row_names
from stats.disagreement import OWN, children_of, disagreements, disagreements_by_class, exemplars
from stats.names import ORIGINAL, PRETRAINED
from stats.predictions import Predictions
from study.predictions import read_predictions

CLASSES = 20  # columns of the figure of classes, at most
SOURCES = {
    ORIGINAL: ("originals", INK, "o"),
    PRETRAINED: ("A$_S$’s images", GREY, "s"),
    OWN: ("own A$_i$", ACCENT, "D"),
}


def read(root: Path, labels: Mapping[str, str]) -> Part | None:
    """What compression changed in a study; ``None`` without compressed classifiers or without a cross evaluation.

    Args:
        root: The study's folder.
        labels: What people call each classifier.
    """
    path = root / "cross_evaluation" / "predictions.npz"
    if not path.exists():
        return None
    predictions = read_predictions(path)
    parents = read_parents(root, [name for name in predictions.columns if name in labels])
    if not parents or not len(predictions.index):
        return None
    table = disagreements(predictions, parents)
    classes = class_table(predictions, parents)
    pictures = read_pictures(root / "disagreement" / "exemplars.npz", predictions, parents)
    names = None if pictures is None else pictures["classes"].tolist()
    classes.columns = [names[label] if names else f"class {label}" for label in classes.columns]
    classes = classes.rename(index=labels)
    figures = {
        "disagreement": disagreement_figure(table, labels),
        "disagreement_classes": classes_figure(most_affected(classes)),
    }
    sections = [overview(table, labels, row_names(labels)), classes_section(classes)]
    if pictures is not None and len(pictures["images"]):
        figures["disagreement_exemplars"] = exemplars_figure(pictures, labels)
    sections.append(exemplars_section(predictions, parents, labels, "disagreement_exemplars" in figures))
    files = [path] + [file for file in sorted((root / "disagreement").glob("*.*")) if file.suffix in (".csv", ".npz")]
    return Part(sections, figures, files)


def read_parents(root: Path, classifiers: list[str]) -> dict[str, str]:
    """Each compressed classifier's parent, as its provenance says; only pairs of which both were evaluated."""
    parents = {}
    for name in classifiers:
        path = root / "classifiers" / f"{name}.json"
        if path.exists():
            settings = json.loads(path.read_text(encoding="utf-8"))["settings"].get("classifier", {})
            parent = (settings.get("compressed") or {}).get("parent")
            if parent in classifiers:
                parents[name] = parent
    return parents


def read_pictures(path: Path, predictions: Predictions, parents: Mapping[str, str]) -> dict[str, Any] | None:
    """The exemplars' pictures, if they are there and still exemplars of these predictions."""
    if not path.exists():
        return None
    with np.load(path) as file:
        pictures = {name: file[name] for name in file.files}
    for parent, children in children_of(parents).items():
        found = predictions.index[exemplars(predictions, children, parent)]
        if not np.isin(pictures["index"][pictures["of"] == parent], found).all():
            return None
    return pictures


def class_table(predictions: Predictions, parents: Mapping[str, str]) -> pd.DataFrame:
    """Share of the originals of each right class (columns) on which each child (rows) disagrees with its parent."""
    shares = {child: disagreements_by_class(predictions, child, parent)["share"] for child, parent in parents.items()}
    return pd.DataFrame(shares).T


def most_affected(classes: pd.DataFrame) -> pd.DataFrame:
    """The classes with the largest mean share, in falling order; of equal ones the first."""
    order = classes.mean().sort_values(ascending=False, kind="stable").index
    return classes[order[:CLASSES]]


def overview(table: pd.DataFrame, labels: Mapping[str, str], rows: Mapping[str, str]) -> Section:
    """How often they disagree."""
    originals = table[table["source"] == ORIGINAL]
    records = originals.sort_values("share", kind="stable").to_dict("records")
    least, most = records[0], records[-1]
    spread = f"On the originals, {labels[most['child']]} and {labels[most['parent']]} disagree on {most['share']:.1%}"
    if len(originals) > 1:
        spread += f", {labels[least['child']]} and {labels[least['parent']]} on {least['share']:.1%}"
    shown = table.assign(
        child=table["child"].map(labels),
        parent=table["parent"].map(labels),
        source=table["source"].map(dict(rows) | {OWN: "each its own A_i"}),
    )
    shown.columns = [name.replace("_", " ") for name in shown.columns]
    return Section(
        "What compression changes",
        "A compressed classifier can be right as often as the one that it was made from and still see another class "
        f"in some images. {spread} of the {most['images']} test images. Dots are shares with their 95 % intervals; "
        "at “own A<sub>i</sub>” each of the two looks at the images of its own autoencoder, so what is counted there "
        "is also the difference of the two autoencoders. In the table, p is McNemar’s exact test of whether the two "
        "are equally often right, one test per row, not adjusted for their number.",
        "disagreement",
        {"Compressed classifiers and their parents": shown.set_index("child")},
    )


def classes_section(classes: pd.DataFrame) -> Section:
    """Which classes they disagree on."""
    shown, mean = most_affected(classes), classes.mean()
    text = (
        "Share of a class’s original test images on which child and parent disagree. The mean over the compressed "
        f"classifiers is largest for {shown.columns[0]}, {mean.max():.1%}, and {mean.median():.1%} for the median "
        "class. Classes with few images have uncertain shares, and the largest of many is large by chance, too."
    )
    if len(classes.columns) > CLASSES:
        text += f" Shown are the {CLASSES} most affected of {len(classes.columns)} classes."
    return Section("Classes that compression changes most", text, "disagreement_classes", {"Every class": classes.T})


def exemplars_section(
    predictions: Predictions, parents: Mapping[str, str], labels: Mapping[str, str], drawn: bool
) -> Section:
    """On which images they disagree."""
    rows = {}
    for parent, children in children_of(parents).items():
        found = exemplars(predictions, children, parent)
        right = predictions.top1[:, predictions.rows.index(ORIGINAL), predictions.columns.index(parent)]
        others = np.delete(right, found).mean() if len(found) < len(right) else float("nan")
        first = ", ".join(map(str, predictions.index[found][:24])) + (" …" if len(found) > 24 else "")
        here = right[found].mean() if len(found) else float("nan")
        rows[labels[parent]] = (len(children), len(found), len(found) / len(right), here, others, first)
    columns = ["compressed", "exemplars", "share", "parent right there", "parent right elsewhere", "positions in test"]
    text = (
        "Exemplars are test images in which most of a parent’s compressed classifiers see another class than the "
        "parent (pruning-identified exemplars, arXiv 1911.05248; there over many runs, so with few compressed "
        "classifiers chance has a larger part here). They tend to be images that are hard for the parent, too: compare "
        "its accuracy on them and elsewhere."
    )
    if drawn:
        text += " Above each picture is its right class, then what the parent and what most of its children see."
    else:
        text += " <code>python run.py task=disagreement</code> keeps their pictures for this page, if there are any."
    table = pd.DataFrame.from_dict(rows, orient="index", columns=columns)
    return Section(
        "Images that compression changes", text, "disagreement_exemplars" if drawn else None, {"Exemplars": table}
    )


def disagreement_figure(table: pd.DataFrame, labels: Mapping[str, str]) -> Figure:
    """Share of images on which each child disagrees with its parent, for each source of images."""
    children = table["child"].unique().tolist()
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
        names = [f"{labels[child]}  (of {labels[parent_of(table, child)]})" for child in children]
        ax.set_yticks(range(len(children)), names)
        ax.set_ylim(len(children) - 0.5, -0.5)
        ax.set_xlim(0, None)
        ax.xaxis.set_major_formatter(PercentFormatter(1))
        ax.set_xlabel("images on which child and parent see different classes")
        ax.tick_params(axis="y", length=0)
        ax.legend(frameon=False, fontsize=8, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=3)
    return figure


def parent_of(table: pd.DataFrame, child: str) -> str:
    """A child's parent."""
    return str(table.loc[table["child"] == child, "parent"].iloc[0])


def classes_figure(shares: pd.DataFrame) -> Figure:
    """Heat map of disagreement: children as rows, classes as columns."""
    values = shares.to_numpy(dtype=float)
    cell = min(0.6, max(0.4, PAGE / len(shares.columns)))
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(1.5 + cell * len(shares.columns), 1.0 + 0.3 * len(shares.index)))
        ax = figure.subplots()
        top = max(float(np.nanmax(values)), 0.01)
        ax.imshow(values, cmap="GnBu", vmin=0, vmax=top, aspect="auto")
        for (y, x), value in np.ndenumerate(values):
            colour = "white" if value > 0.6 * top else INK
            ax.text(x, y, f"{100 * value:.0f}", ha="center", va="center", fontsize=8, color=colour)
        name_columns(ax, [str(name).replace("_", " ") for name in shares.columns], cell)
        ax.set_yticks(range(len(shares.index)), list(shares.index))
        ax.tick_params(length=0)
        ax.spines[:].set_visible(False)
        ax.set_title("% of a class’s images", loc="left", color=INK)
    return figure


def exemplars_figure(pictures: Mapping[str, Any], labels: Mapping[str, str]) -> Figure:
    """The exemplars' pictures, six in a row."""
    columns, images = 6, pictures["images"]
    rows = -(-len(images) // columns)
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(columns * 1.55, rows * 1.95))
        axes = figure.subplots(rows, columns, squeeze=False)
        figure.subplots_adjust(left=0, right=1, bottom=0, top=1 - 0.5 / figure.get_figheight(), hspace=0.42)
        for ax in axes.flat:
            ax.axis("off")
        for place, (ax, image) in enumerate(zip(axes.flat, images, strict=False)):
            ax.imshow(image.transpose(1, 2, 0), interpolation="nearest")
            label, theirs, ours = (str(pictures[key][place]) for key in ("label", "parent_sees", "children_see"))
            parent = labels[str(pictures["of"][place])]
            lines = [shortened(line) for line in (label, f"{parent}: {theirs}", f"compressed: {ours}")]
            ax.set_title("\n".join(lines), fontsize=7, color=INK, pad=3)
    return figure


def shortened(name: str, letters: int = 26) -> str:
    """A line about a picture that is no wider than it."""
    name = name.replace("_", " ")
    return name if len(name) <= letters else name[: letters - 1] + "…"
