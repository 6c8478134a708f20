"""``task=cross_evaluate``: accuracy of every classifier on the reconstructions of every autoencoder."""

from collections.abc import Sequence
from typing import Any

import torch
from omegaconf import DictConfig

from callbacks.loggers import FaultTolerantLogger
from callbacks.monitoring import picture_rows
from datamodules.base import ImageDataModule
from lightning_modules.cross_evaluation import CrossEvaluation, CrossEvaluationResult
from stats.names import in_measure
from stats.predictions import ReconstructionPredictions
from stats.tables import accuracy_table, mean_over_seeds, nmi_table
from study.artifact import Artifact, settings_of
from study.console import say
from study.data import make_data
from study.folder import study_folder
from study.labels import labels_name, right_classes
from study.loggers import fixed_images, open_loggers
from study.networks import StudyNetworks, study_networks
from study.predictions import prediction_arrays
from study.step import Result, Step, Table
from study.trainer import make_trainer

FILES = ("accuracy.csv", "accuracy_top5.csv", "nmi.csv", "accuracy_by_seed.csv", "predictions.npz")
TITLE = "accuracy of each classifier (columns) on the images of each autoencoder (rows)"


def run(cfg: DictConfig) -> float:
    """Write the accuracy matrix of the study, predictions per image and nMI; returns the mean accuracy."""
    folder, options = study_folder(cfg), cfg.cross_evaluate
    data, networks = make_data(cfg, options.batch_size), study_networks(cfg)
    files = [folder.cross_evaluation / in_measure(name, folder.measure) for name in FILES]
    provenance, settings = folder.cross_evaluation / "cross_evaluation.json", settings_of(cfg, "cross_evaluate")
    artifact = Artifact(files, provenance, settings, networks.inputs(cfg, data), precious=False)
    step = Step(artifact, folder.job("cross_evaluate"), cfg.seed)

    def make() -> Result:
        module = CrossEvaluation(
            *networks.load(cfg, data),
            len(data.split("test")),
            options.nmi_bins,
            complete=data.on_error != "skip",
            targets=right_classes(cfg, networks.configs, data),
        )
        sources = [networks.sources[row] for row in module.rows]
        with open_loggers(cfg, step.job, artifact.identity) as loggers:
            make_trainer(cfg, loggers=loggers).test(module, datamodule=data, verbose=False)
            result = module.result
            mean = mean_of_studied(result, sources, networks.studied)
            publish(module, data, loggers, mean, folder.measure)
        contents = tables(result, sources, networks)
        numbers = {f"mean {folder.measure}": mean}
        table = shown(contents["accuracy.csv"], sources, in_measure(TITLE, folder.measure))
        files = {in_measure(name, folder.measure): content for name, content in contents.items()}
        return Result(mean, files, numbers, [table], data.unreadable())

    return step.run(make)


def mean_of_studied(result: CrossEvaluationResult, sources: list[str], studied: list[str]) -> float:
    """Mean accuracy of the matrix without baselines and controls."""
    rows = [position for position, name in enumerate(sources) if name in studied]
    columns = [position for position, name in enumerate(result.columns) if name in studied]
    return float(result.top1[:, rows][:, :, columns].mean())


def tables(result: CrossEvaluationResult, sources: list[str], networks: StudyNetworks) -> dict[str, Any]:
    """The matrices, the nMI table and the predictions per image, by the names of their files.

    Args:
        result: The results, a row for each seed of each autoencoder.
        sources: For each row the classifier that its autoencoder was fine-tuned through; tables hold means over seeds.
        networks: The networks of the study.
    """
    rows, columns = result.rows, result.columns
    by_seed = accuracy_table(result.top1, rows, columns)
    predictions = ReconstructionPredictions(
        rows=rows,
        sources=sources,
        columns=columns,
        controls=networks.controls,
        label_sets=[labels_name(config) for config in networks.configs.values()],
        index=result.index,
        labels=result.labels,
        predicted=result.predicted,
        top1=result.top1.astype(bool),
        top5=result.top5.astype(bool),
        nmi_intra=result.nmi_intra,
        nmi_inter=result.nmi_inter,
    )
    return {
        "accuracy_by_seed.csv": by_seed,
        "accuracy.csv": mean_over_seeds(by_seed, sources),
        "accuracy_top5.csv": mean_over_seeds(accuracy_table(result.top5, rows, columns), sources),
        "nmi.csv": mean_over_seeds(nmi_table(result.nmi_intra, result.nmi_inter, rows), sources),
        "predictions.npz": prediction_arrays(predictions),
    }


def publish(
    module: CrossEvaluation, data: ImageDataModule, loggers: Sequence[FaultTolerantLogger], mean: float, measure: str
) -> None:
    """Send the mean and the matrix, with a few images under each autoencoder, and the nMI to the dashboards."""
    pictured = [logger for logger in loggers if logger.shows_pictures]
    if not pictured:
        return
    result = module.result
    images = fixed_images(data, "test", 4).to(module.device)
    with torch.inference_mode():
        pictures = [picture_rows([images]) for images in module.reconstruct(images)]
    for logger in pictured:
        logger.log_table(measure, accuracy_table(result.top1, result.rows, result.columns), pictures)
        logger.log_table(f"{measure}_top5", accuracy_table(result.top5, result.rows, result.columns))
        logger.log_table("nmi", nmi_table(result.nmi_intra, result.nmi_inter, result.rows))
        logger.log_metrics({f"{measure}/mean_over_autoencoders": mean}, 0)


def shown(table: Any, sources: list[str], title: str) -> Table:
    """The accuracy matrix for the terminal; says of how many seeds it is the mean."""
    if len(sources) > len(table):
        seeds = {name: sources.count(name) for name in table.columns}
        say("means over seeds: " + ", ".join(f"{name} {count}" for name, count in seeds.items()))
    rows = [[str(name), *(f"{value:.1%}" for value in table.loc[name])] for name in table.index]
    return Table(title, ["", *table.columns], rows)
