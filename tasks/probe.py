"""``task=probe``: readers, trained on the images of every autoencoder to predict the labels of the classifiers."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from omegaconf import DictConfig, OmegaConf
from torch import Tensor

from callbacks.randomness import SeededBatches
from datamodules.base import ImageDataModule, Split
from lightning_modules.probe import Probe, Readers
from networks.classifier import Classifier
from networks.weights import load_weights
from stats.names import ACCURACY, ORIGINAL
from stats.proportion import wilson_interval
from study.artifact import Artifact, settings_of
from study.autoencoders import make_autoencoder
from study.classifiers import preprocessing
from study.configuration.instantiation import instantiate
from study.data import make_data
from study.files import sha256
from study.folder import study_folder
from study.labels import classifiers_by_labels, labels_name, set_of_labels, split_labels, with_labels_of
from study.networks import study_networks
from study.records import read_arrays
from study.step import Result, Step, Table
from study.trainer import Length, make_trainer


def run(cfg: DictConfig) -> float:
    """Write how well readers read every source of images, and return the mean accuracy on the images of A_i."""
    folder, data = study_folder(cfg), make_data(cfg, cfg.probe.batch_size)
    if data.single_pass or data.on_error == "skip":
        raise ValueError("probes read every image several times: use images that can all be read, not shards")
    networks = study_networks(cfg).with_first_seeds()
    path = folder.root / "probe" / f"{folder.measure}.csv"
    settings, inputs = settings_of(cfg, "probe"), networks.inputs(cfg, data)
    artifact = Artifact([path], path.with_suffix(".json"), settings, inputs, precious=False)
    probes = Probes(cfg, networks.configs, data, path.parent, folder.job("probe"))

    def make() -> Result:
        sources = {ORIGINAL: None, **networks.paths}
        tables = [probes.accuracies(name, weights, networks.sources[name]) for name, weights in sources.items()]
        table = pd.concat(tables)
        mean = float(table[table["source"].isin(networks.studied)]["accuracy"].mean())
        rows = [
            [str(source), *(f"{value:.1%}" for value in part["accuracy"])]
            for source, part in table.groupby("source", sort=False)
        ]
        shown = Table(f"{folder.measure} of readers on the images of", ["", *networks.configs], rows)
        named = table.rename(columns={ACCURACY: folder.measure})
        return Result(mean, {path.name: named}, {f"mean {folder.measure}": mean}, [shown])

    return Step(artifact, folder.job("probe")).run(make)


@dataclass(frozen=True)
class Probes:
    """Readers of every source of images, each trained to predict the labels of every classifier.

    Attributes:
        cfg: The configuration.
        configs: The classifiers.
        data: The images.
        folder: Where weights and predictions are kept.
        job: The folder of the job.
    """

    cfg: DictConfig
    configs: Mapping[str, DictConfig]
    data: ImageDataModule
    folder: Path
    job: Path

    @property
    def labels_names(self) -> list[str]:
        """Name of the labels of each classifier."""
        return [labels_name(config) for config in self.configs.values()]

    @cached_property
    def fingerprint(self) -> str:
        """Fingerprint of the images."""
        return self.data.fingerprint()

    @cached_property
    def classes(self) -> int:
        """The largest number of classes in a set of labels."""
        return max(len(make_data(with_labels_of(self.cfg, config)).classes) for config in self.configs.values())

    @cached_property
    def architectures(self) -> dict[str, DictConfig]:
        """The configs of the readers, by the network; ``probe.reader`` alone if it is given."""
        given = self.cfg.probe.reader
        if given is not None:
            return {"reader": OmegaConf.create({"network": given})}
        configs: dict[str, DictConfig] = {}
        for config in self.configs.values():
            configs.setdefault(architecture(config), config)
        return {f"reader{number}": config for number, config in enumerate(configs.values())}

    def columns(self) -> list[int]:
        """For each classifier the column of its labels, read by its architecture."""
        names = list(classifiers_by_labels(self.configs))
        readers = [architecture(config) for config in self.architectures.values()]
        given = self.cfg.probe.reader is not None
        return [
            (0 if given else readers.index(architecture(config)) * len(names)) + names.index(set_of_labels(config))
            for config in self.configs.values()
        ]

    def readers(self, sets_of_labels: int) -> Readers:
        """Readers without their weights, for as many sets of labels."""
        classes = self.classes * sets_of_labels
        return Readers(
            {
                name: Classifier(
                    instantiate(config.network, "probe.reader", "classifier", classes=classes),
                    preprocessing(config) if "preprocessing" in config else None,
                )
                for name, config in self.architectures.items()
            }
        )

    def accuracies(self, name: str, weights: Path | None, source: str) -> pd.DataFrame:
        """The accuracy of the readers of one source of images, with 95 % intervals: a row for each classifier.

        Args:
            name: Name of the source, with its seed.
            weights: The weights of its autoencoder; ``None`` reads the originals.
            source: Name of the source without the seed.
        """
        right = self.right(name, weights)
        share = right.mean(axis=0)
        lower, upper = wilson_interval(share, len(right))
        columns = {"source": source, "classifier": list(self.configs), "labels": self.labels_names}
        return pd.DataFrame(columns | {"accuracy": share, "lower": lower, "upper": upper, "images": len(right)})

    def right(self, source: str, weights: Path | None) -> np.ndarray:
        """Whether the reader of a source with the architecture of each classifier is right, ``(images, C)``."""
        options, start = self.cfg.probe, self.folder / f"{ORIGINAL}.safetensors"
        adapted = weights is not None and options.adapted_epochs is not None
        files = [self.folder / f"{source}.npz", *([start] if weights is None else [])]
        inputs = {"images": self.fingerprint} | ({"autoencoder": sha256(weights)} if weights else {})
        inputs |= {"readers of the originals": sha256(start)} if adapted else {}
        settings = settings_of(self.cfg, "probe", "autoencoder") | {"labels": self.labels_names}
        settings |= {"readers": [architecture(config) for config in self.architectures.values()]}
        artifact = Artifact(files, files[0].with_suffix(".json"), settings, inputs, precious=False)
        step = Step(artifact, self.job, self.cfg.seed)
        step.run(lambda: self.train(weights, start if adapted else None, [path.name for path in files]))
        return read_arrays(files[0])["right"][:, self.columns()]

    def train(self, weights: Path | None, start: Path | None, files: list[str]) -> Result:
        """Train the readers of one source, from those of the originals if these are given, and test them."""
        cfg, options, targets = self.cfg, self.cfg.probe, self.targets
        readers = self.readers(targets["test"].shape[1] // len(self.architectures))
        if start is not None:
            load_weights(readers, start)
        module = Probe(
            None if weights is None else make_autoencoder(cfg, weights),
            readers,
            targets,
            self.classes,
            instantiate(options.optimizer, "probe.optimizer", "optimizer"),
            options.schedule,
            noise=options.noise,
            seed=cfg.seed,
        )
        epochs = options.epochs if start is None else options.adapted_epochs
        trainer = make_trainer(cfg, Length(epochs), [SeededBatches(cfg.seed)])
        trainer.fit(module, datamodule=self.data)
        trainer.test(module, datamodule=self.data, verbose=False)
        right = module.predicted.cpu() == targets["test"]
        contents: list[Any] = [{"right": right.numpy()}, readers]
        return Result(float(right.float().mean()), dict(zip(files, contents, strict=False)))

    @cached_property
    def targets(self) -> dict[Split, Tensor]:
        """The right classes by split, ``(images, readers × sets of labels)``."""
        configs = classifiers_by_labels(self.configs)
        splits: tuple[Split, ...] = ("train", "val", "test")
        classes = {name: split_labels(self.cfg, configs, self.data, name) for name in splits}
        return {name: right.repeat(1, len(self.architectures)) for name, right in classes.items()}


def architecture(config: DictConfig) -> str:
    """The network and preprocessing of a classifier, without its weights; equal for equal architectures."""
    parts = {key: config[key] for key in ("network", "preprocessing") if key in config}
    return OmegaConf.to_yaml(OmegaConf.create(parts), resolve=True)
