"""The section of the page on class-wise patterns; its prose is in ``report.html.j2``."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from methods.class_patterns import figures
from methods.class_patterns.class_anomaly import CLEAN_RATE
from methods.class_patterns.evaluation_plan import COST_BUDGETS, NEURAL_CLEANSE, PATTERN
from methods.class_patterns.patterns import Array, Patterns, pattern_image
from methods.class_patterns.success import read_table
from report.page import Part
from study.folder import seeded
from study.records import read_record

TEMPLATE = "methods/class_patterns/report.html.j2"
TABLES = ("success", "by_source", "transfer", "simplicity", "class_anomaly", "triggers")
ROWS = {"own": "of the class", "other": "of another", "noise": "noise", "learned": "learned colours"}
KINDS = {"own": "image of the class", "other": "image of another class", "noise": "noise", "learned": "learned colours"}
METHODS = {"canvas": "whole canvas"} | {method: line[0] for method, line in figures.METHODS.items()}
SHAPE_NAMES = {
    "mask_variation": "outline per pixel", "pixel_variation": "contrast of neighbours", "edge_density": "on edges",
    "components": "pieces", "largest_share": "in the largest piece",
}  # fmt: skip


def read(root: Path, titles: Mapping[str, str]) -> Part | None:
    """The section, or ``None`` if no patterns were searched.

    Args:
        root: The study's folder.
        titles: The display name of each classifier.
    """
    folder = root / "class_patterns"
    if not (folder / "success.csv").exists():
        return None
    files = [folder / f"{name}.csv" for name in TABLES]
    further = [folder / "by_source.csv", folder / "class_anomaly.csv", *(folder / "summary").glob("*.csv")]
    tables = {path.stem: titled(read_table(path, "source"), titles) for path in further}
    curves = tables["curves"]
    # at these budgets learned colours have no controls to compare with
    tables["curves"] = curves[(curves["method"] != NEURAL_CLEANSE) | ~curves["budget"].isin(COST_BUDGETS)]
    transfer = read_table(folder / "transfer.csv", "source")
    budget, seed = float(transfer["budget"].iloc[0]), int(transfer["seed"].iloc[0])
    paths = {name: folder / f"{seeded(name, seed)}.npz" for name in transfer["target"].unique()}
    records = {name: read_record(Patterns, path) for name, path in paths.items()}
    backdoors = {titles.get(name, name): root / "backdoors" / f"{name}.csv" for name in paths}
    backdoors = {title: path for title, path in backdoors.items() if path.exists()}
    grids = {f"patterns_{re.sub(r'[^A-Za-z0-9_.-]', '_', name)}": name for name in paths}
    drawn = {figure: draw_grid(records[name], budget, seed) for figure, name in grids.items()}
    classes = list(dict.fromkeys(str(name) for record in records.values() for name in record.classes))
    drawn |= draw_tables(tables, budget, [titles.get(name, name) for name in paths], classes)
    values = {
        "budget": budget,
        "results": tables["margins"][tables["margins"]["best"]].replace({"control": METHODS}).to_dict("records"),
        "success_tables": success_tables(tables, budget),
        "grids": {figure: titles.get(name, name) for figure, name in grids.items()},
        "transfer": tables["transfer_summary"].iloc[0],
        "classifiers": len(paths),
        "clean_rate": CLEAN_RATE,
        **shape_values(tables["simplicity_means"]),
        **anomaly_values(tables["class_anomaly"], backdoors, tables["trigger_means"]),
    }
    method = "Class-wise patterns: arXiv 2101.06898."
    return Part(TEMPLATE, values, drawn, [*files, *paths.values(), *backdoors.values()], method)


def draw_tables(
    tables: Mapping[str, pd.DataFrame], budget: float, names: Sequence[str], classes: Sequence[str]
) -> dict[str, Figure]:
    """The figures of success, transfer, success by source and costs.

    Args:
        tables: What the task has written, by name.
        budget: The budget shown.
        names: The classifiers.
        classes: Names of the classes.
    """
    means = tables["transfer_means"].pivot(index="source", columns="target", values="success")
    by_source = tables["by_source"]
    by_source = by_source[(by_source["method"] == PATTERN) & (by_source["budget"] == budget)]
    drawn = {
        "patterns_budget": figures.budget_curves(tables["curves"]),
        "patterns_transfer": figures.transfer_matrix(means.loc[list(names), list(names)]),
        "patterns_by_source": figures.source_matrices(source_matrices(by_source, classes)),
    }
    if len(tables["class_anomaly"]):
        drawn["patterns_costs"] = figures.class_costs(tables["class_anomaly"])
    return drawn


def titled(table: pd.DataFrame, titles: Mapping[str, str]) -> pd.DataFrame:
    """A table with the display names of classifiers."""
    columns = {"classifier", "source", "target"} if "classifier" not in table else {"classifier"}
    return table.replace({column: dict(titles) for column in columns & set(table.columns)})


def success_tables(tables: Mapping[str, pd.DataFrame], budget: float) -> dict[str, pd.DataFrame]:
    """The tables below the curves, by their caption."""
    margins = tables["margins"]
    rows = margins["classifier"] + " − " + margins["control"].map(METHODS)
    points = (100 * margins[["margin", "lower", "upper"]]).set_index(rows).map("{:.1f}".format)
    return {
        "Success by classifier, method and share of the pixels": curve_table(tables["curves"]),
        f"Margin of the pattern over each control at {budget:.0%}, in points, with 95 % intervals": points,
        "Soft masks, hard masks and seeds": soft_table(tables["soft_masks"], tables["curves"], budget),
    }


def curve_table(curves: pd.DataFrame) -> pd.DataFrame:
    """A row for each classifier and method, a column for each budget; a dash where a method has none."""
    names = {budget: f"{100 * budget:g} %" for budget in sorted(curves["budget"].unique())}
    rows = curves["classifier"] + ", " + curves["method"].map(METHODS)
    wide = curves.assign(row=rows).pivot(index="row", columns="budget", values="success")
    return wide.loc[rows.unique(), list(names)].rename(columns=names).map(percent).rename_axis(columns=None)


def soft_table(soft: pd.DataFrame, curves: pd.DataFrame, budget: float) -> pd.DataFrame:
    """Success of soft and hard masks of each classifier and searched method, and the spread over seeds."""
    table = soft.merge(curves[curves["budget"] == budget][["classifier", "method", "seeds"]])
    names = {
        "soft": "soft mask", "success": f"hard, {budget:.0%}", "gap": "gap", "clean": "predicted without pattern",
        "seeds": "std over seeds",
    }  # fmt: skip
    rows = table["classifier"] + ", " + table["method"].map(METHODS)
    return table[list(names)].rename(columns=names).map(percent).set_index(rows)


def shape_values(means: pd.DataFrame) -> dict[str, Any]:
    """Tables of the shapes of patterns, and each classifier's differences to the first that are not chance."""
    names = means["classifier"].unique().tolist()
    further = means[means["classifier"] != names[0]] if names else means
    certain = further[(further["lower"] > 0) | (further["upper"] < 0)]
    tables = {"Shapes of patterns, mean over classes": shape_table([f"{mean:.3g}" for mean in means["mean"]], names)}
    if len(further):
        columns = (further[column] for column in ("difference", "lower", "upper"))
        texts = [f"{value:+.2g} [{lower:.2g}, {upper:.2g}]" for value, lower, upper in zip(*columns, strict=True)]
        rows = [f"{name} − {names[0]}" for name in names[1:]]
        tables["Differences, with 95 % intervals over classes"] = shape_table(texts, rows)
    return {
        "shape_tables": tables,
        "shape_names": SHAPE_NAMES,
        "shape_reference": names[0] if names else None,
        "shape_differences": {name: certain[certain["classifier"] == name].to_dict("records") for name in names[1:]},
    }


