"""Which classes gain and lose through an autoencoder, and how alike classifiers are by three measures."""

import math
from collections.abc import Mapping
from itertools import combinations
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from report.figures.source_lines import classifier_name
from report.figures.study import ACCENT, INK, STYLE
from report.page import Part, Section
from stats.class_accuracies import largest_changes
from stats.names import ORIGINAL

SHOWN_CHANGES = 3  # gains, and as many losses, of each classifier
LOSS = "#c8553d"
MEANINGS = {
    "kappa": "κ: how often they give the same answer on the originals, beyond chance.",
    "cka": "CKA (linear, debiased): how alike the test images lie in their last features.",
    "rrc": "RRC, mean of both directions: how well each reads the images made for the other.",
}
MEASURES = {"kappa": "Cohen’s κ", "cka": "CKA", "rrc": "RRC, symmetrised"}


def read(root: Path, labels: Mapping[str, str]) -> Part | None:
    """The part on classes and agreement, if ``task=signal_statistics`` measured them."""
    folder = root / "signal_statistics"
    paths = [folder / name for name in ("classes.csv", "kappa.csv", "cka.csv")]
    if not all(path.exists() for path in paths):
        return None
    classes, kappa, cka = (pd.read_csv(path) for path in paths)
    sections, figures = [], {}
    changed = largest_changes(classes[classes["classifier"].isin(list(labels))], SHOWN_CHANGES)
    if len(changed):
        figures["class_changes"] = draw_changes(changed, labels)
        tables = {"Largest changes of each classifier": change_table(changed, labels)}
        sections.append(Section("Classes that gain and lose", class_text(classes), "class_changes", tables))
    rrc_path = root / "order" / "rrc.csv"
    rrc = pd.read_csv(rrc_path, index_col=0) if rrc_path.exists() else None
    measures = similarity_matrices(kappa, cka, rrc, list(labels))
    if len(labels) > 1 and measures:
        figures["agreement"] = draw_matrices(measures, labels)
        pairs = pair_table(measures)
        text = agreement_text(pairs)
        tables = {"Pairs of classifiers": named_pairs(pairs, labels)}
        if len(pairs) > 2:
            tables["Spearman correlation between the measures"] = (
                pairs.rank().corr().rename(index=MEASURES, columns=MEASURES)
            )
        sections.append(Section("How alike the classifiers are", text, "agreement", tables))
    return Part(sections, figures, paths) if sections else None


def draw_changes(table: pd.DataFrame, labels: Mapping[str, str]) -> Figure:
    """Bars of the largest gains and losses, a panel for each classifier."""
    names = list(dict.fromkeys(table["classifier"]))
    columns = min(len(names), 2 if len(names) <= 8 else 4)
    rows = math.ceil(len(names) / columns)
    limit = 100 * table["change"].abs().max() * 1.4
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(0.4 + 3.1 * columns, 0.5 + 1.35 * rows), layout="constrained")
        axes = figure.subplots(rows, columns, sharex=True, squeeze=False)
        for ax, name in zip(axes.flat, names, strict=False):
            found = table[table["classifier"] == name]
            change = 100 * found["change"].to_numpy()
            places = -np.arange(len(found))
            ax.barh(places, change, color=[ACCENT if value > 0 else LOSS for value in change], height=0.7)
            for place, value in zip(places, change, strict=True):
                side = "left" if value > 0 else "right"
                ax.text(value, place, f" {value:+.0f} ".replace("-", "−"), ha=side, va="center", fontsize=7, color=INK)
            ax.set_yticks(places, [shortened(str(value)) for value in found["name"]], fontsize=7)
            ax.axvline(0, color=INK, linewidth=0.6)
            ax.set_title(classifier_name(name, labels), fontsize=8, color=INK)
            ax.set_xlim(-limit, limit)
            ax.set_ylim(-2 * SHOWN_CHANGES + 0.4, 0.6)
            ax.tick_params(axis="y", length=0)
            ax.spines["left"].set_visible(False)
        for ax in axes.flat[len(names) :]:
            ax.set_visible(False)
        figure.supxlabel("own $A_i$ minus originals, percentage points of a class’s images", fontsize=9)
    return figure


def shortened(name: str, length: int = 22) -> str:
    """A class's name short enough for an axis."""
    name = name.replace("_", " ")
    return name if len(name) <= length else name[: length - 1] + "…"


def change_table(table: pd.DataFrame, labels: Mapping[str, str]) -> pd.DataFrame:
    """The numbers behind the bars."""
    pairs = zip(table["classifier"], table["name"], strict=True)
    rows = [f"{classifier_name(classifier, labels)}, {str(name).replace('_', ' ')}" for classifier, name in pairs]
    columns = {"images": "images", "original": "originals", "pretrained": "through A_S", "own": "through own A_i"}
    return table[list(columns)].rename(columns=columns).set_axis(rows, axis=0)


