"""Every autoencoder and classifier of a study, for tasks that look at all of them."""

import json
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
from omegaconf import DictConfig

from datamodules.base import ImageDataModule
from networks.classifier import Classifier
from networks.segnet import SegNet
from stats.accuracy_csv import ORIGINAL, PRETRAINED
from study import classifiers
from study.artifact import differences, require
from study.autoencoders import make_autoencoder
from study.files import sha256
from study.folder import seeded, study_folder
from study.labels import own_labels, right_classes


@dataclass(frozen=True)
class StudyNetworks:
    """The files of a study's networks.

    Attributes:
        configs: Each classifier's config, those of controls last.
        paths: Each autoencoder's file: A_S, controls, then A_i for each classifier and seed.
        own: For each classifier the names of its own autoencoders, one for each seed.
        controls: The names of classifiers and autoencoders that are controls.
    """

    configs: dict[str, DictConfig]
    paths: dict[str, Path]
    own: dict[str, list[str]]
    controls: list[str]

    @property
    def studied(self) -> list[str]:
        """The classifiers that are no controls."""
        return [name for name in self.configs if name not in self.controls]

    @property
    def sources(self) -> dict[str, str]:
        """For each source of images (the originals, then the autoencoders) its name without the seed."""
        names = {name: classifier for classifier, found in self.own.items() for name in found}
        return {ORIGINAL: ORIGINAL} | {name: names.get(name, name) for name in self.paths}

    def without_controls(self) -> "StudyNetworks":
        """The study's own networks: A_S, and every classifier with its A_i."""
        own = {name: self.own[name] for name in self.studied}
        kept = {PRETRAINED, *(row for rows in own.values() for row in rows)}
        return replace(
            self,
            configs={name: self.configs[name] for name in self.studied},
            paths={name: path for name, path in self.paths.items() if name in kept},
            own=own,
            controls=[],
        )

    def with_first_seeds(self) -> "StudyNetworks":
        """Of each classifier's autoencoders only the one with the lowest seed."""
        left_out = {row for rows in self.own.values() for row in rows[1:]}
        return replace(
            self,
            paths={name: path for name, path in self.paths.items() if name not in left_out},
            own={name: rows[:1] for name, rows in self.own.items()},
        )

    def inputs(self, cfg: DictConfig) -> dict[str, str]:
        """Fingerprints of all weights, and what classifiers are asked that is not the study's label."""
        found = {f"autoencoder {name}": sha256(path) for name, path in self.paths.items()}
        found |= {
            f"classifier {name}": classifiers.weights_fingerprint(cfg, config) for name, config in self.configs.items()
        }
        return found | {f"question to {name}": str(question) for name, question in own_labels(self.configs).items()}

    def load_autoencoders(self, cfg: DictConfig) -> dict[str, SegNet]:
        """Every autoencoder with its weights."""
        return {name: make_autoencoder(cfg, path) for name, path in self.paths.items()}

    def load_classifiers(self, cfg: DictConfig, data: ImageDataModule) -> dict[str, Classifier]:
        """Every classifier with its weights, frozen."""
        return {name: classifiers.load_classifier(cfg, config, data) for name, config in self.configs.items()}


def study_networks(cfg: DictConfig) -> StudyNetworks:
    """The networks of a study, all of which must have been trained; else the command that does it is named."""
    folder, configs = study_folder(cfg), classifiers.every_classifier(cfg)
    studied = classifiers.study_classifiers(cfg)
    steps = [name for name in classifiers.CONTROL_STEPS if name in cfg.controls]
    paths = {PRETRAINED: require(folder.pretrained, cfg, "pretrain")}
    paths |= {name: require(folder.control(name), cfg, name) for name in steps}
    own = {}
    for name in sorted(configs, key=lambda name: name in studied):  # controls come first
        found = {seeded(name, seed): path for seed, path in study_autoencoders(cfg, name).items()}
        own[name] = list(found)
        paths |= found
    return StudyNetworks(configs, paths, own, [name for name in (*steps, *configs) if name not in studied])


def study_autoencoders(cfg: DictConfig, name: str) -> dict[int, Path]:
    """Every autoencoder fine-tuned through a classifier, by its seed; at least one, and all with the same settings."""
    folder = study_folder(cfg)
    found = folder.autoencoders(name)
    if not found:
        require(folder.autoencoder(name), cfg, f"finetune classifier={name}")
    records = {path: json.loads(path.with_suffix(".json").read_text()) for path in found.values()}
    first = next(iter(records))
    for path, record in records.items():
        changed = differences(
            *({**entry["settings"], "seed": 0} | entry["inputs"] for entry in (records[first], record))
        )
        if changed:
            raise ValueError(
                f"{path} and {first} were not made alike: {'; '.join(changed)}. Seeds of one study differ in nothing "
                "else: remove one of them, or move it to another study"
            )
    return found


def right_answers(
    cfg: DictConfig,
    found: StudyNetworks,
    data: ImageDataModule,
    labels: npt.NDArray[np.int64],
    index: npt.NDArray[np.int64],
) -> npt.NDArray[np.int64]:
    """The right class of images for each classifier, ``(N, C)``.

    Args:
        cfg: The configuration.
        found: The study's networks.
        data: Its images.
        labels: The images' labels, ``(N,)``.
        index: Their positions in the test split, ``(N,)``.
    """
    answers = right_classes(cfg, found.configs, data)
    return np.repeat(labels[:, None], len(found.configs), axis=1) if answers is None else answers.numpy()[index]