def shape_table(texts: Sequence[str], rows: Sequence[str]) -> pd.DataFrame:
    """A row of texts for each name, a column for each shape; the texts come in this order."""
    cells = np.array(texts, dtype=object).reshape(len(rows), len(SHAPE_NAMES))
    return pd.DataFrame(cells.tolist(), index=list(rows), columns=list(SHAPE_NAMES.values()))


def anomaly_values(anomaly: pd.DataFrame, backdoors: Mapping[str, Path], triggers: pd.DataFrame) -> dict[str, Any]:
    """Tables of the costs of classes and of backdoors, and each classifier's flagged and planted classes."""
    shown = anomaly[(anomaly["rank"] <= 3) | anomaly["planted"].astype(bool)]
    columns = {
        "class": shown["class"],
        "pixels needed": shown["pixels"].map("{:.0f}".format),
        "anomaly index": shown["anomaly_index"].map("{:.1f}".format),
        "rank": shown["rank"],
        "flagged": shown["flagged"].astype(bool).map({True: "yes", False: "no"}),
        "planted": shown["planted"].astype(bool).map({True: "yes", False: "no"}),
    }
    tables = {"The three cheapest classes, and planted ones": pd.DataFrame(columns).set_index(shown["classifier"])}
    if backdoors:
        tables["Planted backdoors, on test images with and without the trigger"] = backdoor_table(backdoors)
    if len(triggers):
        tables["Share of the trigger that patterns hold, mean over patterns"] = trigger_table(triggers)
    classes = anomaly.assign(**{"class": anomaly["class"].astype(str).str.replace("_", " ")})
    anomalies = [
        {
            "classifier": name,
            "flagged": part[part["flagged"].astype(bool)]["class"].tolist(),
            "planted": part[part["planted"].astype(bool)].to_dict("records"),
            "classes": len(part),
        }
        for name, part in classes.groupby("classifier", sort=False)
    ]
    return {"anomalies": anomalies, "anomaly_tables": tables}