def class_text(classes: pd.DataFrame) -> str:
    """How to read the bars, and how few images may be behind one."""
    fewest, most = int(classes["images"].min()), int(classes["images"].max())
    number = f"{fewest}" if fewest == most else f"{fewest} to {most}"
    return (
        "For each classifier the classes whose accuracy rises and falls most from the originals to its own "
        f"A<sub>i</sub>’s images, at most {SHOWN_CHANGES} of each. A class has {number} test images, so one image is "
        f"{100 / fewest:.1f} percentage points in the smallest; among many classes some differ that much by chance. "
        "Overall accuracy hides such an exchange of classes."
    )


def similarity_matrices(
    kappa: pd.DataFrame, cka: pd.DataFrame, rrc: pd.DataFrame | None, names: list[str]
) -> dict[str, pd.DataFrame]:
    """Square, symmetric tables of the classifiers ``names`` by measure; measures that were not taken are left out."""
    cka = cka[(cka["source"] == ORIGINAL) & (cka["other_source"] == ORIGINAL)]
    found = {
        "kappa": square(kappa[kappa["source"] == ORIGINAL], "kappa", names),
        "cka": square(cka, "cka", names),
    }
    if rrc is not None and set(names) <= set(rrc.index):
        values = rrc.loc[names, names]
        found["rrc"] = (values + values.T) / 2
    return {key: table for key, table in found.items() if table.notna().to_numpy().sum() > len(names)}


def square(pairs: pd.DataFrame, value: str, names: list[str]) -> pd.DataFrame:
    """A symmetric table with 1 on the diagonal from one row for each pair."""
    table = pd.DataFrame(np.nan, index=names, columns=names)
    for first, second, number in zip(pairs["classifier"], pairs["other"], pairs[value], strict=True):
        if first in names and second in names:
            table.loc[first, second] = table.loc[second, first] = number
    for name in names:
        table.loc[name, name] = 1.0
    return table


def draw_matrices(measures: Mapping[str, pd.DataFrame], labels: Mapping[str, str]) -> Figure:
    """Heat maps side by side; each has a colour scale of its own, from its lowest pair to 1."""
    count = len(next(iter(measures.values())))
    side = max(1.9, min(0.19 * count, 4.6)) if count > 8 else 2.1
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(0.9 + (side + 0.7) * len(measures), side + 1.1), layout="constrained")
        axes = figure.subplots(1, len(measures), squeeze=False)[0]
        for ax, (key, table) in zip(axes, measures.items(), strict=True):
            values = table.to_numpy(dtype=float)
            low = float(np.nanmin(values))
            high = max(1.0, float(np.nanmax(values)))
            image = ax.imshow(values, cmap="GnBu", vmin=low - 0.2 * (high - low), vmax=high)
            if count <= 8:
                for (row, column), value in np.ndenumerate(values):
                    colour = "white" if value > low + 0.6 * (high - low) else INK
                    ax.text(column, row, f"{value:.2f}", ha="center", va="center", fontsize=7, color=colour)
            names = [classifier_name(str(name), labels) for name in table.index]
            size = 8 if count <= 8 else 6
            ax.set_xticks(range(count), names, rotation=60, ha="right", rotation_mode="anchor", fontsize=size)
            ax.set_yticks(range(count), names if ax is axes[0] else [""] * count, fontsize=size)
            ax.set_title(MEASURES[key])
            ax.tick_params(length=0)
            ax.spines[:].set_visible(False)
            figure.colorbar(image, ax=ax, fraction=0.046, pad=0.03).outline.set_visible(False)
    return figure


def pair_table(measures: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """A row for each pair of classifiers with all measures, a column for each measure."""
    first = next(iter(measures.values()))
    rows, columns = np.triu_indices(len(first), k=1)
    index = pd.MultiIndex.from_arrays([first.index[rows], first.columns[columns]])
    return pd.DataFrame({key: table.to_numpy()[rows, columns] for key, table in measures.items()}, index=index).dropna()


def named_pairs(pairs: pd.DataFrame, labels: Mapping[str, str]) -> pd.DataFrame:
    """The pairs as people call them, the most alike by the first measure first."""
    ranked = pairs.sort_values(pairs.columns[0], ascending=False)
    names = [" – ".join(classifier_name(str(name), labels) for name in pair) for pair in ranked.index]
    return ranked.set_axis(names, axis=0).rename(columns=MEASURES)


def agreement_text(pairs: pd.DataFrame) -> str:
    """What the measures are, and how far they go together."""
    meanings = " ".join(MEANINGS[key] for key in pairs.columns)
    text = (
        f"Answers to how alike two classifiers are. {meanings} Two good classifiers have a high κ because both are "
        "right. Each map has its own colour scale. "
    )
    if len(pairs) < 3 or len(pairs.columns) < 2:
        return text + "There are too few pairs of classifiers to correlate the measures."
    spearman, pearson = pairs.rank().corr(), pairs.corr()
    found = [
        f"{MEASURES[one]} and {MEASURES[other]} {spearman[one][other]:.2f} (Pearson {pearson[one][other]:.2f})"
        for one, other in combinations(pairs.columns, 2)
    ]
    return (
        f"{text}Spearman’s correlation over the {len(pairs)} pairs: {'; '.join(found)}. Pairs share classifiers, so "
        "these are fewer independent observations than they look."
    )
