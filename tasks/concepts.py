"""``task=concepts``: groups of images, of neurons and of pixels that go together, and what they are set against."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
import pytorch_lightning as pl
import torch
from omegaconf import DictConfig

from analysis.concepts.controls import OWN
from datamodules.base import ImageDataModule
from datamodules.poisoned import without_poison
from lightning_modules.activation_collection import NETWORK
from networks.activations import list_layers
from tasks import build, classifiers, questions
from tasks.concept_activations import choose_images
from tasks.concept_controls import controls_table
from tasks.concept_fits import method_of
from tasks.concept_job import ConceptJob, Described
from tasks.results import write_results
from tasks.study_folder import Artifact
from tasks.terminal import is_first_rank, say, say_made, say_skipped, show_table

TABLES = (
    "concepts", "profile", "classes", "neurons", "controls", "importance", "ranks", "stability", "impurity", "cues",
)  # fmt: skip
NOT_DECISIVE = {"memory"}


def run(cfg: DictConfig) -> float:
    """Find and describe concepts of every classifier; returns their mean class entropy."""
    folder, options = build.study_folder(cfg), cfg.concepts
    configs, data = classifiers.study_classifiers(cfg), without_poison(build.make_data(cfg, options.chunk))
    if options.layers == "list":
        return print_layers(cfg, configs, data)
    check_options(options, data)
    place = folder.root / "concepts"
    inputs = {"images": data.fingerprint()} | {
        f"classifier {name}": classifiers.weights_fingerprint(cfg, config) for name, config in configs.items()
    }
    inputs |= {f"question to {name}": str(asked) for name, asked in questions.questions(configs).items()}
    settings = build.without(build.settings_of(cfg, "concepts"), NOT_DECISIVE)
    files = [place / f"{name}.csv" for name in TABLES]
    pictures = [place / f"{name}{end}.npz" for name in configs for end in ("", "-stability")]
    summary = Artifact([*files, *pictures], place / "concepts.json", settings, inputs, precious=False)
    if summary.exists():
        return say_skipped(files[0], summary.objective())
    pl.seed_everything(cfg.seed, workers=True, verbose=False)
    made: dict[str, Described] = {}
    for name, config in configs.items():
        say(f"[bold]concepts[/bold] of {name}")
        job = ConceptJob(cfg, config, place, summary.identity)
        made[name] = job.described(controls_table(job))
    stacked = {key: stack({name: found.tables[key] for name, found in made.items()}) for key in TABLES}
    controls = stacked["controls"]
    mean = float(controls[controls["control"] == OWN]["class_entropy"].mean())
    if is_first_rank():
        with summary.making(mean) as temporary:
            for key, path in zip(TABLES, files, strict=True):
                stacked[key].to_csv(temporary[path], index=False)
            for name, found in made.items():
                found.file.save(temporary[place / f"{name}.npz"])
                np.savez_compressed(temporary[place / f"{name}-stability.npz"], matrix=found.matrix)
        write_results(folder.job("concepts"), {"class entropy of concepts": mean})
        for name in configs:
            (folder.job("concepts", name) / "last.ckpt").unlink(missing_ok=True)
        show(controls)
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        torch.distributed.barrier()
    say_made(files[0])
    return mean


def stack(tables: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Tables below each other, each with its classifier in the first column; empty ones give columns only."""
    named = [table.assign(classifier=name) for name, table in tables.items()]
    stacked = pd.concat([table for table in named if len(table)] or named[:1], ignore_index=True)
    return stacked[["classifier", *stacked.columns.drop("classifier")]]


def check_options(options: DictConfig, data: ImageDataModule) -> None:
    """Find settings that cannot work before any work is done."""
    method = method_of(options)
    problems = {
        f"split={options.split}: choose val or test": options.split not in ("val", "test"),
        f"k={options.k}, passes={method.passes}, chunk={options.chunk}: give 1 or more": min(
            options.k, method.passes, options.chunk
        )
        < 1,
        f"storage={options.storage}: choose float32 or float16": options.storage not in ("float32", "float16"),
        f"pool={options.pool}: choose avg, max or none": options.pool not in ("avg", "max", "none"),
        f"negative={options.negative}: choose refuse or split": options.negative not in ("refuse", "split"),
        f"seeds={list(options.seeds)}: give each once, from 0 on": len(set(options.seeds)) < len(options.seeds)
        or any(seed < 0 for seed in options.seeds),
        f"top_images={options.top_images}: give 1 or more": options.top_images < 1,
    }
    for problem, found in problems.items():
        if found:
            raise ValueError(f"concepts.{problem}")
    if data.single_pass:
        raise ValueError("task=concepts chooses images by their position: use images in folders, not shards")
    images = len(choose_images(options, data)[0].chosen)
    most = max(int(options.k), *map(int, options.ranks)) if options.ranks else int(options.k)
    if most > images:
        raise ValueError(f"concepts.k={most}: there are {images} images, so at most {images} concepts")


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


def show(table: pd.DataFrame) -> None:
    """Print how far concepts and controls keep to the classes."""
    rows = [
        [str(row["classifier"]), str(row["control"]), f"{row['class_entropy']:.3f}", f"{row['null_mean']:.3f}",
         f"{row['nmi']:.2f}", f"{row['knn_accuracy']:.1%}"]
        for row in table.to_dict("records")
    ]  # fmt: skip
    show_table("concepts", ["", "", "class entropy", "permuted labels", "nMI", "neighbours"], rows)
