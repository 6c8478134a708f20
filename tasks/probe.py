"""``task=probe``: readers, trained on every autoencoder's images to answer the classifiers' questions."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
import pytorch_lightning as pl
from omegaconf import DictConfig, OmegaConf
from torch import Tensor

from callbacks.randomness import SeededBatches
from datamodules.base import ImageDataModule, Split
from lightning_modules.probe import Probe, Readers
from networks.classifier import Classifier
from networks.weights import load_weights
from stats.accuracy_csv import ORIGINAL
from stats.proportion import wilson_interval
from study import classifiers
from study.artifact import Artifact, settings_of
from study.autoencoders import make_autoencoder
from study.console import is_first_rank, say_made, say_skipped, show_table
from study.data import make_data
from study.files import save_weights, sha256
from study.folder import study_folder
from study.instantiation import instantiate
from study.labels import classifiers_by_labels, labels_name, split_labels
from study.networks import study_networks
from study.results import write_results
from study.trainer import Length, make_trainer


def run(cfg: DictConfig) -> float:
    """Write what readers read from every source of images, and return the mean accuracy on A_i's images."""
    folder, data = study_folder(cfg), make_data(cfg, cfg.probe.batch_size)
    if data.single_pass or data.on_error == "skip":
        raise ValueError("probes see every image several times: use images that can all be read, not shards")
    found = study_networks(cfg).with_first_seeds()
    place = folder.root / "probe"
    probes = Probes(cfg, found.configs, data, place)
    inputs = {"images": probes.images} | found.inputs(cfg)
    summary = Artifact(
        [place / "accuracy.csv"], place / "accuracy.json", settings_of(cfg, "probe"), inputs, precious=False
    )
    if summary.exists():
        return say_skipped(summary.files[0], summary.objective())
    tables = []
    for name, path in {ORIGINAL: None, **found.paths}.items():
        right = probes.right(name, path)
        share = right.mean(axis=0)
        lower, upper = wilson_interval(share, len(right))
        rows = {"classifier": list(found.configs), "question": probes.questions, "accuracy": share}
        rows |= {"lower": lower, "upper": upper, "images": len(right)}
        tables.append(pd.DataFrame(rows).assign(source=found.sources[name]))
    table = pd.concat(tables)[["source", "classifier", "question", "accuracy", "lower", "upper", "images"]]
    mean = float(table[table["source"].isin(found.studied)]["accuracy"].mean())
    if is_first_rank():
        with summary.making(mean) as temporary:
            table.to_csv(temporary[summary.files[0]], index=False)
        write_results(folder.job("probe"), {"mean accuracy": mean})
    cells = [
        [str(source), *(f"{value:.1%}" for value in part["accuracy"])]
        for source, part in table.groupby("source", sort=False)
    ]
    show_table("what readers like the classifiers read from the images of", ["", *found.configs], cells)
    say_made(summary.files[0])
    return mean


