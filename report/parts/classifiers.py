"""The page of a study of classifiers alone begins with this: which classifiers there are, and how accurate."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from report.page import Part
from report.parts.study import native_table, spread
from report.provenance import settings_of
from report.tables import read_table
from report.words import in_words

TEMPLATE = "report/templates/classifiers.html.j2"
VALIDATED = "accuracy, validation images"  # of given labels, which a classifier that is trained here has
TESTED, ATTACKED = "accuracy, test images", "accuracy, test images under attack"
NORMS = {"linf": "L∞", "l2": "L2"}


def read(
    root: Path, titles: Mapping[str, str], views: pd.DataFrame, images: int, records: Mapping[str, Path | str]
) -> Part:
    """The part of a study of classifiers alone.

    Args:
        root: The study's folder.
        titles: Display name of each classifier.
        views: What each classifier does to an image and how much of it the classifier sees, by its name.
        images: Number of test images.
        records: For each classifier the provenance of its weights; words for weights from elsewhere.
    """
    robust, native = root / "robustness" / "alone.csv", root / "cross_evaluation" / "native_accuracy.csv"
    attacked = read_table(robust, index=0) if robust.exists() else pd.DataFrame()
    accuracy, training = {}, {}
    for name, source in records.items():
        record = json.loads(source.read_text(encoding="utf-8")) if isinstance(source, Path) else {}
        accuracy[titles[name]] = {VALIDATED: record.get("objective", np.nan)}
        if name in attacked.index:
            row = attacked.loc[name]
            accuracy[titles[name]] |= {in_words(TESTED): row["accuracy"], in_words(ATTACKED): row["robust_accuracy"]}
        training[titles[name]] = source if isinstance(source, str) else described(record["settings"])
    table = pd.DataFrame.from_dict(accuracy, orient="index").astype(float).dropna(axis=1, how="all")
    values = {
        "names": list(training),
        "training": pd.DataFrame.from_dict(training, orient="index", columns=["trained"]),
        "accuracy": table if table.shape[1] else None,
        "attacker": attack(settings_of(robust.with_suffix(".json"))["attack"]) if robust.exists() else None,
        "images": images,
        "views": views.rename(index=titles),
        "native": native_table(native, titles),
    }
    files = [path for path in (native, robust) if path.exists()]
    facts = [("test images", str(images)), *((str(column), spread(table[column])) for column in table)]
    return Part(TEMPLATE, values, files=files, facts=facts)


def described(settings: Mapping[str, Any]) -> str:
    """How a classifier was trained, in words, from the settings of its weights."""
    training = settings.get("train_classifier")
    if training is None:
        return "from another classifier"
    adversary, poison = training.get("adversary"), settings.get("data", {}).get("poison")
    how = "on images as they are" if adversary is None else f"on images attacked by {attack(adversary)}"
    return how + ("" if poison is None else ", some of them poisoned")


def attack(adversary: Mapping[str, Any]) -> str:
    """An adversary in words."""
    norm = NORMS.get(adversary["norm"], adversary["norm"])
    steps = f", {adversary['steps']} steps" if "steps" in adversary else ""
    return f"PGD, {norm} ≤ {adversary['epsilon']:.3g}{steps}"
