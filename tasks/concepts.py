"""``task=concepts``: groups of images, of neurons and of pixels that go together, beside their controls.

For each classifier: pixels and activations are collected (``methods/concepts/activations.py``), factorised by
:class:`methods.concepts.fits.ConceptFactorization`, and described by the tables below.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd
from omegaconf import DictConfig

from datamodules.base import ImageDataModule
from datamodules.views.poisoned import without_poison
from methods.concepts import tables
from methods.concepts.activation_collection import NETWORK
from methods.concepts.activations import check_images
from methods.concepts.controls import CONCEPTS, controls_table
from methods.concepts.job import ConceptJob
from networks.activations import list_layers
from study import classifiers
from study.artifact import Artifact, settings_of, without
from study.console import is_first_rank, say, show_table
from study.data import make_data
from study.files import sha256
from study.folder import study_folder
from study.labels import with_labels_of
from study.records import arrays_of
from study.step import CHECKPOINT, Result, Step, Table

TABLES: dict[str, Callable[[ConceptJob], pd.DataFrame]] = {
    "concepts": lambda job: tables.concepts_table(
        job.record, job.superclasses, job.cfg.seed, job.settings.permutations
    ),
    "profile": lambda job: tables.profile_table(job.record),
    "classes": lambda job: tables.classes_table(job.record, job.superclasses),
    "neurons": lambda job: tables.neurons_table(job.record),
    "controls": controls_table,
    "importance": ConceptJob.importance,
    "ranks": ConceptJob.ranks,
    "stability": ConceptJob.stability_table,
    "impurity": lambda job: tables.impurity_table(job.record),
    "cues": ConceptJob.cues,
}
NOT_DECISIVE = {"memory", "superclasses"}  # of super-classes the content of the table counts, not its path


def run(cfg: DictConfig) -> float:
    """Find and describe the concepts of every classifier; returns their mean class entropy."""
    configs, data = classifiers.study_classifiers(cfg), without_poison(make_data(cfg))
    if cfg.concepts.layers == "list":
        return print_layers(cfg, configs, data)
    check_images(cfg.concepts, data)
    folder = study_folder(cfg)
    artifact = concepts_artifact(cfg, configs, data, folder.root / "concepts")

    def make_job(name: str) -> ConceptJob:
        return ConceptJob(with_labels_of(cfg, configs[name]), configs[name], artifact.identity)

    mean = Step(artifact, folder.job("concepts"), cfg.seed).run(lambda: make(list(configs), make_job))
    if is_first_rank():
        for name in configs:
            (folder.job("concepts", name) / CHECKPOINT).unlink(missing_ok=True)
    return mean


def make(names: list[str], make_job: Callable[[str], ConceptJob]) -> Result:
    """The tables and the factorisations of all classifiers, one classifier in memory at a time."""
    for name in names:
        make_job(name).check()
    parts: dict[str, dict[str, pd.DataFrame]] = {table: {} for table in TABLES}
    files: dict[str, Any] = {}
    for name in names:
        say(f"[bold]concepts[/bold] of {name}")
        job = make_job(name)
        for table, make_table in TABLES.items():
            parts[table][name] = make_table(job)
        files |= {f"{name}.npz": arrays_of(job.record), f"{name}-stability.npz": {"matrix": job.stability.matrix}}
    stacked = {table: stack(part) for table, part in parts.items()}
    controls = stacked["controls"]
    mean = float(controls[controls["control"] == CONCEPTS]["class_entropy"].mean())
    files |= {f"{table}.csv": content for table, content in stacked.items()}
    return Result(mean, files, {"class entropy of concepts": mean}, [printed(controls)])


def concepts_artifact(
    cfg: DictConfig, configs: Mapping[str, DictConfig], data: ImageDataModule, folder: Path
) -> Artifact:
    """The files of this task: the tables, then for each classifier its record and its stability matrix."""
    inputs = {"images": data.fingerprint()} | classifiers.classifier_inputs(cfg, configs)
    if cfg.concepts.superclasses is not None:
        table = Path(cfg.concepts.superclasses)
        inputs["superclasses"] = sha256(table) if table.is_file() else "none"  # refused when it is read
    settings = without(settings_of(cfg, "concepts"), NOT_DECISIVE)
    files = [folder / f"{table}.csv" for table in TABLES]
    files += [folder / f"{name}{end}.npz" for name in configs for end in ("", "-stability")]
    return Artifact(files, folder / "concepts.json", settings, inputs, precious=False)


def stack(parts: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Tables below each other, each with its classifier in the first column; empty tables give columns only."""
    named = [table.assign(classifier=name) for name, table in parts.items()]
    stacked = pd.concat([table for table in named if len(table)] or named[:1], ignore_index=True)
    return stacked[["classifier", *stacked.columns.drop("classifier")]]


def print_layers(cfg: DictConfig, configs: Mapping[str, DictConfig], data: ImageDataModule) -> float:
    """Print the layers of every classifier."""
    image = data.split("test")[0][0][None].float() / 255
    for name, config in configs.items():
        layers = list_layers(classifiers.load_classifier(cfg, config, data), image)
        rows = [
            [layer.name.removeprefix(f"{NETWORK}."), layer.kind, " × ".join(map(str, layer.shape))]
            for layer in layers
            if layer.name.startswith(f"{NETWORK}.")
        ]
        show_table(f"layers of {name}", ["concepts.layers", "kind", "makes"], rows)
    return 0.0


def printed(controls: pd.DataFrame) -> Table:
    """How far the concepts and the controls keep to the classes."""
    rows = [
        [str(row["classifier"]), str(row["control"]), f"{row['class_entropy']:.3f}", f"{row['null_mean']:.3f}",
         f"{row['nmi']:.2f}", f"{row['knn_accuracy']:.1%}"]
        for row in controls.to_dict("records")
    ]  # fmt: skip
    return Table("concepts", ["", "", "class entropy", "permuted labels", "nMI", "neighbours"], rows)
