"""``task=noise_curves``: accuracy under additive noise, alone, behind A_S and behind each classifier's own A_i."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytorch_lightning as pl
from omegaconf import DictConfig

from lightning_modules.noise_curves import NoiseCurves, NoiseCurvesResult, check_epsilons
from stats.noise_curves import accuracy_under_noise
from study.artifact import Artifact, settings_of
from study.console import say_made, say_skipped, say_skipped_images, show_table
from study.data import make_data
from study.folder import study_folder
from study.networks import StudyNetworks, right_answers, study_networks
from study.results import write_results
from study.trainer import accelerate, make_trainer

NAMES = {"original": "alone", "pretrained": "behind A_S"}


def run(cfg: DictConfig) -> float:
    """Write the accuracy of every classifier under noise, and return the mean behind the own A_i over all noise."""
    options = cfg.noise_curves
    epsilons = [float(epsilon) for epsilon in options.epsilons]
    check_epsilons(epsilons)
    folder, data = study_folder(cfg), make_data(cfg, options.batch_size)
    found = study_networks(cfg).without_controls()
    root = folder.root / "noise"
    files = [root / "accuracy.csv", root / "predictions.npz"]
    inputs = {"images": data.fingerprint()} | found.inputs(cfg)
    settings = settings_of(cfg, "noise_curves")
    artifact = Artifact(files, root / "noise.json", settings, inputs, precious=False)
    if artifact.exists():
        return say_skipped(files[0], artifact.objective())
    pl.seed_everything(cfg.seed, workers=True, verbose=False)
    autoencoders, networks = found.load_autoencoders(cfg), found.load_classifiers(cfg, data)
    accelerate(cfg, *autoencoders.values(), *networks.values())
    module = NoiseCurves(
        autoencoders, networks, found.own, len(data.split("test")), epsilons, seed=cfg.seed,
        clamp=options.clamp, complete=data.on_error != "skip",
    )  # fmt: skip
    trainer = make_trainer(cfg)
    trainer.test(module, datamodule=data, verbose=False)
    labels = right_answers(cfg, found, data, module.result.labels, module.result.index)
    table, arrays = results(module.result, found, labels)
    own = table["source"] == table["classifier"]
    mean = float(table.loc[own, "accuracy"].mean())
    if trainer.is_global_zero:
        with artifact.making(mean) as temporary:
            table.to_csv(temporary[files[0]], index=False)
            np.savez_compressed(temporary[files[1]], **arrays)  # type: ignore[arg-type]
        write_results(folder.job("noise_curves"), {"mean accuracy": mean})
        show(table, files[0])
    trainer.strategy.barrier()
    say_skipped_images(data.unreadable(), folder.job("noise_curves"))
    return mean


def results(
    result: NoiseCurvesResult, found: StudyNetworks, labels: np.ndarray
) -> tuple[pd.DataFrame, dict[str, np.ndarray]]:
    """The table of accuracies, and the predictions behind it."""
    names = list(found.configs)
    rows, classifiers = (list(part) for part in zip(*result.curves, strict=True))
    sources = [found.sources[row] for row in rows]
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


def show(table: pd.DataFrame, path: Path) -> None:
    """Print accuracies at every strength of noise."""
    keys = table["source"].map(NAMES).fillna("behind its own A_i")
    wide = table.assign(source=keys).pivot_table("accuracy", ["classifier", "source"], "epsilon", sort=False)
    names = [", ".join(map(str, pair)) for pair in wide.index]
    cells = [[name, *(f"{value:.1%}" for value in row)] for name, row in zip(names, wide.to_numpy(), strict=True)]
    show_table("accuracy under noise of strength", ["", *(f"{epsilon:g}" for epsilon in wide.columns)], cells)
    say_made(path)
