"""``task=robustness``: how often classifiers stay right under attack, alone and behind A_S and their own A_i."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytorch_lightning as pl
from omegaconf import DictConfig

from datamodules.subset import ImageSubset, stratified_indices
from methods.robustness.module import ATTACKS, DEFENCES, OWN, Robustness, RobustnessResult, pgd_attacks
from methods.robustness.tables import WORST, accuracy_rows, masking_rows, transfer_rows
from stats.accuracy_csv import PRETRAINED
from study.artifact import Artifact, settings_of
from study.console import say_made, say_skipped, say_skipped_images, show_table
from study.data import make_data
from study.folder import StudyFolder, study_folder
from study.labels import right_classes
from study.networks import study_networks
from study.results import write_results
from study.trainer import accelerate, make_trainer

FILES = ("accuracy.csv", "transfer.csv", "masking.csv", "predictions.npz")


def run(cfg: DictConfig) -> float:
    """Write the accuracies under attack; returns the mean worst-case accuracy of classifiers behind their own A_i."""
    folder, options = study_folder(cfg), cfg.robustness
    images = make_data(cfg, options.batch_size)
    found = study_networks(cfg).without_controls().with_first_seeds()
    artifact = robustness_artifact(cfg, folder, {"images": images.fingerprint()} | found.inputs(cfg))
    if artifact.exists():
        return say_skipped(artifact.files[0], artifact.objective())
    pl.seed_everything(cfg.seed, workers=True, verbose=False)
    autoencoders, networks = found.load_autoencoders(cfg), found.load_classifiers(cfg, images)
    accelerate(cfg, *autoencoders.values(), *networks.values())
    data = ImageSubset(images, stratified_indices(images.split("test"), options.images))
    attacks = pgd_attacks(options.epsilons, options.steps, options.relative_step, options.random_start)
    module = Robustness(
        networks,
        autoencoders[PRETRAINED],
        {name: autoencoders[rows[0]] for name, rows in found.own.items()},
        attacks,
        data.chosen,
        seed=cfg.seed,
        complete=data.on_error != "skip",
        targets=right_classes(cfg, found.configs, images),
    )
    trainer = make_trainer(cfg)
    trainer.test(module, datamodule=data, verbose=False)
    mean = float(module.result.worst[..., DEFENCES.index(OWN)].mean())
    if trainer.is_global_zero:
        with artifact.making(mean) as temporary:
            table = write_tables(module.result, {path.name: partial for path, partial in temporary.items()})
        write_results(folder.job("robustness"), {"mean worst-case accuracy behind own A_i": mean})
        show(table)
    trainer.strategy.barrier()
    say_skipped_images(data.unreadable(), folder.job("robustness"))
    say_made(artifact.files[0])
    return mean


def robustness_artifact(cfg: DictConfig, folder: StudyFolder, inputs: dict[str, str]) -> Artifact:
    """The files of the attacks on these images and weights."""
    place = folder.root / "robustness"
    settings = settings_of(cfg, "robustness")
    return Artifact([place / name for name in FILES], place / "robustness.json", settings, inputs, precious=False)


def write_tables(result: RobustnessResult, paths: dict[str, Path]) -> pd.DataFrame:
    """Write the tables and the per-image predictions, and return the table of accuracies.

    Args:
        result: The predictions.
        paths: The path to write each file to, by its name.
    """
    names, worst = result.classifiers, result.worst
    threats = [(threat.norm, threat.epsilon) for threat in result.threats]
    attacked = {attack: result.right[..., place] for place, attack in enumerate(ATTACKS)} | {WORST: worst}
    table = accuracy_rows(result.clean, attacked, names, threats, DEFENCES)
    table.to_csv(paths["accuracy.csv"], index=False)
    transfer_rows(result.transferred, names, threats).to_csv(paths["transfer.csv"], index=False)
    masking = masking_rows(result.vanishing, attacked["pgd"], worst, names, threats, DEFENCES)
    masking.to_csv(paths["masking.csv"], index=False)
    np.savez_compressed(
        paths["predictions.npz"],
        classifiers=np.array(names),
        defences=np.array(DEFENCES),
        attacks=np.array(ATTACKS),
        norms=np.array([norm for norm, _ in threats]),
        epsilons=np.array([epsilon for _, epsilon in threats]),
        index=result.index,
        labels=result.labels,
        clean=result.clean.astype(bool),
        right=result.right.astype(bool),
        worst=worst.astype(bool),
        vanishing=result.vanishing.astype(bool),
        transferred=result.transferred.astype(bool),
    )
    return table


def show(table: pd.DataFrame) -> None:
    """Print the means over classifiers: a row for each defence and attack, a column for each threat."""
    means = table.groupby(["defence", "attack", "norm", "epsilon"], sort=False)["accuracy"].mean().reset_index()
    means["row"] = means["defence"] + ", " + means["attack"]
    means["column"] = means["norm"] + " " + means["epsilon"].map("{:.3g}".format)
    wide = means.pivot(index="row", columns="column", values="accuracy")
    wide = wide.loc[means["row"].unique(), means["column"].unique()]
    rows = [[str(name), *(f"{value:.1%}" for value in wide.loc[name])] for name in wide.index]
    images = int(table["images"].iloc[0])
    show_table(f"accuracy under attack, mean over classifiers, {images} images", ["", *wide.columns], rows)
