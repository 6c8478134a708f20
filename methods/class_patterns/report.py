"""The section of the page on class-wise patterns; its prose is in ``report.html.j2``."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from methods.class_patterns import figures
from methods.class_patterns.class_anomaly import CLEAN_RATE
from methods.class_patterns.patterns import COST_BUDGETS, NEURAL_CLEANSE, PATTERN, Patterns
from methods.class_patterns.success import TABLES
from methods.class_patterns.summaries import SUMMARIES
from report.names import spaced
from report.page import Part
from report.tables import read_table
from report.text import file_key
from study.folder import seeded
from study.records import read_record

TEMPLATE = "methods/class_patterns/report.html.j2"
KINDS = {"own": "image of the class", "other": "image of another class", "noise": "noise", "learned": "learned colours"}
METHODS = {"canvas": "whole canvas"} | {method: line[0] for method, line in figures.METHODS.items()}
SHAPE_NAMES = {
    "mask_variation": "outline per pixel", "pixel_variation": "contrast of neighbours", "edge_density": "on edges",
    "components": "pieces", "largest_share": "in the largest piece",
}  # fmt: skip
YES_NO = {True: "yes", False: "no"}


def read(root: Path, titles: Mapping[str, str]) -> Part | None:
    """The section, or ``None`` if no patterns were searched.

    Args:
        root: The study's folder.
        titles: The display name of each classifier.
    """
    folder = root / "class_patterns"
    if not (folder / "success.csv").exists():
        return None
    transfer = read_table(folder / "transfer.csv", "target")
    budget, seed = float(transfer["budget"].iloc[0]), int(transfer["seed"].iloc[0])
    paths = {name: folder / f"{seeded(name, seed)}.npz" for name in transfer["target"].unique()}
    records = {name: read_record(Patterns, path) for name, path in paths.items()}
    named = {name: titles.get(name, name) for name in paths}
    backdoors = {named[name]: root / "backdoors" / f"{name}.csv" for name in paths}
    backdoors = {title: path for title, path in backdoors.items() if path.exists()}
    further = ["by_source", "class_anomaly", *(f"summary/{name}" for name in SUMMARIES)]
    tables = {name.removeprefix("summary/"): titled(folder / f"{name}.csv", titles) for name in further}
    curves = tables["curves"]
    # at these budgets learned colours have no controls to compare with
    tables["curves"] = curves[(curves["method"] != NEURAL_CLEANSE) | ~curves["budget"].isin(COST_BUDGETS)]
    grids = {f"patterns_{file_key(name)}": name for name in paths}
    drawn = {figure: draw_grid(records[name], budget, seed) for figure, name in grids.items()}
    classes = list(dict.fromkeys(str(name) for record in records.values() for name in record.classes))
    values = {
        "budget": budget,
        "results": tables["margins"][tables["margins"]["best"]].replace({"control": METHODS}).to_dict("records"),
        "success_tables": success_tables(tables, budget),
        "grids": {figure: named[name] for figure, name in grids.items()},
        "transfer": tables["transfer_summary"].iloc[0],
        "clean_rate": CLEAN_RATE,
        **shape_values(tables["simplicity_means"]),
        **anomaly_values(tables["class_anomaly"], backdoors, tables["trigger_means"]),
    }
    files = [*(folder / f"{name}.csv" for name in TABLES), *paths.values(), *backdoors.values()]
    drawn |= draw_tables(tables, budget, classes)
    return Part(TEMPLATE, values, drawn, files, "Class-wise patterns: arXiv 2101.06898.")


def titled(path: Path, titles: Mapping[str, str]) -> pd.DataFrame:
    """A table with the display names of classifiers; elsewhere, ``source`` and ``target`` are classes."""
    table = read_table(path, *(["target"] if path.stem.startswith("transfer") else []))  # elsewhere it may be true
    columns = {"classifier"} if "classifier" in table else {"source", "target"}
    return table.replace({column: dict(titles) for column in columns & set(table.columns)})


def draw_tables(tables: Mapping[str, pd.DataFrame], budget: float, classes: Sequence[str]) -> dict[str, Figure]:
    """The figures of success, transfer, success by source and costs.

    Args:
        tables: What the task has written, by name.
        budget: The budget shown.
        classes: Names of the classes.
    """
    means = tables["transfer_means"]
    names = means["target"].unique()
    means = means.pivot(index="source", columns="target", values="success").loc[names, names]
    by_source = tables["by_source"]
    by_source = by_source[(by_source["method"] == PATTERN) & (by_source["budget"] == budget)]
    drawn = {
        "patterns_budget": figures.budget_curves(tables["curves"]),
        **({"patterns_transfer": figures.transfer_matrix(means)} if len(names) > 1 else {}),
        "patterns_by_source": figures.source_matrices(source_matrices(by_source, classes)),
    }
    if len(tables["class_anomaly"]):
        drawn["patterns_costs"] = figures.class_costs(tables["class_anomaly"])
    return drawn


def wide(rows: pd.Series, columns: pd.Series, texts: pd.Series, names: Mapping[Any, str]) -> pd.DataFrame:
    """Texts as a table: rows in order of appearance, columns as ``names`` has them, a dash where there is no text."""
    table = pd.DataFrame({"row": rows, "column": columns, "text": texts})
    table = table.pivot(index="row", columns="column", values="text").loc[rows.unique(), list(names)]
    return table.fillna("–").rename(columns=names).rename_axis(columns=None)


def success_tables(tables: Mapping[str, pd.DataFrame], budget: float) -> dict[str, pd.DataFrame]:
    """The tables below the curves, by their caption."""
    curves, margins = tables["curves"], tables["margins"]
    methods = curves["classifier"] + ", " + curves["method"].map(METHODS)
    budgets = {share: f"{100 * share:g} %" for share in sorted(curves["budget"].unique())}
    by_budget = wide(methods, curves["budget"], curves["success"].map("{:.1%}".format, na_action="ignore"), budgets)
    versus = margins["classifier"] + " − " + margins["control"].map(METHODS)
    points = (100 * margins[["margin", "lower", "upper"]]).set_index(versus).map("{:.1f}".format)
    soft = tables["soft_masks"].merge(curves[curves["budget"] == budget][["classifier", "method", "seeds"]])
    names = {"soft": "soft mask", "success": f"hard, {budget:.0%}", "gap": "gap"}
    names |= {"clean": "predicted without pattern", "seeds": "std over seeds"}
    searched = soft["classifier"] + ", " + soft["method"].map(METHODS)
    soft = soft[list(names)].map("{:.1%}".format, na_action="ignore")
    return {
        "Success by classifier, method and share of the pixels": by_budget,
        f"Margin of the pattern over each control at {budget:.0%}, in points, with 95 % intervals": points,
        "Soft masks, hard masks and seeds": soft.set_index(searched)[list(names)].rename(columns=names),
    }


def shape_values(means: pd.DataFrame) -> dict[str, Any]:
    """Tables of the shapes of patterns, and each classifier's differences to the first that are not chance."""
    if means.empty:
        return {"shape_reference": None}
    names = means["classifier"].unique().tolist()
    further = means[means["classifier"] != names[0]]
    certain = further[(further["lower"] > 0) | (further["upper"] < 0)]
    texts = means["mean"].map("{:.3g}".format)
    tables = {"Shapes of patterns, mean over classes": wide(means["classifier"], means["shape"], texts, SHAPE_NAMES)}
    if len(further):
        rows = further["classifier"] + f" − {names[0]}"
        texts = further.apply(lambda row: f"{row.difference:+.2g} [{row.lower:.2g}, {row.upper:.2g}]", axis=1)
        tables["Differences, with 95 % intervals over classes"] = wide(rows, further["shape"], texts, SHAPE_NAMES)
    return {
        "shape_tables": tables,
        "shape_names": SHAPE_NAMES,
        "shape_reference": names[0],
        "shape_differences": {name: certain[certain["classifier"] == name].to_dict("records") for name in names[1:]},
    }


