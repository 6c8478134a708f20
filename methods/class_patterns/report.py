"""Part of the report: the few pixels that make a classifier say a class."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.figure import Figure

from methods.class_patterns.evaluation_plan import COST_BUDGETS, NEURAL_CLEANSE, PATTERN
from methods.class_patterns.figures import (
    METHODS,
    MOST_CLASSES,
    budget_curves,
    pattern_grid,
    source_matrices,
    transfer_matrix,
)
from methods.class_patterns.files import PatternFile
from methods.class_patterns.masks import pattern_image
from methods.class_patterns.success import curves, margins, mean_over_classes, read_table
from report.page import Part, Section

FOLDER = "class_patterns"
FILES = ("success.csv", "by_source.csv", "transfer.csv")
ROWS = {"own": "of the class", "other": "of another", "noise": "noise", "learned": "free colours"}
SHORT = {"canvas": "whole canvas"} | {method: described[0] for method, described in METHODS.items()}


def read(root: Path, labels: Mapping[str, str]) -> Part | None:
    """The part, or ``None`` where no patterns were searched.

    Args:
        root: The study's folder.
        labels: What people call each classifier.
    """
    files = [root / FOLDER / name for name in FILES]
    if not all(path.exists() for path in files):
        return None
    success, by_source, transfer = read_table(files[0]), read_table(files[1], "source"), read_table(files[2])
    success = success[(success["method"] != NEURAL_CLEANSE) | ~success["budget"].isin(COST_BUDGETS)]
    budget, seed = float(transfer["budget"].iloc[0]), int(transfer["seed"].iloc[0])
    names = success["classifier"].unique().tolist()
    paths = {name: root / FOLDER / (f"{name}-seed{seed}.npz" if seed else f"{name}.npz") for name in names}
    grids = {
        f"patterns_{re.sub(r'[^A-Za-z0-9_.-]', '_', name)}": (labels.get(name, name), PatternFile.load(path))
        for name, path in paths.items()
        if path.exists()
    }
    known = dict(labels)
    success, by_source = (table.replace({"classifier": known}) for table in (success, by_source))
    transfer = transfer.replace({"source": known, "target": known})
    lines = curves(success)
    figures = {figure: draw_grid(found, budget, seed) for figure, (_, found) in grids.items()}
    figures["patterns_budget"] = budget_curves(lines)
    sections = [
        Section(
            "Patterns: few pixels that say a class",
            f"{WHAT} {finding(success, lines, budget)} {CANNOT}",
            "patterns_budget",
            {
                "Success by classifier, method and share of the pixels": by_budget(lines),
                f"By how much the pattern beats each control at {budget:.0%}, with 95 % intervals": margin_table(
                    success, budget
                ),
                "Soft masks, hard masks and seeds": soft_table(success, lines, budget),
            },
        )
    ]
    sections += [
        Section(f"Patterns of {name}", PICTURES.format(budget=budget), figure) for figure, (name, _) in grids.items()
    ]
    matrix = wide_mean(transfer, "source", "target", "success")
    figures["patterns_transfer"] = transfer_matrix(matrix)
    sections.append(Section("Patterns on other networks", travel(matrix, budget), "patterns_transfer"))
    chosen = by_source[(by_source["method"] == PATTERN) & (by_source["budget"] == budget)]
    figures["patterns_by_source"] = source_matrices(
        {name: by_class(chosen[chosen["classifier"] == name]) for name in success["classifier"].unique()}
    )
    sections.append(Section("Which images give in", SOURCES, "patterns_by_source"))
    shown = [*files, *(path for path in paths.values() if path.exists())]
    return Part(sections, figures, shown, method="Class-wise patterns: arXiv 2101.06898.")


WHAT = (
    "For each class a mask was searched that cuts few pixels out of a <em>canvas</em>, a picture of the class, of "
    "another class, or noise, so that whatever image these pixels are pasted on, the classifier says the class. "
    "Searched on some images, tested on others. <em>Success</em> is the share of test images seen as the class, of "
    "those that are not seen as it without the pattern; so without any pattern it is 0. Every line has equally many "
    "pixels at the same place of the axis. Random pixels, the centre patch and the pixels to which the class’s logit "
    "is most sensitive come from the same canvas and were not searched: what a pattern has beyond them, the search "
    "has found. Neural Cleanse may choose colours, too, which no picture need have. Shaded: the 95 % interval over "
    "classes."
)
CANNOT = (
    "<strong>What this cannot show.</strong> A pattern that works is one of many: it is enough for the class, and "
    "other pixels may be, too. One that fails does not say that the class has none: the search may have missed it, "
    "or the canvas may not hold it. And a class that gives in to few pixels is no proof of a backdoor: natural "
    "classes differ."
)
PICTURES = (
    "The {budget:.0%} of the pixels that each mask holds highest, where they are in the image; the rest is "
    "transparent (here: lilac). A row for each canvas that they are cut from, a column for each class; a dash: the "
    "class has no image of its own to cut from. Files: <code>class_patterns/pictures</code>."
)
SOURCES = (
    "Success of the patterns of each class (rows) on test images of each class (columns), mean over canvases and "
    "seeds. A dark row is a class that many images can be turned into; a pale column are images that hardly any "
    "pattern turns. Grey: no such image tested that is not seen as the class already. With few images of a class "
    "each cell is rough: <code>by_source.csv</code> has their number."
)


def finding(success: pd.DataFrame, lines: pd.DataFrame, budget: float) -> str:
    """What patterns do at one budget, and by how much they beat the best control, in words."""
    at = lines[lines["budget"] == budget].set_index(["classifier", "method"])["success"]
    found = margins(success, budget)
    told = []
    for classifier in lines["classifier"].unique():
        if (classifier, PATTERN) not in at.index:
            continue
        own = found[found["classifier"] == classifier].sort_values("margin")
        text = f"{classifier} {at[classifier, PATTERN]:.0%}"
        if len(own):
            nearest = own.iloc[0]
            sure = "" if nearest["lower"] > 0 else ", which may be chance"
            text += (
                f" ({SHORT[nearest['control']]}, the best control, {at[classifier, nearest['control']]:.0%}: "
                f"{100 * nearest['margin']:+.0f} points [{100 * nearest['lower']:.0f}, {100 * nearest['upper']:.0f}]"
                f"{sure})"
            )
        told.append(text)
    text = "; ".join(told)
    return f"At {budget:.0%} of the pixels the patterns succeed, mean over classes, canvases and seeds: {text}."


def by_budget(lines: pd.DataFrame) -> pd.DataFrame:
    """A row for each classifier and method, a column for each budget; a dash where a method has none."""
    named = lines.assign(
        row=lines["classifier"] + ", " + lines["method"].map(SHORT),
        column=[f"{100 * budget:g} %" for budget in lines["budget"]],
    )
    order = [f"{100 * budget:g} %" for budget in sorted(lines["budget"].unique())]
    wide = named.pivot(index="row", columns="column", values="success").loc[named["row"].unique(), order]
    return wide.map(lambda value: "–" if pd.isna(value) else f"{value:.1%}").rename_axis(columns=None)


def margin_table(success: pd.DataFrame, budget: float) -> pd.DataFrame:
    """A row for each classifier and control, in percentage points."""
    table = margins(success, budget)
    rows = table["classifier"] + " − " + table["control"].map(SHORT)
    values = 100 * table[["margin", "lower", "upper"]]
    return values.set_index(rows).map("{:.1f}".format).rename(columns={"margin": "points"})


def soft_table(success: pd.DataFrame, lines: pd.DataFrame, budget: float) -> pd.DataFrame:
    """Of what was searched: success of soft and of hard masks, the gap, and the spread over seeds."""
    found = {}
    part = success[success["soft"].notna() & (success["budget"] == budget)]
    spreads = lines.set_index(["classifier", "method", "budget"])["seeds"]
    for (classifier, method), own in part.groupby(["classifier", "method"], sort=False):
        means = [mean_over_classes(own, values)[0] for values in ("soft", "success", "gap", "clean")]
        spread = float(spreads.loc[(classifier, method, budget)])  # type: ignore[index]
        found[f"{classifier}, {SHORT[str(method)]}"] = [*means, spread]
    columns = ["soft mask", f"hard, {budget:.0%}", "gap", "seen as the class without", "std over seeds"]
    table = pd.DataFrame.from_dict(found, orient="index", columns=columns)
    return table.map(lambda value: "–" if pd.isna(value) else f"{value:.1%}")


def wide_mean(table: pd.DataFrame, rows: str, columns: str, values: str) -> pd.DataFrame:
    """Means as a matrix, names in the order in which they come."""
    order = table[columns].unique()
    wide = table.groupby([rows, columns, "class"], sort=False)[values].mean().groupby([rows, columns]).mean().unstack()
    return wide.loc[order, order]


def by_class(table: pd.DataFrame) -> pd.DataFrame:
    """Success of each class's patterns (rows) on images of each class (columns), in the order of the labels."""
    rows = table["class"].unique().tolist()
    columns = [*rows, *[name for name in table["source"].unique() if name not in rows]]
    return table.pivot(index="class", columns="source", values="success").reindex(index=rows, columns=columns)


