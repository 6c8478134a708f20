"""``task=signal_statistics``: what autoencoders do to colours and frequencies, and how alike classifiers are."""

from collections.abc import Mapping
from pathlib import Path

import pandas as pd
import pytorch_lightning as pl
import torch
from omegaconf import DictConfig

from datamodules.base import ImageDataModule
from lightning_modules.signal_statistics import SignalStatistics, SignalStatisticsResult
from metrics import cka_matrix, cohen_kappa, histogram_distance, linear_cka, observed_agreement
from metrics.spectrum import is_measurable
from networks.classifier import Classifier, freeze
from networks.segnet import SegNet
from networks.strides import stride_products
from stats.accuracy_csv import ORIGINAL, PRETRAINED
from stats.class_accuracies import class_accuracies
from stats.predictions import Predictions, read_predictions
from stats.signal_tables import CHANNELS, checkerboard_table, lab_table, pair_table, spectrum_table
from study.artifact import Artifact, require, settings_of
from study.console import say_made, say_skipped, say_skipped_images, show_table
from study.data import make_data
from study.files import sha256
from study.folder import study_folder
from study.networks import StudyNetworks, study_networks
from study.results import write_results
from study.trainer import accelerate, make_trainer

AUTOENCODER = "autoencoder"
OWN = "own"
TABLES = ("lab_histograms", "lab_distances", "spectra", "checkerboard", "cka", "kappa", "classes")
Strides = dict[str, dict[int, float]]


def run(cfg: DictConfig) -> float:
    """Write the tables, and return the mean LAB distance of the autoencoders' images to the originals."""
    options, folder = cfg.signal_statistics, study_folder(cfg)
    data = make_data(cfg, options.batch_size)
    found = study_networks(cfg)
    correct = require(folder.cross_evaluation / "predictions.npz", cfg, "cross_evaluate")
    root = folder.root / "signal_statistics"
    files = {name: root / f"{name}.csv" for name in TABLES}
    inputs = {"images": data.fingerprint(), "predictions": sha256(correct)} | found.inputs(cfg)
    settings = settings_of(cfg, "signal_statistics")
    artifact = Artifact(list(files.values()), root / "signal_statistics.json", settings, inputs, precious=False)
    if artifact.exists():
        return say_skipped(root, artifact.objective())
    pl.seed_everything(cfg.seed, workers=True, verbose=False)
    module, strides = make_module(cfg, data, found)
    trainer = make_trainer(cfg)
    trainer.test(module, datamodule=data, verbose=False)
    mean = 0.0
    if trainer.is_global_zero:
        tables = make_tables(module.result, found, strides) | prediction_tables(read_predictions(correct), data.classes)
        far = tables["lab_distances"].query("other == @ORIGINAL")
        mean = float(far[list(CHANNELS)].to_numpy().mean())
        with artifact.making(mean) as temporary:
            for name, path in files.items():
                tables[name].to_csv(temporary[path], index=False)
        write_results(folder.job("signal_statistics"), {"mean LAB distance": mean})
        show(far, tables["checkerboard"], root)
    trainer.strategy.barrier()
    say_skipped_images(data.unreadable(), folder.job("signal_statistics"))
    return mean


def make_module(cfg: DictConfig, data: ImageDataModule, found: StudyNetworks) -> tuple[SignalStatistics, Strides]:
    """The module that measures, and each network's strides with their periods."""
    autoencoders, networks = found.load_autoencoders(cfg), found.load_classifiers(cfg, data)
    split = data.split("test")
    height, width = split[0][0].shape[-2:]
    strides = network_periods(autoencoders[PRETRAINED], networks, (height, width))
    periods = sorted({period for of_network in strides.values() for period in of_network.values()})
    accelerate(cfg, *autoencoders.values())  # hooks do not see into compiled classifiers
    module = SignalStatistics(
        autoencoders,
        networks,
        {name: rows[0] for name, rows in found.own.items()},
        len(split),
        (height, width),
        [period for period in periods if is_measurable(period, (height, width))],
        cfg.signal_statistics.feature_images,
        complete=data.on_error != "skip",
    )
    return module, strides


def network_periods(autoencoder: SegNet, networks: Mapping[str, Classifier], size: tuple[int, int]) -> Strides:
    """For each network its strides, and the periods that they are in pixels of the study's images.

    A classifier that resizes images to r pixels turns a period of p of its own pixels into ``p · side / r`` of theirs.
    """
    images, side = torch.zeros(1, 3, *size), min(size)
    freeze(autoencoder)
    found: Strides = {AUTOENCODER: {stride: float(stride) for stride in stride_products(autoencoder, images)}}
    for name, classifier in networks.items():
        view = classifier.preprocessing
        scale = side / (view.resize or view.size or side)
        products = stride_products(classifier.network, view.crop(images))
        found[name] = {stride: round(stride * scale, 6) for stride in products}
    return found