def anomaly_values(anomaly: pd.DataFrame, backdoors: Mapping[str, Path], triggers: pd.DataFrame) -> dict[str, Any]:
    """Tables of the costs of classes and of backdoors, and each classifier's flagged and planted classes."""
    if anomaly.empty:
        return {"anomalies": {}}
    shown = anomaly[(anomaly["rank"] <= 3) | anomaly["planted"]].set_index("classifier")
    columns = {
        "class": shown["class"],
        "pixels needed": shown["pixels"].map("{:.0f}".format),
        "anomaly index": shown["anomaly_index"].map("{:.1f}".format),
        "rank": shown["rank"],
        "flagged": shown["flagged"].map(YES_NO),
        "planted": shown["planted"].map(YES_NO),
    }
    tables = {"The three cheapest classes, and planted ones": pd.DataFrame(columns)}
    if backdoors:
        rates = pd.concat([read_table(path).assign(classifier=title) for title, path in backdoors.items()])
        texts = rates.apply(lambda row: f"{row['share']:.1%} [{row['lower']:.1%}, {row['upper']:.1%}]", axis=1)
        rates = wide(rates["classifier"], rates["measure"], texts, {name: name for name in rates["measure"]})
        tables["Planted backdoors, on test images with and without the trigger"] = rates
    if len(triggers):
        tables["Share of the trigger that patterns hold, mean over patterns"] = trigger_table(triggers)
    classes = {name: part.to_dict("records") for name, part in anomaly.groupby("classifier", sort=False)}
    return {"anomalies": classes, "anomaly_tables": tables}


