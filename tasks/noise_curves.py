"""``task=noise_curves``: accuracy under additive noise, alone, behind A_S and behind the A_i of each classifier."""

import numpy as np
import pandas as pd
from omegaconf import DictConfig

from lightning_modules.noise_curves import NoiseCurves, NoiseCurvesResult
from stats.names import ACCURACY
from stats.tables import accuracy_under_noise, noise_means
from study.artifact import Artifact, settings_of
from study.data import make_data
from study.folder import study_folder
from study.networks import StudyNetworks, study_networks
from study.step import Result, Step, Table
from study.trainer import make_trainer

NAMES = {"original": "alone", "pretrained": "behind A_S"}


def run(cfg: DictConfig) -> float:
    """Write the accuracy of every classifier under noise, and return the mean behind its A_i over all noise."""
    options, folder = cfg.noise_curves, study_folder(cfg)
    epsilons = [float(epsilon) for epsilon in options.epsilons]
    data, networks = make_data(cfg, options.batch_size), study_networks(cfg).without_controls()
    root = folder.root / "noise"
    files = [root / name for name in (f"{folder.measure}.csv", "means.csv", "predictions.npz")]
    settings = settings_of(cfg, "noise_curves")
    artifact = Artifact(files, root / "noise.json", settings, networks.inputs(cfg, data), precious=False)

    def make() -> Result:
        module = NoiseCurves(
            *networks.load(cfg, data), networks.own, len(data.split("test")), epsilons, seed=cfg.seed,
            clamp=options.clamp, complete=data.on_error != "skip",
        )  # fmt: skip
        make_trainer(cfg).test(module, datamodule=data, verbose=False)
        labels = networks.right_classes(cfg, data, module.result.labels, module.result.index)
        table, arrays = results(module.result, networks, labels)
        mean = float(table.loc[table["source"] == table["classifier"], "accuracy"].mean())
        named = table.rename(columns={ACCURACY: folder.measure})
        contents = {f"{folder.measure}.csv": named, "means.csv": noise_means(table), "predictions.npz": arrays}
        return Result(
            mean, contents, {f"mean {folder.measure}": mean}, [summary(table, folder.measure)], data.unreadable()
        )

    return Step(artifact, folder.job("noise_curves"), cfg.seed).run(make)


def results(
    result: NoiseCurvesResult, networks: StudyNetworks, labels: np.ndarray
) -> tuple[pd.DataFrame, dict[str, np.ndarray]]:
    """The table of accuracies, and the predictions behind it."""
    names = list(networks.configs)
    rows, classifiers = (list(part) for part in zip(*result.curves, strict=True))
    sources = [networks.sources[row] for row in rows]
    right = result.predicted == labels[:, None, [names.index(name) for name in classifiers]]
    arrays = {
        "rows": np.array(rows),
        "sources": np.array(sources),
        "classifiers": np.array(classifiers),
        "columns": np.array(names),
        "epsilons": np.array(result.epsilons),
        "index": result.index,
        "labels": labels,
        "predicted": result.predicted,
        "top1": right,
    }
    return accuracy_under_noise(right, sources, classifiers, result.epsilons), arrays


def summary(table: pd.DataFrame, measure: str) -> Table:
    """Accuracies at every strength of noise, for the terminal."""
    keys = table["source"].map(NAMES).fillna("behind its A_i")
    wide = table.assign(source=keys).pivot_table("accuracy", ["classifier", "source"], "epsilon", sort=False)
    names = [", ".join(map(str, pair)) for pair in wide.index]
    rows = [[name, *(f"{value:.1%}" for value in row)] for name, row in zip(names, wide.to_numpy(), strict=True)]
    return Table(f"{measure} under noise of strength", ["", *(f"{epsilon:g}" for epsilon in wide.columns)], rows)
