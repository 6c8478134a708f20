"""The page of a study with autoencoders begins with this: accuracies, relative rates of change, lattice, nMI."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from report.figures.lattice import lattice
from report.figures.matrices import accuracy_matrix
from report.figures.nmi import nmi_bars
from report.figures.rrc import rrc_curve
from report.names import IMAGES, START, order_text, source_titles
from report.page import Part
from report.tables import read_table
from report.words import measure
from stats.names import OWN

TEMPLATE = "report/templates/study.html.j2"
MOST_NODES = 60  # of a lattice that is drawn
METHOD = (
    "S. Palacio, J. Folz, J. Hees, F. Raue, D. Borth, A. Dengel, “What do Deep Networks Like to See?”, CVPR 2018 "
    "(arXiv 1803.08337)."
)


def read(root: Path, titles: Mapping[str, str], views: pd.DataFrame) -> Part | None:
    """The part of a study that was cross-evaluated and ordered.

    Args:
        root: The study's folder.
        titles: Display name of each classifier.
        views: What each classifier does to an image and how much of it the classifier sees, by its name.
    """
    cross_evaluation, order = root / "cross_evaluation", root / "order"
    word = measure()
    files = [cross_evaluation / name for name in (f"{word}.csv", f"{word}_top5.csv", "nmi.csv", "predictions.npz")]
    files += [order / name for name in ("order.json", "rrc.csv", "lattice.json")]
    if not all(path.exists() for path in files):
        return None
    rows = source_titles(titles)
    accuracy, top5, nmi = (read_table(path, index=0).rename(index=rows, columns=titles) for path in files[:3])
    rrc = read_table(order / "rrc.csv", index=0).rename(index=rows, columns=titles)
    document = json.loads((order / "order.json").read_text(encoding="utf-8"))
    nodes = json.loads((order / "lattice.json").read_text(encoding="utf-8"))
    intervals, widest = document["intervals"], document["widest"]
    with np.load(cross_evaluation / "predictions.npz") as predictions:
        images = len(predictions["labels"])
    of_own = own_accuracies(accuracy, list(rrc.columns))
    drawn = {
        word: accuracy_matrix(accuracy, len(accuracy) - len(rrc), f"top-1 {word}"),
        "rrc": rrc_curve(intervals, rrc, None if widest is None else intervals.index(widest)),
        "nmi": nmi_bars(nmi.drop(index=IMAGES), float(nmi["inter_mean"].to_dict()[IMAGES])),
    }
    if nodes is not None and len(nodes["nodes"]) <= MOST_NODES:
        named = [
            {"classifiers": [titles.get(name, name) for name in node["classifiers"]],
             "autoencoders": [rows.get(name, f"A_{name}") for name in node["autoencoders"]]}
            for node in nodes["nodes"]
        ]  # fmt: skip
        drawn["lattice"] = lattice(named, nodes["covers"])
    native = cross_evaluation / "native_accuracy.csv"
    values = {
        "images": images,
        "own": of_own,
        "accuracy": accuracy,
        "top5": top5,
        "nmi": nmi,
        "rrc": rrc,
        "widest": widest,
        "nodes": None if nodes is None else len(nodes["nodes"]),
        "order": None if widest is None else titled_order(widest["order"], titles),
        "thresholds": threshold_table([intervals[number] for number in document["shown"]], titles),
        "ranges": len(intervals),
        "views": views.rename(index=titles),
        "native": native_table(native, titles),
    }
    facts = [("test images", str(images)), *((f"{word}, {name}", spread(of_own[name])) for name in of_own)]
    return Part(TEMPLATE, values, drawn, [*files, *([native] if native.exists() else [])], METHOD, facts)


def own_accuracies(accuracy: pd.DataFrame, classifiers: list[str]) -> pd.DataFrame:
    """For each classifier its accuracy on the originals, on A_S's images and on those of its own A_i."""
    columns = {name: accuracy.loc[name, classifiers] for name in (IMAGES, START)}
    return pd.DataFrame(columns | {OWN: {name: accuracy.loc[f"A_{name}", name] for name in classifiers}})


def titled_order(groups: list[list[str]], titles: Mapping[str, str]) -> str:
    """An order in one line, with the names that people read."""
    return order_text([[titles.get(name, name) for name in group] for group in groups])


def threshold_table(intervals: list[dict[str, Any]], titles: Mapping[str, str]) -> pd.DataFrame:
    """Ranges of thresholds with the size of their lattice and their order."""
    rows = {
        f"({entry['from']:.3f}, {entry['to']:.3f}]": (
            "not counted" if entry["concepts"] is None else entry["concepts"],
            "no order" if entry["order"] is None else titled_order(entry["order"], titles),
        )
        for entry in intervals
    }
    return pd.DataFrame.from_dict(rows, orient="index", columns=["concepts", "order"])


def native_table(path: Path, titles: Mapping[str, str]) -> pd.DataFrame | None:
    """Accuracy on the originals in the native view of each classifier, if ``task=native_accuracy`` measured it."""
    if not path.exists():
        return None
    return read_table(path, index=0).rename(index=titles, columns=lambda column: column.replace("_", " "))


def spread(values: pd.Series) -> str:
    """The smallest and the largest of some shares."""
    low, high = 100 * values.min(), 100 * values.max()
    return f"{low:.1f} – {high:.1f} %" if high > low else f"{low:.1f} %"
