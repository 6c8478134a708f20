"""The files of decisions, and images that have decisions as labels."""

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
from omegaconf import DictConfig

from datamodules.base import ImageDataModule, Split
from datamodules.views.decided import ConfidentImages, DecidedImages
from lightning_modules.decisions import Decisions
from study.artifact import require
from study.folder import study_folder
from study.inputs import state
from study.records import read_record

EVALUATED: tuple[Split, ...] = ("val", "test")
TASK = "decisions"


def decisions_file(cfg: DictConfig, classifier: str, split: Split) -> Path:
    """Where the decisions of a classifier on the images of a split are kept."""
    return study_folder(cfg).root / "decisions" / f"{classifier}-{split}.npz"


def read_decisions(cfg: DictConfig, classifier: str, split: Split) -> Decisions:
    """The decisions of a classifier on the images of a split.

    Raises:
        FileNotFoundError: If they were not made; names the command that makes them.
        ValueError: If the file is damaged.
    """
    path = require(decisions_file(cfg, classifier, split), cfg, TASK)
    return _read(path, *state(path))


@lru_cache(maxsize=64)
def _read(path: Path, *_state: int) -> Decisions:
    return read_record(Decisions, path)


def with_decisions(cfg: DictConfig, data: ImageDataModule, classifier: str, confident: Sequence[str]) -> DecidedImages:
    """Images that have the decisions of a classifier as labels.

    Args:
        cfg: The configuration.
        data: The images, without those on which one of ``confident`` guesses.
        classifier: Name of the classifier.
        confident: Names of the classifiers that decide which images of ``val`` and ``test`` are kept.
    """
    labels: dict[Split, npt.NDArray[np.int64]] = {}
    classes: list[str] = []
    for split in EVALUATED:
        decisions = read_decisions(cfg, classifier, split)
        labels[split] = decisions.predicted[kept(cfg, confident, split)] if confident else decisions.predicted
        classes = decisions.classes.tolist()
    if decisions_file(cfg, classifier, "train").exists():
        labels["train"] = read_decisions(cfg, classifier, "train").predicted
    return DecidedImages(data, classes, labels)


def confident_images(cfg: DictConfig, data: ImageDataModule, classifiers: Sequence[str]) -> ImageDataModule:
    """Images without those of ``val`` and ``test`` on which one of the classifiers only guesses."""
    return ConfidentImages(data, {split: kept(cfg, classifiers, split).tolist() for split in EVALUATED})


def kept(cfg: DictConfig, classifiers: Sequence[str], split: Split) -> npt.NDArray[np.int64]:
    """Positions of the images of a split of whose class every classifier is confident, ascending."""
    confidences = [read_decisions(cfg, name, split).confidence for name in classifiers]
    return np.flatnonzero(np.min(confidences, axis=0) >= cfg.labels.least_confidence)