def travel(matrix: pd.DataFrame, budget: float) -> str:
    """What the matrix shows, in words."""
    text = (
        f"Success in % of the patterns of each classifier (rows), at {budget:.0%} of the pixels and with one seed, on "
        "every classifier (columns), mean over classes. A pattern that travels is made of what the classifiers have in "
        "common, as parts of things in the images; one that stays at home, of what only its own network reacts to. "
    )
    values = matrix.to_numpy(dtype=float)
    if len(values) == 1:
        return text + "With one classifier there is none to travel to."
    own, others = float(np.nanmean(np.diag(values))), float(np.nanmean(values[~np.eye(len(values), dtype=bool)]))
    return text + f"Mean on their own networks {own:.0%}, on others {others:.0%}."


def draw_grid(found: PatternFile, budget: float, seed: int) -> Figure:
    """The patterns of one classifier, of at most fifteen classes spread evenly."""
    targets = list(dict.fromkeys(found.targets.tolist()))
    count = min(MOST_CLASSES, len(targets))
    shown = [targets[place] for place in np.linspace(0, len(targets) - 1, count).round().astype(int)]
    several = {kind: int(found.numbers[found.kinds == kind].max()) > 0 for kind in set(found.kinds.tolist())}
    pictures = {
        ROWS[kind] + (f" {number + 1}" if several[kind] else ""): row_of(found, shown, kind, number, budget, seed)
        for kind, number in dict.fromkeys(zip(found.kinds.tolist(), found.numbers.tolist(), strict=True))
    }
    return pattern_grid(pictures, [str(found.classes[target]).replace("_", " ") for target in shown])


def row_of(
    found: PatternFile, targets: Sequence[int], kind: str, number: int, budget: float, seed: int
) -> list[npt.NDArray]:
    """The pictures of one kind of canvas, one for each class; empty where a class has none."""
    pictures = []
    for target in targets:
        pairs = np.flatnonzero((found.targets == target) & (found.kinds == kind) & (found.numbers == number))
        picture: npt.NDArray = np.zeros(0, dtype=np.uint8)
        if len(pairs):
            pair = int(pairs[0])
            picture = pattern_image(found.canvases[pair], found.pixels(pair, budget, seed))
        pictures.append(picture)
    return pictures
