"""``task=disagreement``: where compressed classifiers and their parents disagree, with pictures for the report."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from omegaconf import DictConfig

from datamodules.base import ImageDataModule
from datamodules.digests import read_checked
from stats.compression import class_shares, exemplar_table
from stats.disagreement import children_of, disagreements, exemplars, modal, predicted_classes
from stats.names import ORIGINAL
from stats.predictions import Predictions
from study.artifact import Artifact
from study.classifiers import compression, study_classifiers
from study.data import make_data
from study.folder import study_folder
from study.inputs import verified
from study.predictions import read_predictions
from study.step import Result, Step, Table

FILES = ("disagreement.csv", "classes.csv", "exemplars.csv", "exemplars.npz")


def run(cfg: DictConfig) -> float:
    """Write how often each child disagrees with its parent, and exemplars; return the mean share on the originals."""
    folder, data, configs = study_folder(cfg), make_data(cfg), study_classifiers(cfg)
    parents = {
        name: str(block.parent) for name, config in configs.items() if (block := compression(config)) is not None
    }
    if not parents:
        raise ValueError(f"none of classifiers={list(configs)} is compressed from another: add one, as vgg_pruned")
    source = folder.predictions
    inputs = {"predictions": verified(source, cfg, "cross_evaluate")}
    check_images(source.with_name("cross_evaluation.json"), data)
    predictions = read_predictions(source)
    missing = sorted({*parents, *parents.values()} - set(predictions.columns))
    if missing:
        raise ValueError(f"{source} has no {', '.join(missing)}: evaluate again, with task=cross_evaluate")
    root = folder.root / "disagreement"
    settings = {"disagreement": {"images": cfg.disagreement.images}, "parents": parents}
    artifact = Artifact([root / name for name in FILES], root / "provenance.json", settings, inputs, precious=False)

    def make() -> Result:
        table = disagreements(predictions, parents)
        share = float(table[table["source"] == ORIGINAL]["share"].mean())
        pictures = exemplar_arrays(predictions, parents, data, cfg.disagreement.images)
        contents = {
            "disagreement.csv": table,
            "classes.csv": class_shares(predictions, parents, data.classes),
            "exemplars.csv": exemplar_table(predictions, parents),
            "exemplars.npz": pictures,
        }
        return Result(share, contents, tables=[summary(table)])

    return Step(artifact, folder.job("disagreement")).run(make)


def summary(table: pd.DataFrame) -> Table:
    """The table for the terminal."""
    rows = [
        [row["child"], row["parent"], row["source"], f"{row['share']:.1%}", f"{row['low']:.1%} – {row['high']:.1%}",
         str(row["parent_only"]), str(row["child_only"]), f"{row['p']:.3f}"]
        for row in table.to_dict("records")
    ]  # fmt: skip
    header = ["child", "parent", "images of", "disagree", "95 %", "only parent right", "only child right", "p"]
    return Table("compressed classifiers and their parents", header, rows)


def check_images(provenance: Path, data: ImageDataModule) -> None:
    """Refuse predictions about other images than those at hand."""
    if read_checked(provenance)["inputs"]["images"] != data.fingerprint():
        raise ValueError(f"{provenance} is about other images than data: use those, or evaluate again")


def exemplar_arrays(
    predictions: Predictions, parents: dict[str, str], data: ImageDataModule, count: int
) -> dict[str, Any]:
    """Pictures of exemplars, equally many of each parent, spread evenly over those there are."""
    split, classes = data.split("test"), np.array(data.classes)
    columns = ("images", "index", "of", "label", "parent_sees", "children_see")
    kept: dict[str, list[Any]] = {name: [] for name in columns}
    families = children_of(parents)
    for parent, children in families.items():
        rows = exemplars(predictions, children, parent)
        spread = np.linspace(0, len(rows) - 1, min(len(rows), max(1, count // len(families)))).round().astype(int)
        chosen = rows[spread]
        votes = np.stack([predicted_classes(predictions, child, ORIGINAL) for child in children], axis=1)
        kept["images"] += [split[index][0].numpy() for index in predictions.index[chosen].tolist()]
        kept["index"] += predictions.index[chosen].tolist()
        kept["of"] += [parent] * len(chosen)
        kept["label"] += classes[predictions.labels[chosen, predictions.columns.index(parent)]].tolist()
        kept["parent_sees"] += classes[predicted_classes(predictions, parent, ORIGINAL)[chosen]].tolist()
        kept["children_see"] += classes[modal(votes)[chosen]].tolist()
    return {"classes": classes} | {name: np.array(values) for name, values in kept.items()}