def backdoor_table(paths: Mapping[str, Path]) -> pd.DataFrame:
    """Shares with their 95 % intervals, a row for each backdoored classifier."""
    rows = {
        title: {
            row.measure: f"{row.share:.1%} [{row.lower:.1%}, {row.upper:.1%}]"
            for row in pd.read_csv(path).itertuples(index=False)
        }
        for title, path in paths.items()
    }
    return pd.DataFrame.from_dict(rows, orient="index")


def trigger_table(triggers: pd.DataFrame) -> pd.DataFrame:
    """Recall and intersection over union of the trigger's target class and of other classes, by kind of canvas."""
    of_target = triggers["target"].astype(bool).map({True: "target class", False: "other classes"})
    rows = triggers["classifier"] + ", " + of_target + ", " + triggers["kind"].map(KINDS)
    wide = triggers.assign(row=rows).pivot(index="row", columns="pixels", values=["recall", "overlap"])
    sizes = sorted(triggers["pixels"].unique())
    names = [f"{value}, {pixels} pixels" for value in ("recall", "IoU") for pixels in sizes]  # as pivot orders them
    return wide.set_axis(names, axis=1).loc[rows.unique()].map("{:.2f}".format)


def source_matrices(by_source: pd.DataFrame, classes: Sequence[str]) -> dict[str, pd.DataFrame]:
    """The success on images of each class, by classifier; equal rows and columns, as the panels share their axes."""
    rows = [name for name in classes if name in set(by_source["class"])]
    further = [name for name in classes if name in set(by_source["source"]) - set(rows)]
    return {
        str(name): part.pivot(index="class", columns="source", values="success").reindex(
            index=rows, columns=[*rows, *further]
        )
        for name, part in by_source.groupby("classifier", sort=False)
    }


def percent(value: float) -> str:
    """A share in percent, or a dash for NaN."""
    return "–" if pd.isna(value) else f"{value:.1%}"


def draw_grid(patterns: Patterns, budget: float, seed: int) -> Figure:
    """The patterns of one classifier, of at most fifteen classes spread evenly."""
    targets = list(dict.fromkeys(patterns.targets.tolist()))
    count = min(figures.MOST_CLASSES, len(targets))
    shown = [targets[index] for index in np.linspace(0, len(targets) - 1, count).round().astype(int)]
    kinds = dict.fromkeys(zip(patterns.kinds.tolist(), patterns.numbers.tolist(), strict=True))
    several = {kind for kind, number in kinds if number}
    pictures = {
        ROWS[kind] + (f" {number + 1}" if kind in several else ""): pictures_of(
            patterns, shown, patterns.kinds == kind, patterns.numbers == number, budget, seed
        )
        for kind, number in kinds
    }
    return figures.pattern_grid(pictures, [str(patterns.classes[target]).replace("_", " ") for target in shown])


def pictures_of(
    patterns: Patterns, targets: Sequence[int], of_kind: Array, of_number: Array, budget: float, seed: int
) -> list[Array]:
    """The pictures of one kind and number of canvas, one for each class; empty where a class has none."""
    pictures: list[Array] = []
    for target in targets:
        pairs = np.flatnonzero((patterns.targets == target) & of_kind & of_number).tolist()
        drawn = [pattern_image(patterns.canvases[pair], patterns.pixels(pair, budget, seed)) for pair in pairs[:1]]
        pictures += drawn or [np.zeros(0, dtype=np.uint8)]
    return pictures