def make_tables(result: SignalStatisticsResult, found: StudyNetworks, strides: Strides) -> dict[str, pd.DataFrame]:
    """What the pass over the images measured, seeds averaged."""
    sources = [found.sources[row] for row in result.rows]
    return {
        "lab_histograms": lab_table(sources, result.lab_edges, result.lab_counts),
        "lab_distances": distance_table(result, sources),
        "spectra": spectrum_table(sources, result.frequencies, result.power),
        "checkerboard": checkerboard_table(sources, result.periods, result.checkerboard, strides),
        "cka": cka_table(result, found),
    }


def distance_table(result: SignalStatisticsResult, sources: list[str]) -> pd.DataFrame:
    """Distance of each autoencoder's LAB histograms to those of the originals and of A_S."""
    edges, counts = torch.from_numpy(result.lab_edges), torch.from_numpy(result.lab_counts)
    rows = []
    for other in (ORIGINAL, PRETRAINED):
        reference = counts[result.rows.index(other)]
        for source, row in zip(sources, counts, strict=True):
            if source not in (ORIGINAL, other):
                rows.append((source, other, *histogram_distance(row, reference, edges).tolist()))
    table = pd.DataFrame(rows, columns=["source", "other", *CHANNELS])
    return table.groupby(["source", "other"], sort=False, as_index=False).mean()


def cka_table(result: SignalStatisticsResult, found: StudyNetworks) -> pd.DataFrame:
    """CKA between classifiers on the same images, and within each between originals and reconstructions.

    Of several seeds of A_i the first is used.
    """
    names = list(found.configs)
    fed = {
        kind: [result.features[name, found.own[name][0] if kind == OWN else kind] for name in names]
        for kind in (ORIGINAL, PRETRAINED, OWN)
    }
    images = len(fed[ORIGINAL][0])
    columns = ["source", "classifier", "other_source", "other", "cka", "cka_biased", "images"]
    if images < 4:
        return pd.DataFrame(columns=columns)
    tables = []
    for kind, features in fed.items():
        matrices = {"cka": cka_matrix(features), "cka_biased": cka_matrix(features, debiased=False)}
        table = pair_table(names, **{key: matrix.numpy() for key, matrix in matrices.items()})
        tables.append(table.assign(source=kind, other_source=kind))
    for kind in (PRETRAINED, OWN):
        for name, one, other in zip(names, fed[ORIGINAL], fed[kind], strict=True):
            values = [float(linear_cka(one, other, debiased)) for debiased in (True, False)]
            row = {"classifier": name, "other": name, "cka": values[0], "cka_biased": values[1]}
            tables.append(pd.DataFrame([row | {"source": ORIGINAL, "other_source": kind}]))
    return pd.concat(tables).assign(images=images)[columns]


def prediction_tables(predictions: Predictions, classes: list[str]) -> dict[str, pd.DataFrame]:
    """Agreement of classifiers on every source of images, and accuracies per class."""
    labels = predictions.labels
    same_question = (labels[:, :, None] == labels[:, None, :]).all(axis=0)
    tables = []
    for row, source in enumerate(predictions.sources):
        predicted = torch.from_numpy(predictions.predicted[:, row])
        matrices = {"agreement": observed_agreement(predicted), "kappa": cohen_kappa(predicted)}
        table = pair_table(
            predictions.columns, asked_alike=same_question, **{k: m.numpy() for k, m in matrices.items()}
        )
        tables.append(table.assign(source=source))
    kappa = pd.concat(tables)
    kappa = kappa[kappa["asked_alike"]].drop(columns="asked_alike")  # answers to other questions cannot agree
    keys = ["source", "classifier", "other"]
    accuracies = class_accuracies(predictions)
    named = [classes[label] if 0 <= label < len(classes) else str(label) for label in accuracies["class"]]
    accuracies.insert(2, "name", named)
    return {"kappa": kappa.groupby(keys, sort=False, as_index=False).mean(), "classes": accuracies}


def show(distances: pd.DataFrame, boards: pd.DataFrame, root: Path) -> None:
    """Print each source's LAB distances and its strongest checkerboard."""
    strongest = boards.groupby("source")["score"].max().to_dict()
    rows = [
        [str(row["source"]), *(f"{row[channel]:.2f}" for channel in CHANNELS), f"{strongest[row['source']]:.1f} dB"]
        for row in distances.to_dict("records")
    ]
    show_table("images of each autoencoder: LAB distance to the originals", ["", *CHANNELS, "checkerboard"], rows)
    say_made(root)