@dataclass(frozen=True)
class Probes:
    """Readers of every source of images, each asked every question.

    Attributes:
        cfg: The configuration.
        configs: The classifiers.
        data: The images.
        place: Where weights and predictions are kept.
    """

    cfg: DictConfig
    configs: Mapping[str, DictConfig]
    data: ImageDataModule
    place: Path

    @property
    def questions(self) -> list[str]:
        """What each classifier is asked."""
        return [labels_name(config) for config in self.configs.values()]

    @cached_property
    def images(self) -> str:
        """Fingerprint of the images."""
        return self.data.fingerprint()

    @cached_property
    def architectures(self) -> dict[str, DictConfig]:
        """The readers' configs, by the network; ``probe.reader`` alone if it is given."""
        given = self.cfg.probe.reader
        if given is not None:
            return {"reader": OmegaConf.create({"network": given})}
        found: dict[str, DictConfig] = {}
        for config in self.configs.values():
            found.setdefault(architecture(config), config)
        return {f"reader{number}": config for number, config in enumerate(found.values())}

    def columns(self) -> list[int]:
        """For each classifier the column of its question, read by its own architecture."""
        asked = list(classifiers_by_labels(self.configs))
        readers = [architecture(config) for config in self.architectures.values()]
        given = self.cfg.probe.reader is not None
        return [
            (0 if given else readers.index(architecture(config)) * len(asked)) + asked.index(labels_name(config))
            for config in self.configs.values()
        ]

    def readers(self, asked: int) -> Readers:
        """Readers without their weights, for as many questions."""
        classes = len(self.data.classes) * asked
        return Readers(
            {
                name: Classifier(
                    instantiate(config.network, "probe.reader", classes=classes),
                    classifiers.preprocessing(config) if "preprocessing" in config else None,
                )
                for name, config in self.architectures.items()
            }
        )

    def right(self, source: str, weights: Path | None) -> np.ndarray:
        """Whether a source's reader with each classifier's architecture is right, ``(images, C)``; trained if missing.

        Args:
            source: Name of the images' source.
            weights: The autoencoder's; ``None`` reads the originals.
        """
        options, start = self.cfg.probe, self.place / f"{ORIGINAL}.safetensors"
        adapted = weights is not None and options.adapted_epochs is not None
        files = [self.place / f"{source}.npz", *([start] if weights is None else [])]
        inputs = {"images": self.images} | ({"autoencoder": sha256(weights)} if weights else {})
        inputs |= {"readers of the originals": sha256(start)} if adapted else {}
        settings = settings_of(self.cfg, "probe", "autoencoder") | {"asked": self.questions}
        settings |= {"readers": [architecture(config) for config in self.architectures.values()]}
        artifact = Artifact(files, files[0].with_suffix(".json"), settings, inputs, precious=False)
        if not artifact.exists():
            self.train(artifact, weights, start if adapted else None)
        with np.load(files[0]) as found:
            predictions: np.ndarray = found["right"]
        return predictions[:, self.columns()]

    def train(self, artifact: Artifact, weights: Path | None, start: Path | None) -> None:
        """Train one source's readers, from those of the originals if these are given, and keep what they saw."""
        cfg, options = self.cfg, self.cfg.probe
        pl.seed_everything(cfg.seed, workers=True, verbose=False)
        answers = self.answers
        readers = self.readers(answers["test"].shape[1] // len(self.architectures))
        if start is not None:
            load_weights(readers, start)
        module = Probe(
            None if weights is None else make_autoencoder(cfg, weights),
            readers,
            answers,
            len(self.data.classes),
            instantiate(options.optimizer, "probe.optimizer"),
            options.schedule,
            noise=options.noise,
            seed=cfg.seed,
        )
        epochs = options.epochs if start is None else options.adapted_epochs
        trainer = make_trainer(cfg, Length(epochs), [SeededBatches(cfg.seed)])
        trainer.fit(module, datamodule=self.data)
        trainer.test(module, datamodule=self.data, verbose=False)
        right = module.predicted.cpu() == answers["test"]
        if trainer.is_global_zero:
            with artifact.making(float(right.float().mean())) as temporary:
                np.savez_compressed(temporary[artifact.files[0]], right=right.numpy())
                for path in artifact.files[1:]:
                    save_weights(readers, temporary[path])
        trainer.strategy.barrier()

    @cached_property
    def answers(self) -> dict[Split, Tensor]:
        """The right classes by split, ``(images, readers × questions)``."""
        asked = classifiers_by_labels(self.configs)
        splits: tuple[Split, ...] = ("train", "val", "test")
        found = {name: split_labels(self.cfg, asked, self.data, name) for name in splits}
        return {name: right.repeat(1, len(self.architectures)) for name, right in found.items()}


def architecture(config: DictConfig) -> str:
    """What makes a classifier's network and preprocessing, without its weights; equal for equal architectures."""
    parts = {key: config[key] for key in ("network", "preprocessing") if key in config}
    return OmegaConf.to_yaml(OmegaConf.create(parts), resolve=True)
