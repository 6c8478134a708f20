"""``task=signal_statistics``: what autoencoders do to colours and frequencies, and how alike classifiers are."""

from collections.abc import Mapping

import pandas as pd
import torch
from omegaconf import DictConfig

from datamodules.base import ImageDataModule
from lightning_modules.signal_statistics import SignalStatistics, SignalStatisticsResult
from metrics.agreement import cka_matrix, cohen_kappa, linear_cka, observed_agreement
from metrics.lab import histogram_distance
from metrics.spectrum import is_measurable
from networks.classifier import Classifier, freeze
from networks.segnet import SegNet
from networks.strides import stride_products
from stats.class_accuracies import class_accuracies, largest_changes
from stats.names import ORIGINAL, PRETRAINED
from stats.predictions import Predictions
from stats.similarity import measure_correlations, similarity_pairs
from stats.tables import CHANNELS, checkerboard_table, lab_table, pair_table, spectrum_table
from study.artifact import Artifact, settings_of
from study.data import make_data
from study.folder import study_folder
from study.inputs import verified
from study.networks import StudyNetworks, study_networks
from study.predictions import read_predictions
from study.step import Result, Step, Table
from study.trainer import make_trainer

AUTOENCODER = "autoencoder"
OWN = "own"
TABLES = (
    "lab_histograms", "lab_distances", "spectra", "checkerboard", "cka", "kappa", "classes", "class_changes",
    "similarity", "correlations",
)  # fmt: skip
CHANGES = 3  # gains, and as many losses, of each classifier
Strides = dict[str, dict[int, float]]


def run(cfg: DictConfig) -> float:
    """Write the tables, and return the mean LAB distance of the reconstructions to the originals."""
    folder, data, networks = study_folder(cfg), make_data(cfg, cfg.signal_statistics.batch_size), study_networks(cfg)
    root, settings = folder.root / "signal_statistics", settings_of(cfg, "signal_statistics")
    predictions, files = folder.predictions, [root / f"{name}.csv" for name in TABLES]
    inputs = {"predictions": verified(predictions, cfg, "cross_evaluate")} | networks.inputs(cfg, data)
    artifact = Artifact(files, root / "signal_statistics.json", settings, inputs, precious=False)

    def make() -> Result:
        module, strides = make_module(cfg, data, networks)
        make_trainer(cfg).test(module, datamodule=data, verbose=False)
        tables = make_tables(module.result, networks, strides)
        tables |= prediction_tables(read_predictions(predictions), tables["cka"], data.classes)
        distances = tables["lab_distances"].query("other == @ORIGINAL")
        mean = float(distances[list(CHANNELS)].to_numpy().mean())
        files = {f"{name}.csv": table for name, table in tables.items()}
        shown = [summary(distances, tables["checkerboard"])]
        return Result(mean, files, {"mean LAB distance": mean}, shown, data.unreadable())

    return Step(artifact, folder.job("signal_statistics"), cfg.seed).run(make)


def make_module(cfg: DictConfig, data: ImageDataModule, networks: StudyNetworks) -> tuple[SignalStatistics, Strides]:
    """The module that measures, and the strides of each network with their periods."""
    autoencoders, classifiers = networks.load(cfg, data, compiled=False)
    split = data.split("test")
    height, width = split[0][0].shape[-2:]
    strides = network_periods(autoencoders[PRETRAINED], classifiers, (height, width))
    periods = sorted({period for of_network in strides.values() for period in of_network.values()})
    module = SignalStatistics(
        autoencoders,
        classifiers,
        {name: rows[0] for name, rows in networks.own.items()},
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
    periods: Strides = {AUTOENCODER: {stride: float(stride) for stride in stride_products(autoencoder, images)}}
    for name, classifier in networks.items():
        view = classifier.preprocessing
        scale = side / (view.resize or view.size or side)
        products = stride_products(classifier.network, view.crop(images))
        periods[name] = {stride: round(stride * scale, 6) for stride in products}
    return periods


def make_tables(result: SignalStatisticsResult, networks: StudyNetworks, strides: Strides) -> dict[str, pd.DataFrame]:
    """What the pass over the images measured, seeds averaged."""
    sources = [networks.sources[row] for row in result.rows]
    return {
        "lab_histograms": lab_table(sources, result.lab_edges, result.lab_counts),
        "lab_distances": distance_table(result, sources),
        "spectra": spectrum_table(sources, result.frequencies, result.power),
        "checkerboard": checkerboard_table(sources, result.periods, result.checkerboard, strides),
        "cka": cka_table(result, networks),
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


def cka_table(result: SignalStatisticsResult, networks: StudyNetworks) -> pd.DataFrame:
    """CKA between classifiers on the same images, and within each between originals and reconstructions.

    Of several seeds of A_i the first is used.
    """
    names = list(networks.configs)
    fed = {
        kind: [result.features[name, networks.own[name][0] if kind == OWN else kind] for name in names]
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


def prediction_tables(predictions: Predictions, cka: pd.DataFrame, classes: list[str]) -> dict[str, pd.DataFrame]:
    """Agreement of classifiers on every source of images, accuracies per class, and the similarity of classifiers."""
    labels = predictions.labels
    same_labels = (labels[:, :, None] == labels[:, None, :]).all(axis=0)
    tables = []
    for row, source in enumerate(predictions.sources):
        predicted = torch.from_numpy(predictions.predicted[:, row])
        matrices = {"agreement": observed_agreement(predicted), "kappa": cohen_kappa(predicted)}
        table = pair_table(predictions.columns, same_labels=same_labels, **{k: m.numpy() for k, m in matrices.items()})
        tables.append(table.assign(source=source))
    kappa = pd.concat(tables)
    kappa = kappa[kappa["same_labels"]].drop(columns="same_labels")  # predictions of other labels cannot agree
    keys = ["source", "classifier", "other"]
    accuracies = class_accuracies(predictions)
    named = [classes[label] if 0 <= label < len(classes) else str(label) for label in accuracies["class"]]
    accuracies.insert(2, "name", named)
    kappa = kappa.groupby(keys, sort=False, as_index=False).mean()
    similarity = similarity_pairs(predictions, kappa, cka)
    return {
        "kappa": kappa,
        "classes": accuracies,
        "class_changes": largest_changes(accuracies, CHANGES),
        "similarity": similarity,
        "correlations": measure_correlations(similarity),
    }


def summary(distances: pd.DataFrame, checkerboards: pd.DataFrame) -> Table:
    """The LAB distances of each source and its strongest checkerboard, for the terminal."""
    strongest = checkerboards.groupby("source")["score"].max().to_dict()
    rows = [
        [str(row["source"]), *(f"{row[channel]:.2f}" for channel in CHANNELS), f"{strongest[row['source']]:.1f} dB"]
        for row in distances.to_dict("records")
    ]
    header = ["", *CHANNELS, "checkerboard"]
    return Table("images of each autoencoder: LAB distance to the originals", header, rows)
