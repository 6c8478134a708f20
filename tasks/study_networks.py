"""Every autoencoder and classifier of a study, for tasks that look at all of them."""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt
from omegaconf import DictConfig

from analysis.accuracy_csv import ORIGINAL, PRETRAINED
from datamodules.base import ImageDataModule
from networks.classifier import Classifier
from networks.segnet import SegNet
from tasks import build, classifiers
from tasks.cross_evaluate import study_autoencoders
from tasks.study_folder import seeded, sha256


@dataclass(frozen=True)
class StudyNetworks:
    """The files of a study's networks.

    Attributes:
        configs: Each classifier's config.
        paths: Each autoencoder's file: A_S, then A_i for each classifier and seed.
        own: For each classifier the names of its own autoencoders, one for each seed.
    """

    configs: dict[str, DictConfig]
    paths: dict[str, Path]
    own: dict[str, list[str]] = field(default_factory=dict)

    @property
    def sources(self) -> dict[str, str]:
        """For each source of images (the originals, then the autoencoders) its name without the seed."""
        names = {name: classifier for classifier, found in self.own.items() for name in found}
        return {ORIGINAL: ORIGINAL, PRETRAINED: PRETRAINED} | names

    def inputs(self, cfg: DictConfig) -> dict[str, str]:
        """Fingerprints of all weights."""
        found = {f"autoencoder {name}": sha256(path) for name, path in self.paths.items()}
        return found | {
            f"classifier {name}": classifiers.weights_fingerprint(cfg, config) for name, config in self.configs.items()
        }

    def load_autoencoders(self, cfg: DictConfig) -> dict[str, SegNet]:
        """Every autoencoder with its weights."""
        return {name: build.make_autoencoder(cfg, path) for name, path in self.paths.items()}

    def load_classifiers(self, cfg: DictConfig, data: ImageDataModule) -> dict[str, Classifier]:
        """Every classifier with its weights, frozen."""
        return {name: classifiers.load_classifier(cfg, config, data) for name, config in self.configs.items()}


def study_networks(cfg: DictConfig) -> StudyNetworks:
    """The networks of a study, all of which must have been trained; else the command that does it is named."""
    configs = classifiers.study_classifiers(cfg)
    paths = {PRETRAINED: build.require(build.study_folder(cfg).pretrained, cfg, "pretrain")}
    own = {}
    for name in configs:
        found = {seeded(name, seed): path for seed, path in study_autoencoders(cfg, name).items()}
        own[name] = list(found)
        paths |= found
    return StudyNetworks(configs, paths, own)


def labels_by_classifier(labels: npt.NDArray[np.int64], names: list[str]) -> npt.NDArray[np.int64]:
    """The right class of each image for each classifier, ``(N, C)``, from the data's own labels ``(N,)``."""
    return np.repeat(labels[:, None], len(names), axis=1)
