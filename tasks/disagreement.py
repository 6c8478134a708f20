"""``task=disagreement``: where compressed classifiers and their parents disagree, with pictures for the report."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from omegaconf import DictConfig

from datamodules.base import ImageDataModule
from stats.accuracy_csv import ORIGINAL
from stats.disagreement import answers, children_of, disagreements, exemplars, modal
from stats.predictions import Predictions, read_predictions
from study import classifiers
from study.artifact import Artifact, require
from study.console import say_made, say_skipped, show_table
from study.data import make_data
from study.files import sha256
from study.folder import study_folder


def run(cfg: DictConfig) -> float:
    """Write how often each child disagrees with its parent, and exemplars; return the mean share on the originals."""
    folder, data = study_folder(cfg), make_data(cfg)
    configs = classifiers.study_classifiers(cfg)
    parents = {
        name: str(block.parent)
        for name, config in configs.items()
        if (block := classifiers.compression(config)) is not None
    }
    if not parents:
        raise ValueError(f"none of classifiers={list(configs)} is compressed from another: add one, as vgg_pruned")
    source = require(folder.cross_evaluation / "predictions.npz", cfg, "cross_evaluate")
    check_images(source.with_name("cross_evaluation.json"), data, cfg)
    predictions = read_predictions(source)
    missing = sorted({*parents, *parents.values()} - set(predictions.columns))
    if missing:
        raise ValueError(f"{source} has no {', '.join(missing)}: evaluate again, with task=cross_evaluate")
    table, pictures = (folder.root / "disagreement" / name for name in ("disagreement.csv", "exemplars.npz"))
    artifact = Artifact(
        [table, pictures],
        table.with_name("provenance.json"),
        {"disagreement": {"images": cfg.disagreement.images}, "parents": parents},
        {"predictions": sha256(source)},
        precious=False,
    )
    if artifact.exists():
        return say_skipped(table, artifact.objective())
    found = disagreements(predictions, parents)
    share = float(found[found["source"] == ORIGINAL]["share"].mean())
    with artifact.making(share) as temporary:
        found.to_csv(temporary[table], index=False)
        write_exemplars(temporary[pictures], predictions, parents, data, cfg.disagreement.images)
    cells = [
        [row["child"], row["parent"], row["source"], f"{row['share']:.1%}", f"{row['low']:.1%} – {row['high']:.1%}",
         str(row["parent_only"]), str(row["child_only"]), f"{row['p']:.3f}"]
        for row in found.to_dict("records")
    ]  # fmt: skip
    header = ["child", "parent", "images of", "disagree", "95 %", "only parent right", "only child right", "p"]
    show_table("compressed classifiers and their parents", header, cells)
    say_made(table)
    return share


def check_images(provenance: Path, data: ImageDataModule, cfg: DictConfig) -> None:
    """Refuse predictions about other images than those at hand."""
    record = json.loads(require(provenance, cfg, "cross_evaluate").read_text(encoding="utf-8"))
    if record["inputs"]["images"] != data.fingerprint():
        raise ValueError(f"{provenance} is about other images than data: use those, or evaluate again")


def write_exemplars(
    path: Path, predictions: Predictions, parents: dict[str, str], data: ImageDataModule, count: int
) -> None:
    """Keep pictures of exemplars, equally many of each parent, spread evenly over those found."""
    split, classes = data.split("test"), np.array(data.classes)
    kept: dict[str, list[Any]] = {
        name: [] for name in ("images", "index", "of", "label", "parent_sees", "children_see")
    }
    families = children_of(parents)
    for parent, children in families.items():
        found = exemplars(predictions, children, parent)
        places = np.linspace(0, len(found) - 1, min(len(found), max(1, count // len(families)))).round().astype(int)
        chosen = found[places]
        voters = np.stack([answers(predictions, child, ORIGINAL) for child in children], axis=1)
        kept["images"] += [split[index][0].numpy() for index in predictions.index[chosen].tolist()]
        kept["index"] += predictions.index[chosen].tolist()
        kept["of"] += [parent] * len(chosen)
        kept["label"] += classes[predictions.labels[chosen, predictions.columns.index(parent)]].tolist()
        kept["parent_sees"] += classes[answers(predictions, parent, ORIGINAL)[chosen]].tolist()
        kept["children_see"] += classes[modal(voters)[chosen]].tolist()
    arrays: dict[str, Any] = {name: np.array(values) for name, values in kept.items()}
    np.savez_compressed(path, classes=classes, **arrays)
