"""``task=layer_features``: images that show what layers find most informative in a set of images."""

from collections.abc import Sequence
from pathlib import Path
from typing import get_args

import pandas as pd
import pytorch_lightning as pl
from omegaconf import DictConfig

from datamodules.base import ImageDataModule
from datamodules.poisoned import without_poison
from methods.layer_features.image_set import ImageSet, folder_images, split_images
from methods.layer_features.job import FeatureJobs
from methods.layer_features.networks import FeatureNetwork, feature_networks
from methods.layer_features.numbers import BASELINES, METHODS, START, wins
from methods.layer_features.presets import PRESETS
from methods.layer_features.start_images import Start
from study.artifact import Artifact, settings_of, without
from study.console import is_first_rank, say, say_made, say_skipped, say_skipped_images, show_table
from study.data import make_data
from study.distributed import wait_for_ranks
from study.folder import study_folder
from study.results import write_results

FILES = ("numbers.csv", "diversity.csv", "costs.csv")


def run(cfg: DictConfig) -> float:
    """Synthesise for every network and seed; returns the share of clusters whose synthesis beats both baselines."""
    check_options(cfg.layer_features)
    folder, data = study_folder(cfg), without_poison(make_data(cfg))
    networks = feature_networks(cfg, data)
    if cfg.layer == "list":
        return print_layers(networks)
    place = folder.root / "layer_features"
    sets = {size: load_images(cfg, data, size) for size in dict.fromkeys(which.size for which in networks)}
    say_skipped_images(next(iter(sets.values())).skipped, folder.job("layer_features"))
    jobs = [FeatureJobs(cfg, which, sets[which.size], place) for which in networks]
    summary = tables_artifact(cfg, jobs, place)
    if summary.exists():
        return say_skipped(summary.files[0], summary.objective())
    pl.seed_everything(cfg.seed, workers=True, verbose=False)
    for job in jobs:
        for seed in cfg.layer_features.seeds:
            say(f"[bold]features[/bold] of {job.which.name}, seed {seed}")
            job.make(int(seed))
    numbers, apart = (stacked(jobs, cfg.layer_features.seeds, place) for place in (1, 2))
    costs = pd.DataFrame([row for job in jobs for row in job.costs()])
    won = wins(numbers)
    share = float(won["both"].sum() / won["clusters"].sum())
    if is_first_rank():
        with summary.making(share) as temporary:
            for path, table in zip(summary.files, (numbers, apart, costs), strict=True):
                table.to_csv(temporary[path], index=False)
        write_results(folder.job("layer_features"), {"share of clusters that beat both baselines": share})
        show(numbers, won)
    wait_for_ranks()
    say_made(summary.files[0])
    return share


def check_options(options: DictConfig) -> None:
    """Find settings that cannot work before any work is done."""
    counts = ("clusters", "components", "members", "channels", "chunk")
    few = [f"{key}={options[key]}" for key in counts if options[key] < 1]
    given = {key: options[key] for key in ("iterations", "image_count", "size", "lr") if options[key] is not None}
    optional = [f"{key}={value}" for key, value in given.items() if value <= 0]
    seeds = list(options.seeds)
    problems = {
        f"preset={options.preset}: choose {' or '.join(PRESETS)}": options.preset not in PRESETS,
        f"{', '.join(few)}: give 1 or more": bool(few),
        f"{', '.join(optional)}: give a number above 0, or null": bool(optional),
        f"seeds={seeds}: give at least one, each from 0 on and once": not seeds
        or len(set(seeds)) < len(seeds)
        or not all(isinstance(seed, int) and seed >= 0 for seed in seeds),
        f"start={options.start}: choose {', '.join(get_args(Start))}": options.start not in (None, *get_args(Start)),
        f"on_error={options.on_error}: choose raise or skip": options.on_error not in ("raise", "skip"),
    }
    for problem, found in problems.items():
        if found:
            raise ValueError(f"layer_features.{problem}")


def load_images(cfg: DictConfig, data: ImageDataModule, size: int) -> ImageSet:
    """The set of images: a folder's, or the study's test images."""
    options = cfg.layer_features
    if cfg.images is not None:
        return folder_images(Path(cfg.images), options.image_count, size, options.on_error, Path(cfg.cache))
    if data.single_pass:
        raise ValueError("task=layer_features chooses images by their position: name a folder as images=/data/pets")
    return split_images(data.split("test"), options.image_count, size)


def tables_artifact(cfg: DictConfig, jobs: list[FeatureJobs], place: Path) -> Artifact:
    """The tables of all networks and seeds."""
    inputs = {"images": "; ".join(dict.fromkeys(job.images.fingerprint() for job in jobs))}
    inputs |= {f"network {job.which.name}": job.which.fingerprint for job in jobs}
    settings = settings_of(cfg, "layer", "layer_features")
    settings["layer_features"] = without(settings["layer_features"], {"chunk"})
    return Artifact([place / name for name in FILES], place / "numbers.json", settings, inputs, precious=False)


def stacked(jobs: Sequence[FeatureJobs], seeds: Sequence[int], place: int) -> pd.DataFrame:
    """The tables at one place among the files of every network and seed, below each other."""
    paths = [job.artifact(int(seed)).files[place] for job in jobs for seed in seeds]
    return pd.concat([pd.read_csv(path) for path in paths], ignore_index=True)


def print_layers(networks: list[FeatureNetwork]) -> float:
    """Every layer of every network; returns their number."""
    count = 0
    for which in networks:
        layers = which.listed(which.load())
        rows = [[layer.name, layer.kind, " × ".join(map(str, layer.shape))] for layer in layers]
        show_table(f"layers of {which.name}, images of {which.size} pixels", ["layer", "kind", "makes"], rows)
        count += len(layers)
    return float(count)


def show(numbers: pd.DataFrame, won: pd.DataFrame) -> None:
    """Print the mean cosine of every method, and in how many clusters the synthesis has the highest."""
    means = numbers.groupby(["network", "method"])["cosine"].mean()
    rows = [
        [str(name), *(f"{means.loc[(str(name), method)]:.4f}" for method in (START, *METHODS)),
         *(f"{int(row[column])} of {int(row['clusters'])}" for column in (*BASELINES, "both"))]
        for name, row in won.iterrows()
    ]  # fmt: skip
    header = ["", *(f"cosine, {method}" for method in (START, *METHODS)), *(f"beats {b}" for b in (*BASELINES, "both"))]
    show_table("cosine of what layers see to their targets; clusters whose synthesis is nearer", header, rows)
