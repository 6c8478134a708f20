"""``task=layer_features``: images that show what layers find most informative in a set of images."""

from pathlib import Path

import pandas as pd
from omegaconf import DictConfig

from datamodules.base import ImageDataModule
from datamodules.views.poisoned import without_poison
from methods.layer_features.image_set import ImageSet, folder_images, split_images
from methods.layer_features.job import FeatureJobs
from methods.layer_features.networks import FeatureNetwork, WithoutResizing, feature_networks
from methods.layer_features.results import BASELINES, METHODS, START, means_table, summary_table
from report.tables import read_table
from study.artifact import Artifact, settings_of, without
from study.console import say, show_table
from study.data import make_data
from study.folder import study_folder
from study.step import Result, Step, Table

FILES = ("numbers.csv", "diversity.csv", "costs.csv", "means.csv", "summary.csv")


def run(cfg: DictConfig) -> float:
    """Synthesise for every network and seed; returns the share of clusters whose synthesis beats both baselines."""
    folder, data = study_folder(cfg), without_poison(make_data(cfg))
    networks = feature_networks(cfg, data)
    if cfg.layer == "list":
        return print_layers(networks)
    sets = {size: load_images(cfg, data, size) for size in dict.fromkeys(network.size for network in networks)}
    jobs = [FeatureJobs(cfg, network, sets[network.size], folder.root / "layer_features") for network in networks]
    step = Step(tables_artifact(cfg, jobs), folder.job("layer_features"), cfg.seed)
    return step.run(lambda: make(jobs, cfg.layer_features.seeds))


def make(jobs: list[FeatureJobs], seeds: list[int]) -> Result:
    """Synthesise what is missing, and put the tables of all networks and seeds together."""
    for job in jobs:
        for seed in seeds:
            say(f"[bold]features[/bold] of {job.source.name}, seed {seed}")
            job.run(seed)
    numbers, differences = (
        pd.concat([read_table(job.paths(seed)[file]) for job in jobs for seed in seeds], ignore_index=True)
        for file in (1, 2)
    )
    costs = pd.concat([job.costs() for job in jobs], ignore_index=True)
    summary = summary_table(numbers)
    share = float(summary["above_both"].sum() / summary["clusters"].sum())
    tables = (numbers, differences, costs, means_table(numbers, differences), summary)
    files, final = dict(zip(FILES, tables, strict=True)), {"share of clusters that beat both baselines": share}
    return Result(share, files, final, [summary_of(summary)], jobs[0].images.skipped)


def load_images(cfg: DictConfig, data: ImageDataModule, size: int) -> ImageSet:
    """The set of images: those of a folder, or the study's test images."""
    options = cfg.layer_features
    if cfg.images is not None:
        return folder_images(Path(cfg.images), options.image_count, size, options.on_error, Path(cfg.cache))
    if data.single_pass:
        raise ValueError("task=layer_features chooses images by their index: name a folder as images=/data/pets")
    return split_images(data.split("test"), options.image_count, size)


def tables_artifact(cfg: DictConfig, jobs: list[FeatureJobs]) -> Artifact:
    """The tables of all networks and seeds."""
    inputs = {"images": "; ".join(dict.fromkeys(job.images.fingerprint() for job in jobs))}
    inputs |= {f"network {job.source.name}": job.source.fingerprint for job in jobs}
    settings = settings_of(cfg, "layer", "layer_features")
    settings["layer_features"] = without(settings["layer_features"], {"chunk"})
    folder = jobs[0].folder
    return Artifact([folder / name for name in FILES], folder / "numbers.json", settings, inputs, precious=False)


def print_layers(networks: list[FeatureNetwork]) -> float:
    """Print every layer of every network; returns their number."""
    count = 0
    for network in networks:
        layers = network.list_layers(WithoutResizing(network.load(), swapped=False))
        rows = [[layer.name, layer.kind, " × ".join(map(str, layer.shape))] for layer in layers]
        show_table(f"layers of {network.name}, images of {network.size} pixels", ["layer", "kind", "output"], rows)
        count += len(layers)
    return float(count)


def summary_of(summary: pd.DataFrame) -> Table:
    """The mean cosine of every method, and the number of clusters in which the synthesis has the highest."""
    others = (*BASELINES, "both")
    rows = [
        [str(row["network"]), *(f"{row[f'cosine_{method}']:.4f}" for method in (START, *METHODS)),
         *(f"{int(row[f'above_{other}'])} of {int(row['clusters'])}" for other in others)]
        for _, row in summary.iterrows()
    ]  # fmt: skip
    header = ["", *(f"cosine, {method}" for method in (START, *METHODS)), *(f"above {other}" for other in others)]
    header = [name.replace("_", " ") for name in header]
    return Table("cosine of activations and targets; clusters in which the synthesis has the higher one", header, rows)
