"""Every autoencoder and classifier of a study, for tasks that evaluate all of them."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
from omegaconf import DictConfig, OmegaConf

from datamodules.base import ImageDataModule
from networks.classifier import Classifier
from networks.segnet import SegNet
from stats.names import ORIGINAL, PRETRAINED
from study.artifact import PATHS_AND_NAMES, differences, require, settings_of, without
from study.autoencoders import make_autoencoder
from study.classifiers import (
    CONTROL_STEPS,
    classifier_inputs,
    every_classifier,
    label_inputs,
    load_classifier,
    study_classifiers,
    weights_fingerprint,
)
from study.folder import seeded, study_folder
from study.inputs import record_of, verified
from study.labels import right_classes, with_labels_of
from study.trainer import accelerate


@dataclass(frozen=True)
class StudyNetworks:
    """The files of the networks of a study.

    Attributes:
        configs: The config of each classifier, those of controls last.
        paths: The file of each autoencoder: A_S, controls, then A_i for each classifier and seed.
        own: For each classifier the names of the A_i trained through it, one for each seed.
        controls: The names of classifiers and autoencoders that are controls.
        fingerprints: That of each file of an autoencoder, which has been verified.
    """

    configs: dict[str, DictConfig]
    paths: dict[str, Path]
    own: dict[str, list[str]]
    controls: list[str]
    fingerprints: dict[str, str]

    @property
    def studied(self) -> list[str]:
        """The classifiers that are no controls."""
        return [name for name in self.configs if name not in self.controls]

    @property
    def sources(self) -> dict[str, str]:
        """For each source of images (the originals, then the autoencoders) its name without the seed."""
        names = {row: classifier for classifier, rows in self.own.items() for row in rows}
        return {ORIGINAL: ORIGINAL} | {name: names.get(name, name) for name in self.paths}

    def without_controls(self) -> "StudyNetworks":
        """The networks of the study itself: A_S, and every classifier with its A_i."""
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
        """Of the A_i of each classifier only the one with the lowest seed."""
        left_out = {row for rows in self.own.values() for row in rows[1:]}
        return replace(
            self,
            paths={name: path for name, path in self.paths.items() if name not in left_out},
            own={name: rows[:1] for name, rows in self.own.items()},
        )

    def inputs(self, cfg: DictConfig, data: ImageDataModule) -> dict[str, str]:
        """Fingerprints of the images and of all weights, for provenance."""
        autoencoders = {f"autoencoder {name}": self.fingerprints[name] for name in self.paths}
        return {"images": data.fingerprint()} | autoencoders | classifier_inputs(cfg, self.configs)

    def load(
        self, cfg: DictConfig, data: ImageDataModule, compiled: bool = True
    ) -> tuple[dict[str, SegNet], dict[str, Classifier]]:
        """Every autoencoder, and every classifier, frozen, with their weights.

        Args:
            cfg: The configuration.
            data: The images.
            compiled: Whether classifiers are compiled if the trainer says so; hooks do not see into compiled ones.
        """
        autoencoders = {name: make_autoencoder(cfg, path) for name, path in self.paths.items()}
        classifiers = {name: load_classifier(cfg, config, data) for name, config in self.configs.items()}
        accelerate(cfg, *autoencoders.values(), *(classifiers.values() if compiled else []))
        return autoencoders, classifiers

    def right_classes(
        self, cfg: DictConfig, data: ImageDataModule, labels: npt.NDArray[np.int64], index: npt.NDArray[np.int64]
    ) -> npt.NDArray[np.int64]:
        """The right class of test images for each classifier, ``(N, C)``.

        Args:
            cfg: The configuration.
            data: The images.
            labels: Their labels, ``(N,)``.
            index: Their positions in the test split, ``(N,)``.
        """
        classes = right_classes(cfg, self.configs, data)
        return np.repeat(labels[:, None], len(self.configs), axis=1) if classes is None else classes.numpy()[index]


def study_networks(cfg: DictConfig) -> StudyNetworks:
    """The networks of a study, all of which must have been trained; else the command that does it is named."""
    folder, configs, studied = study_folder(cfg), every_classifier(cfg), study_classifiers(cfg)
    controls = {name: step for name, step in CONTROL_STEPS.items() if name in cfg.controls}
    paths = {PRETRAINED: folder.pretrained} | {name: folder.control(name) for name in controls}
    fingerprints = {PRETRAINED: pretrained_fingerprint(cfg)}
    for name, task in controls.items():
        data = pretraining_images(cfg) if task == "pretrain" else "data"
        made_with = settings_of(cfg, "autoencoder", data=data) | {"seed": cfg.seed + (task == "pretrain")}
        step = f"{task} {task}.{name}=true"
        fingerprints[name] = verified(folder.control(name), cfg, step, made_with)
    own = {}
    for name in sorted(configs, key=lambda name: name in studied):  # controls come first
        rows = {seeded(name, seed): seed for seed in study_autoencoders(cfg, name)}
        own[name] = list(rows)
        for row, seed in rows.items():
            paths[row] = folder.autoencoder(name, seed)
            fingerprints[row] = finetuned_fingerprint(cfg, configs[name], seed)
    return StudyNetworks(
        configs, paths, own, [name for name in (*controls, *configs) if name not in studied], fingerprints
    )


def pretraining_images(cfg: DictConfig) -> str:
    """The node of the images that A_S is trained on."""
    return "pretrain_data" if "pretrain_data" in cfg else "data"


def pretrained_fingerprint(cfg: DictConfig) -> str:
    """The fingerprint of A_S, which must be there, and be of this architecture and these images."""
    made_with = settings_of(cfg, "autoencoder", data=pretraining_images(cfg))
    del made_with["seed"]  # A_i of several seeds share it
    return verified(study_folder(cfg).pretrained, cfg, "pretrain", made_with)


def finetuned_fingerprint(cfg: DictConfig, config: DictConfig, seed: int) -> str:
    """The fingerprint of an A_i, which must be there, and come from the A_S and the classifier of the study.

    Args:
        cfg: The configuration.
        config: The classifier.
        seed: The seed of the A_i.
    """
    made_with = settings_of(with_labels_of(cfg, config), "autoencoder")
    made_with |= {"classifier": without(OmegaConf.to_container(config, resolve=True), PATHS_AND_NAMES), "seed": seed}
    path, step = study_folder(cfg).autoencoder(config.name, seed), f"finetune classifier={config.name}"
    inputs = {f"classifier {config.name}": weights_fingerprint(cfg, config)}
    if config.get("decisions"):
        inputs |= label_inputs({config.name: config})
    return verified(path, cfg, step, made_with, inputs)


def study_autoencoders(cfg: DictConfig, name: str) -> dict[int, Path]:
    """Every A_i of a classifier, by its seed; at least one, and all made with the same settings."""
    folder = study_folder(cfg)
    paths = folder.autoencoders(name)
    if not paths:
        require(folder.autoencoder(name), cfg, f"finetune classifier={name}")
    records = {path: record for path in paths.values() if isinstance(record := record_of(path), dict)}
    if not records:
        return paths  # refused when they are verified
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
    return paths