def trigger_table(triggers: pd.DataFrame) -> pd.DataFrame:
    """Recall and intersection over union of the trigger's target class and of other classes, by kind of canvas."""
    of_target = triggers["target"].map({True: "target class", False: "other classes"})
    rows = triggers["classifier"] + ", " + of_target + ", " + triggers["kind"].map(KINDS)
    parts = []
    for value, name in (("recall", "recall"), ("overlap", "IoU")):
        sizes = {pixels: f"{name}, {pixels} pixels" for pixels in sorted(triggers["pixels"].unique())}
        parts.append(wide(rows, triggers["pixels"], triggers[value].map("{:.2f}".format), sizes))
    return pd.concat(parts, axis=1)


def source_matrices(by_source: pd.DataFrame, classes: Sequence[str]) -> dict[str, pd.DataFrame]:
    """The success on images of each class, by classifier; equal rows and columns, as the panels share their axes."""
    with_patterns, with_images = set(by_source["class"].unique()), set(by_source["source"].unique())
    rows = [name for name in classes if name in with_patterns]
    columns = rows + [name for name in classes if name in with_images - with_patterns]
    wide = by_source.pivot(index=["classifier", "class"], columns="source", values="success").reindex(columns=columns)
    return {str(name): wide.loc[name].reindex(rows) for name in by_source["classifier"].unique()}


def draw_grid(patterns: Patterns, budget: float, seed: int) -> Figure:
    """The patterns of one classifier, of at most fifteen classes spread evenly."""
    targets = list(dict.fromkeys(patterns.targets.tolist()))
    count = min(figures.MOST_CLASSES, len(targets))
    shown = [targets[index] for index in np.linspace(0, len(targets) - 1, count).round().astype(int)]
    pairs: dict[tuple[str, int], dict[int, int]] = {}
    for pair, kind in enumerate(zip(patterns.kinds.tolist(), patterns.numbers.tolist(), strict=True)):
        pairs.setdefault(kind, {})[int(patterns.targets[pair])] = pair
    several = {kind for kind, number in pairs if number}
    gap = np.zeros(0, dtype=np.uint8)  # where a class has no such canvas
    pictures = {
        KINDS[kind].removeprefix("image ") + (f" {number + 1}" if kind in several else ""): [
            patterns.picture(of_kind[target], budget, seed) if target in of_kind else gap for target in shown
        ]
        for (kind, number), of_kind in pairs.items()
    }
    return figures.pattern_grid(pictures, [spaced(patterns.classes[target]) for target in shown])
