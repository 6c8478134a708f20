"""What the report of a study of classifiers alone begins with: which they are, and how good."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from report.page import Section, typeset_html
from report.study import views_section

VALIDATED, TESTED, ATTACKED = (
    f"accuracy, {images}" for images in ("validation images", "test images", "test images under attack")
)
NORMS = {"linf": "L∞", "l2": "L2"}


@dataclass(frozen=True)
class ClassifierTables:
    """What is known of a study's classifiers, with names as people read them.

    Attributes:
        training: How each was trained.
        accuracy: In [0, 1]; NaN where it was not measured.
        attacker: Who attacked the test images, in words; ``None`` if nobody did.
        images: Number of test images.
        views: What each classifier does to an image and how much of it it sees.
        native: Accuracy on the originals in each classifier's native view, and as published; or ``None``.
    """

    training: pd.DataFrame
    accuracy: pd.DataFrame
    attacker: str | None
    images: int
    views: pd.DataFrame
    native: pd.DataFrame | None


def read_classifiers(
    records: Mapping[str, Path | str],
    labels: Mapping[str, str],
    images: int,
    views: pd.DataFrame,
    native: Path,
    robust: Path,
) -> ClassifierTables:
    """Read how the classifiers of a study were trained and what their trainings found.

    Args:
        records: The provenance of each classifier's weights; in words where they are from, if not from a study.
        labels: What people call each classifier.
        images: Number of test images.
        views: What each does to an image, by its name.
        native: The table of ``task=native_accuracy``, which may be missing.
        robust: That of ``task=robust_accuracy``, likewise; its provenance is beside it.
    """
    attacked = pd.read_csv(robust, index_col=0) if robust.exists() else pd.DataFrame()
    accuracy, training = {}, {}
    for name, source in records.items():
        record = json.loads(source.read_text(encoding="utf-8")) if isinstance(source, Path) else {}
        accuracy[labels[name]] = {VALIDATED: record.get("objective", np.nan)}
        if name in attacked.index:
            row = attacked.loc[name]
            accuracy[labels[name]] |= {TESTED: row["accuracy"], ATTACKED: row["robust_accuracy"]}
        training[labels[name]] = source if isinstance(source, str) else described(record["settings"])
    table = pd.DataFrame.from_dict(accuracy, orient="index").astype(float)
    return ClassifierTables(
        pd.DataFrame.from_dict(training, orient="index", columns=["trained"]),
        table.dropna(axis=1, how="all"),
        attack(provenance(robust)["adversary"]) if robust.exists() else None,
        images,
        views.rename(index=dict(labels)),
        pd.read_csv(native, index_col=0).rename(index=dict(labels)) if native.exists() else None,
    )


def provenance(table: Path) -> dict[str, Any]:
    """The settings that a table was made with."""
    record: dict[str, Any] = json.loads(table.with_suffix(".json").read_text(encoding="utf-8"))
    settings: dict[str, Any] = record["settings"]
    return settings


def described(settings: Mapping[str, Any]) -> str:
    """How a classifier was trained, in words, from its weights' settings."""
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


def lead(study: ClassifierTables) -> str:
    """The page's first sentences, as HTML."""
    names = [typeset_html(str(name)) for name in study.training.index]
    who = names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
    what = "the network" if len(names) == 1 else "these networks"
    return f"What is in <strong>{who}</strong>: a study of {what} alone, without autoencoders."


def facts(study: ClassifierTables) -> list[tuple[str, str]]:
    """The numbers at the top of the page."""
    found = [("test images", str(study.images))]
    for column in study.accuracy:
        low, high = study.accuracy[column].min(), study.accuracy[column].max()
        spread = f"{100 * low:.1f} – {100 * high:.1f} %" if high > low else f"{100 * low:.1f} %"
        found.append((str(column), spread))
    return found


def sections(study: ClassifierTables) -> list[Section]:
    """The parts that every such page begins with."""
    tables = {"How they were trained": study.training}
    if study.accuracy.shape[1]:
        tables["Accuracy"] = study.accuracy
    text = "The classifiers that the following sections look into, and how often each of them is right. Over "
    text += f"{study.images} test images, an accuracy’s standard error is at most {50 / study.images**0.5:.1f} points."
    if study.attacker is not None:
        text += (
            f" <em>Under attack</em> ({study.attacker}), an image counts as right if the classifier is right on it as "
            "it is and on every image that projected gradient descent tries within its budget: for any value of any "
            "pixel (L<sub>∞</sub>) or for the Euclidean length of the whole change (L<sub>2</sub>), pixels in [0, 1]."
        )
    return [Section("The classifiers", text, tables=tables), views_section(study.views, study.native)]
