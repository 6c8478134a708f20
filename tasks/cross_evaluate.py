"""``task=cross_evaluate``: every autoencoder's reconstructions, seen by every classifier."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytorch_lightning as pl
import torch
from omegaconf import DictConfig

from callbacks.loggers import FaultTolerantLogger
from callbacks.monitoring import picture_rows
from datamodules.base import ImageDataModule
from lightning_modules import CrossEvaluation, CrossEvaluationResult
from stats.accuracy_tables import accuracy_table, mean_over_seeds, nmi_table
from study.artifact import Artifact, settings_of
from study.console import say, say_made, say_skipped, say_skipped_images, show_table
from study.data import make_data
from study.folder import StudyFolder, study_folder
from study.labels import labels_name, right_classes
from study.loggers import fixed_images, open_loggers
from study.networks import StudyNetworks, study_networks
from study.results import write_results
from study.trainer import accelerate, make_trainer


def run(cfg: DictConfig) -> float:
    """Write the study's accuracy matrix, per-image predictions and nMI, and return the mean accuracy of the matrix."""
    folder, options = study_folder(cfg), cfg.cross_evaluate
    data = make_data(cfg, options.batch_size)
    found = study_networks(cfg)
    artifact = evaluation_artifact(cfg, folder, {"images": data.fingerprint()} | found.inputs(cfg))
    if artifact.exists():
        return say_skipped(folder.accuracy, artifact.objective())
    pl.seed_everything(cfg.seed, workers=True, verbose=False)
    autoencoders, networks = found.load_autoencoders(cfg), found.load_classifiers(cfg, data)
    accelerate(cfg, *autoencoders.values(), *networks.values())
    module = CrossEvaluation(
        autoencoders,
        networks,
        len(data.split("test")),
        options.nmi_bins,
        complete=data.on_error != "skip",
        targets=right_classes(cfg, found.configs, data),
    )
    sources = [found.sources[row] for row in module.rows]
    with open_loggers(cfg, folder.job("cross_evaluate"), artifact.identity) as loggers:
        trainer = make_trainer(cfg, loggers=loggers)
        trainer.test(module, datamodule=data, verbose=False)
        mean = mean_of_studied(module.result, sources, found.studied)
        if trainer.is_global_zero:
            with artifact.making(mean) as temporary:
                files = {path.name: partial for path, partial in temporary.items()}
                write_tables(module.result, sources, found, files)
            write_results(folder.job("cross_evaluate"), {"mean accuracy": mean})
            show(module.result, sources)
            publish(module, data, loggers, mean)
    trainer.strategy.barrier()
    say_skipped_images(data.unreadable(), folder.job("cross_evaluate"))
    say_made(folder.accuracy)
    return mean


def evaluation_artifact(cfg: DictConfig, folder: StudyFolder, inputs: dict[str, str]) -> Artifact:
    """The cross evaluation's files, made from these images and weights."""
    names = ("accuracy.csv", "accuracy_top5.csv", "nmi.csv", "accuracy_by_seed.csv", "predictions.npz")
    return Artifact(
        [folder.cross_evaluation / name for name in names],
        folder.cross_evaluation / "cross_evaluation.json",
        settings_of(cfg, "cross_evaluate"),
        inputs,
        precious=False,
    )


def mean_of_studied(result: CrossEvaluationResult, sources: list[str], studied: list[str]) -> float:
    """Mean accuracy of the matrix without baselines and controls."""
    rows = [position for position, name in enumerate(sources) if name in studied]
    columns = [position for position, name in enumerate(result.columns) if name in studied]
    return float(result.top1[:, rows][:, :, columns].mean())


def write_tables(
    result: CrossEvaluationResult, sources: list[str], found: StudyNetworks, paths: dict[str, Path]
) -> None:
    """Write the matrices, the nMI table and the per-image predictions.

    Args:
        result: The results, a row for each seed of each autoencoder.
        sources: For each row the classifier that its autoencoder was fine-tuned through; the tables hold the means
            over its seeds.
        found: The study's networks.
        paths: The path to write each file to, by its name.
    """
    rows, columns = result.rows, result.columns
    by_seed = accuracy_table(result.top1, rows, columns)
    by_seed.to_csv(paths["accuracy_by_seed.csv"])
    mean_over_seeds(by_seed, sources).to_csv(paths["accuracy.csv"])
    mean_over_seeds(accuracy_table(result.top5, rows, columns), sources).to_csv(paths["accuracy_top5.csv"])
    mean_over_seeds(nmi_table(result.nmi_intra, result.nmi_inter, rows), sources).to_csv(paths["nmi.csv"])
    np.savez_compressed(
        paths["predictions.npz"],
        rows=np.array(rows),
        sources=np.array(sources),
        columns=np.array(columns),
        controls=np.array(found.controls, dtype=str),
        questions=np.array([labels_name(config) for config in found.configs.values()]),
        index=result.index,
        labels=result.labels,
        predicted=result.predicted,
        top1=result.top1.astype(bool),
        top5=result.top5.astype(bool),
        nmi_intra=result.nmi_intra,
        nmi_inter=result.nmi_inter,
    )


def publish(
    module: CrossEvaluation, data: ImageDataModule, loggers: Sequence[FaultTolerantLogger], mean: float
) -> None:
    """Send the mean and the matrix, with a few images under each autoencoder, and the nMI to the dashboards."""
    shown = [board for board in loggers if board.shows_pictures]
    if not shown:
        return
    result = module.result
    images = fixed_images(data, "test", 4).to(module.device)
    with torch.inference_mode():
        pictures = [picture_rows([images]) for images in module.reconstruct(images)]
    for board in shown:
        board.log_table("accuracy", accuracy_table(result.top1, result.rows, result.columns), pictures)
        board.log_table("accuracy_top5", accuracy_table(result.top5, result.rows, result.columns))
        board.log_table("nmi", nmi_table(result.nmi_intra, result.nmi_inter, result.rows))
        board.log_metrics({"accuracy/mean_over_autoencoders": mean}, 0)


def show(result: CrossEvaluationResult, sources: list[str]) -> None:
    """Print the accuracy matrix, and of how many seeds it is the mean."""
    table = mean_over_seeds(accuracy_table(result.top1, result.rows, result.columns), sources)
    if len(sources) > len(table):
        seeds = {name: sources.count(name) for name in result.columns}
        say("means over seeds: " + ", ".join(f"{name} {count}" for name, count in seeds.items()))
    rows = [[str(name), *(f"{value:.1%}" for value in table.loc[name])] for name in table.index]
    show_table("accuracy of each classifier (columns) on each autoencoder's images", ["", *result.columns], rows)
