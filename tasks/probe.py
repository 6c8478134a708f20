"""``task=probe``: fresh readers, trained on every autoencoder's images to answer the classifiers' questions."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytorch_lightning as pl
from omegaconf import DictConfig
from torch import Tensor

from analysis.accuracy_csv import ORIGINAL
from analysis.intervals.proportion import wilson_interval
from callbacks import SeededBatches
from datamodules.base import ImageDataModule, Split
from lightning_modules.probe import Probe
from networks.classifier import Classifier
from tasks import build, questions
from tasks.instantiation import instantiate
from tasks.results import write_results
from tasks.study_folder import Artifact, sha256
from tasks.study_networks import study_networks
from tasks.terminal import is_first_rank, say_made, say_skipped, show_table


def run(cfg: DictConfig) -> float:
    """Write what fresh readers read from every source of images, and return the mean accuracy on A_i's images."""
    folder, data = build.study_folder(cfg), build.make_data(cfg, cfg.probe.batch_size)
    if data.single_pass or data.on_error == "skip":
        raise ValueError("probes see every image several times: use images that can all be read, not shards")
    found = study_networks(cfg).with_first_seeds()
    place = folder.root / "probe"
    inputs = {"images": data.fingerprint()} | found.inputs(cfg)
    summary = Artifact(
        [place / "accuracy.csv"], place / "accuracy.json", build.settings_of(cfg, "probe"), inputs, precious=False
    )
    if summary.exists():
        return say_skipped(summary.files[0], summary.objective())
    asked = questions.by_name(found.configs)
    splits: tuple[Split, ...] = ("train", "val", "test")
    answers = {name: questions.answers_to(cfg, asked, data, name) for name in splits}
    tables = []
    for name, path in {ORIGINAL: None, **found.paths}.items():
        right = read(cfg, data, place / f"{name}.npz", path, answers)
        share = right.mean(axis=0)
        lower, upper = wilson_interval(share, len(right))
        rows = {"question": list(asked), "accuracy": share, "lower": lower, "upper": upper, "images": len(right)}
        tables.append(pd.DataFrame(rows).assign(source=found.sources[name]))
    table = pd.concat(tables)[["source", "question", "accuracy", "lower", "upper", "images"]]
    mean = float(table[table["source"].isin(found.studied)]["accuracy"].mean())
    if is_first_rank():
        with summary.making(mean) as temporary:
            table.to_csv(temporary[summary.files[0]], index=False)
        write_results(folder.job("probe"), {"mean accuracy": mean})
    cells = [
        [str(source), *(f"{value:.1%}" for value in part["accuracy"])]
        for source, part in table.groupby("source", sort=False)
    ]
    show_table("what fresh readers read from the images of", ["", *asked], cells)
    say_made(summary.files[0])
    return mean


def read(
    cfg: DictConfig, data: ImageDataModule, file: Path, weights: Path | None, answers: dict[Split, Tensor]
) -> np.ndarray:
    """Whether a fresh reader of an autoencoder's images is right, ``(images, Q)``; trained unless it is there already.

    Args:
        cfg: The configuration.
        data: The images.
        file: Where its verdicts are kept.
        weights: The autoencoder's; ``None`` reads the originals.
        answers: The right classes, by split.
    """
    options = cfg.probe
    inputs = {"images": data.fingerprint()} | ({"autoencoder": sha256(weights)} if weights else {})
    settings = build.settings_of(cfg, "probe", "autoencoder") | {"questions": answers["test"].shape[1]}
    artifact = Artifact([file], file.with_suffix(".json"), settings, inputs, precious=False)
    if not artifact.exists():
        pl.seed_everything(cfg.seed, workers=True, verbose=False)
        classes = len(data.classes)
        network = instantiate(options.reader, "probe.reader", classes=classes * answers["test"].shape[1])
        autoencoder = None if weights is None else build.make_autoencoder(cfg, weights)
        module = Probe(
            autoencoder,
            Classifier(network),
            answers,
            classes,
            instantiate(options.optimizer, "probe.optimizer"),
            options.schedule,
            options.noise,
            cfg.seed,
        )
        trainer = build.make_trainer(cfg, build.Length(options.epochs), [SeededBatches(cfg.seed)])
        trainer.fit(module, datamodule=data)
        trainer.test(module, datamodule=data, verbose=False)
        right = module.predicted.cpu() == answers["test"]
        if trainer.is_global_zero:
            with artifact.making(float(right.float().mean())) as temporary:
                np.savez_compressed(temporary[file], right=right.numpy())
        trainer.strategy.barrier()
    with np.load(file) as found:
        verdicts: np.ndarray = found["right"]
    return verdicts
