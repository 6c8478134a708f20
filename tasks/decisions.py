"""``task=decisions``: what each classifier predicts on the original images, for labels that are these decisions."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from omegaconf import DictConfig

from datamodules.base import ImageDataModule, Split
from datamodules.views.decided import OriginalImages
from datamodules.views.poisoned import without_poison
from lightning_modules.decisions import DecisionMaking, Decisions
from stats.decisions import class_shares, decision_summary
from study.artifact import Artifact, settings_of
from study.classifiers import classifier_inputs, every_classifier, labels_source, load_classifier
from study.console import say
from study.data import make_data
from study.decisions.files import EVALUATED, decisions_file, read_decisions
from study.decisions.names import class_names
from study.decisions.source import DECISIONS
from study.files import sha256
from study.folder import study_folder
from study.labels import without_decisions
from study.records import arrays_of
from study.step import Result, Step, Table
from study.trainer import accelerate, make_trainer

BATCH = 64  # images over all devices
PICTURES = 6  # test images shown on the page
LOW = 0.5  # the summary counts the images on which confidence is lower


def run(cfg: DictConfig) -> float:
    """Write the decisions of every classifier, and a summary of those on test images; returns the mean confidence."""
    configs = every_classifier(cfg)
    if labels_source(cfg) != DECISIONS:
        raise ValueError("task=decisions: this study has the labels of its images: for decisions, add labels=decisions")
    if (given := study_folder(cfg).cross_evaluation / "accuracy.csv").exists():
        raise ValueError(f"{given} was made with the labels of the images: use another study=<name>")
    cfg = without_decisions(cfg)  # of all images, also of those that labels.least_confidence leaves out
    data = without_poison(make_data(cfg, BATCH))
    for config in configs.values():
        for split in needed_splits(cfg):
            decide(cfg, config, data, split)
    return summarise(cfg, data, list(configs))


def needed_splits(cfg: DictConfig) -> list[Split]:
    """The splits whose decisions are labels of something; ``train`` takes long and is seldom one of them."""
    asked = {cfg.task, *cfg.analyses, *cfg.measurements}
    trained = "probe" in asked or ("class_patterns" in asked and cfg.class_patterns.split == "train")
    return [*EVALUATED, *(["train"] if trained else [])]  # type: ignore[list-item]


def decide(cfg: DictConfig, config: DictConfig, data: ImageDataModule, split: Split) -> None:
    """Make the decisions of a classifier on the images of a split, unless they exist."""
    path = decisions_file(cfg, config.name, split)
    inputs = {"images": data.fingerprint()} | classifier_inputs(cfg, {config.name: config})
    artifact = Artifact([path], path.with_suffix(".json"), settings_of(cfg), inputs, precious=False)

    def make() -> Result:
        say(f"[bold]decisions[/bold] of {config.name} on {split}")
        classifier = load_classifier(cfg, config, data)
        images = OriginalImages(data, split)
        shown = data.split("val")[0][0][None].float() / 255
        names = class_names(config, data, classifier(shown).shape[1])
        accelerate(cfg, classifier)
        complete = data.on_error != "skip"
        module = DecisionMaking(classifier, len(images.split("test")), names, complete)
        make_trainer(cfg).test(module, datamodule=images, verbose=False)
        confidence = float(module.result.confidence.mean())
        return Result(confidence, {path.name: arrays_of(module.result)}, unreadable=data.unreadable())

    Step(artifact, study_folder(cfg).job("decisions", config.name), cfg.seed).run(make)


def summarise(cfg: DictConfig, data: ImageDataModule, names: list[str]) -> float:
    """Write how confident the classifiers are, and which classes they predict; returns the mean confidence."""
    folder = study_folder(cfg).root / "decisions"
    paths = {name: decisions_file(cfg, name, "test") for name in names}
    files = [folder / name for name in ("summary.csv", "classes.csv", "pictures.npz")]
    settings, inputs = settings_of(cfg), {name: sha256(path) for name, path in paths.items()}
    artifact = Artifact(files, folder / "decisions.json", settings, inputs, precious=False)

    def make() -> Result:
        decisions = {name: read_decisions(cfg, name, "test") for name in names}
        rows, shares = [], []
        for name, one in decisions.items():
            rows.append({"classifier": name} | decision_summary(one.predicted, one.confidence, LOW))
            shares.append(class_shares(one.predicted, one.confidence, one.classes).assign(classifier=name))
        summary, classes = pd.DataFrame(rows), pd.concat(shares, ignore_index=True)
        classes = classes[["classifier", *classes.columns.drop("classifier")]]
        files = {"summary.csv": summary, "classes.csv": classes, "pictures.npz": pictures(data, decisions)}
        return Result(float(summary["confidence"].mean()), files, tables=[shown(summary)])

    return Step(artifact, study_folder(cfg).job("decisions")).run(make)


def pictures(data: ImageDataModule, decisions: Mapping[str, Decisions]) -> dict[str, Any]:
    """A few test images and the decisions on them, as arrays of a file.

    Args:
        data: The images.
        decisions: Those of each classifier on the test images.

    Returns:
        ``image_<k>``, uint8 ``(3, H, W)``; ``classifiers``; ``classes``, the predicted classes by name, and
        ``confidences``, both ``(images, classifiers)``: images of which the first classifier predicts different classes
        are preferred.
    """
    first = next(iter(decisions.values()))
    read = np.flatnonzero(first.predicted >= 0)
    order = read[np.argsort(first.predicted[read], kind="stable")]  # spread over the predicted classes
    chosen = np.sort(order[np.linspace(0, len(order) - 1, min(PICTURES, len(order))).round().astype(int)])
    split = data.split("test")
    arrays: dict[str, Any] = {f"image_{k}": split[index][0].numpy() for k, index in enumerate(chosen.tolist())}
    return arrays | {
        "classifiers": np.array(list(decisions)),
        "classes": np.stack([one.classes[one.predicted[chosen]] for one in decisions.values()], axis=1),
        "confidences": np.stack([one.confidence[chosen] for one in decisions.values()], axis=1),
    }


def shown(summary: pd.DataFrame) -> Table:
    """The summary for the terminal."""
    rows = [
        [str(row["classifier"]), str(row["images"]), str(row["classes"]), f"{row['confidence']:.2f}",
         f"{row['below']:.0%}"]
        for _, row in summary.iterrows()
    ]  # fmt: skip
    header = ["", "images", "classes predicted", "mean confidence", f"confidence below {LOW:g}"]
    return Table("decisions on the test images, which are their labels", header, rows)
