"""``task=concepts``: groups of images, of neurons and of pixels that go together, and what they are set against."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
import pytorch_lightning as pl
from omegaconf import DictConfig

from datamodules.base import ImageDataModule
from datamodules.poisoned import without_poison
from methods.concepts.activation_collection import NETWORK
from methods.concepts.activations import choose_images
from methods.concepts.baselines import controls_table
from methods.concepts.controls import OWN
from methods.concepts.fits import method_of
from methods.concepts.job import ConceptJob, Described
from networks.activations import list_layers
from study import classifiers
from study.artifact import Artifact, settings_of, without
from study.console import is_first_rank, say, say_made, say_skipped, show_table
from study.data import make_data
from study.distributed import wait_for_ranks
from study.files import sha256
from study.folder import study_folder
from study.labels import own_labels
from study.results import write_results

TABLES = (
    "concepts", "profile", "classes", "neurons", "controls", "importance", "ranks", "stability", "impurity", "cues",
)  # fmt: skip
COUNTS = ("k", "images", "heldout_images", "layer_count", "chunk", "permutations", "top_images")
CHOICES = {
    "split": ("val", "test"), "pool": ("avg", "max", "none"), "negative": ("refuse", "split"),
    "storage": ("float32", "float16"),
}  # fmt: skip
NOT_DECISIVE = {"memory", "superclasses"}  # of super-classes the table's content counts, not its path


def run(cfg: DictConfig) -> float:
    """Find and describe concepts of every classifier; returns their mean class entropy."""
    folder, options = study_folder(cfg), cfg.concepts
    configs, data = classifiers.study_classifiers(cfg), without_poison(make_data(cfg, options.chunk))
    if options.layers == "list":
        return print_layers(cfg, configs, data)
    check_options(options, data)
    place = folder.root / "concepts"
    summary = everything(cfg, configs, data, place)
    files = summary.files[: len(TABLES)]
    if summary.exists():
        return say_skipped(files[0], summary.objective())
    pl.seed_everything(cfg.seed, workers=True, verbose=False)
    for config in configs.values():
        ConceptJob(cfg, config, place, summary.identity).check()
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
    wait_for_ranks()
    say_made(files[0])
    return mean


def everything(cfg: DictConfig, configs: Mapping[str, DictConfig], data: ImageDataModule, place: Path) -> Artifact:
    """What this task makes: tables, in the order of ``TABLES``, then the factorisations."""
    inputs = {"images": data.fingerprint()} | {
        f"classifier {name}": classifiers.weights_fingerprint(cfg, config) for name, config in configs.items()
    }
    inputs |= {f"question to {name}": str(asked) for name, asked in own_labels(configs).items()}
    if cfg.concepts.superclasses is not None:
        table = Path(cfg.concepts.superclasses)
        inputs["superclasses"] = sha256(table) if table.is_file() else "none"  # which is refused later
    settings = without(settings_of(cfg, "concepts"), NOT_DECISIVE)
    files = [place / f"{name}.csv" for name in TABLES]
    pictures = [place / f"{name}{end}.npz" for name in configs for end in ("", "-stability")]
    return Artifact([*files, *pictures], place / "concepts.json", settings, inputs, precious=False)


def stack(tables: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Tables below each other, each with its classifier in the first column; empty ones give columns only."""
    named = [table.assign(classifier=name) for name, table in tables.items()]
    stacked = pd.concat([table for table in named if len(table)] or named[:1], ignore_index=True)
    return stacked[["classifier", *stacked.columns.drop("classifier")]]


def check_options(options: DictConfig, data: ImageDataModule) -> None:
    """Find settings that cannot work before any work is done."""
    method = method_of(options)
    for key in ("seeds", "ranks"):
        if options[key] is None or isinstance(options[key], str):
            raise ValueError(f"concepts.{key}={options[key]}: give a list, [] for none")
    seeds, ranks = list(options.seeds), list(options.ranks)
    least = {key: options[key] for key in COUNTS if options[key] is not None} | {"passes": method.passes}
    whole = {f"{key}={count}: give a whole number from 1 on": (count, 1) for key, count in least.items()}
    whole[f"importance_images={options.importance_images}: give a whole number from 0 on"] = (
        options.importance_images,
        0,
    )
    problems = {problem: not isinstance(count, int) or count < lowest for problem, (count, lowest) in whole.items()}
    problems |= {
        f"{key}={options[key]}: choose {' or '.join(choice)}": options[key] not in choice
        for key, choice in CHOICES.items()
    }
    problems |= {
        f"ranks={ranks}: give whole numbers from 1 on": any(not isinstance(rank, int) or rank < 1 for rank in ranks),
        f"seeds={seeds}: give each once, from 0 on": len(set(seeds)) < len(seeds)
        or any(not isinstance(seed, int) or seed < 0 for seed in seeds),
        f"layers={options.layers}: give names in brackets, as [{options.layers}], or list": isinstance(
            options.layers, str
        ),
    }
    for problem, found in problems.items():
        if found:
            raise ValueError(f"concepts.{problem}")
    if data.single_pass:
        raise ValueError("task=concepts chooses images by their position: use images in folders, not shards")
    images = len(choose_images(options, data)[0].chosen)
    most = max(int(options.k), *map(int, ranks or [0]))
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
