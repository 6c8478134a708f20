"""The two kinds of report: of a study with autoencoders, and of one of classifiers alone."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure
from omegaconf import DictConfig
from torch import Tensor

from datamodules.base import ImageDataModule
from networks.classifier import freeze
from networks.segnet import SegNet
from report import classifiers as classifiers_report
from report import study as study_report
from report.page import Section
from stats.names import ORIGINAL, PRETRAINED
from study import classifiers
from study.artifact import require
from study.autoencoders import make_autoencoder
from study.folder import classifier_file, study_folder
from study.networks import study_autoencoders


@dataclass(frozen=True)
class Page:
    """What a page begins with, before the parts of further measurements.

    Attributes:
        lead: Its first sentences; may hold HTML.
        facts: The numbers at the top.
        sections: In order; their figures are among ``figures``.
        figures: By the name of their files.
        methods: Where the methods are published.
    """

    lead: str
    facts: Sequence[tuple[str, str]]
    sections: Sequence[Section]
    figures: Mapping[str, Figure]
    methods: Sequence[str]


class StudyPage:
    """The page of a study whose cross evaluation and order are there; else the command that makes them is named.

    Attributes:
        tables: The files that it shows and links to.
        others: Further files that it is made from.
    """

    def __init__(self, cfg: DictConfig) -> None:
        folder = study_folder(cfg)
        require(folder.accuracy, cfg, "cross_evaluate")
        self.cfg, self.cross_evaluation, self.order = cfg, folder.cross_evaluation, folder.order / "order.json"
        names = ("accuracy.csv", "accuracy_top5.csv", "nmi.csv", "predictions.npz")
        self.tables = [folder.cross_evaluation / name for name in names]
        self.tables += [require(self.order, cfg, "order"), folder.order / "rrc.csv"]
        self.weights = {PRETRAINED: require(folder.pretrained, cfg, "pretrain")} | {
            name: next(iter(study_autoencoders(cfg, name).values()))
            for name in classifiers.study_classifiers(cfg)  # of seeds, the first is shown
        }
        if folder.native_accuracy.exists():
            self.tables.append(folder.native_accuracy)
        self.others = list(self.weights.values())

    def lay_out(self, data: ImageDataModule, configs: Mapping[str, DictConfig]) -> Page:
        """Read the tables, reconstruct the images to be shown and draw every figure."""
        views, labels = views_table(configs, data.smallest_side), labels_of(configs)
        study = study_report.read_study(self.cross_evaluation, self.order, labels, views)
        autoencoders = {name: make_autoencoder(self.cfg, path) for name, path in self.weights.items()}
        drawn = draw(self.cfg, data, study, autoencoders, study_report.row_names(labels))
        return Page(
            study_report.lead(study),
            study_report.facts(study),
            study_report.sections(study),
            drawn,
            [study_report.METHOD],
        )


class ClassifiersPage:
    """The page of a study of classifiers alone; attributes as of :class:`StudyPage`."""

    def __init__(self, cfg: DictConfig, configs: Mapping[str, DictConfig]) -> None:
        folder = study_folder(cfg)
        self.native, self.robust = folder.native_accuracy, folder.robust_accuracy
        self.records = {name: origin(cfg, config) for name, config in configs.items()}
        self.tables = [table for table in (self.native, self.robust) if table.exists()]
        self.others = [record for record in self.records.values() if isinstance(record, Path)]

    def lay_out(self, data: ImageDataModule, configs: Mapping[str, DictConfig]) -> Page:
        """Read how the classifiers were trained."""
        views = views_table(configs, data.smallest_side)
        images = len(data.split("test"))
        study = classifiers_report.read_classifiers(
            self.records, labels_of(configs), images, views, self.native, self.robust
        )
        return Page(
            classifiers_report.lead(study), classifiers_report.facts(study), classifiers_report.sections(study), {}, []
        )


def origin(cfg: DictConfig, config: DictConfig) -> Path | str:
    """The provenance of weights that are made here, which must be there; else in words where weights are from."""
    if config.weights:
        return "not at all: random weights" if config.weights == classifiers.RANDOM else "elsewhere"
    weights = classifier_file(cfg, config.name)
    return require(weights, cfg, f"{classifiers.training_task(config)} classifier={config.name}").with_suffix(".json")


def labels_of(configs: Mapping[str, DictConfig]) -> dict[str, str]:
    """What people call each classifier, each once: where two have the same label, their names stand behind it."""
    labels = {name: str(config.title) for name, config in configs.items()}
    shared = {label for label, count in Counter(labels.values()).items() if count > 1}
    return {name: f"{label} ({name})" if label in shared else label for name, label in labels.items()}


def draw(
    cfg: DictConfig,
    data: ImageDataModule,
    study: study_report.StudyTables,
    autoencoders: Mapping[str, SegNet],
    names: Mapping[str, str],
) -> dict[str, Figure]:
    """Reconstruct the images to be shown and draw every figure."""
    tests = choose_test_images(data, cfg.report.test_images)
    photographs = reconstruct(list(data.showcase(cfg.report.photographs).values()), autoencoders, names)
    test_images = reconstruct([image for _, image in tests], autoencoders, names)
    return study_report.draw_figures(study, photographs, test_images, [name for name, _ in tests])


def views_table(configs: Mapping[str, DictConfig], side: int) -> pd.DataFrame:
    """What each classifier does to a study image, and how much of it it sees."""
    views = {name: classifiers.preprocessing(config) for name, config in configs.items()}
    rows = {
        name: (view.describe(side), f"{view.field_of_view(side):.0f} × {view.field_of_view(side):.0f} pixels",
               f"{(view.field_of_view(side) / side) ** 2:.0%}")
        for name, view in views.items()
    }  # fmt: skip
    return pd.DataFrame.from_dict(rows, orient="index", columns=["preprocessing", "sees", "of the area"])


def choose_test_images(data: ImageDataModule, count: int) -> list[tuple[str, Tensor]]:
    """The first test image ``(3, H, W)`` of each of ``count`` classes spread evenly, with the class's name."""
    split = data.split("test")
    first: dict[int, int] = {}
    for position in range(len(split)):
        first.setdefault(split.label(position), position)
    labels = sorted(first)
    chosen = np.linspace(0, len(labels) - 1, min(count, len(labels))).round().astype(int).tolist()
    return [
        (data.classes[labels[place]].replace("_", "\n"), split[first[labels[place]]][0].float() / 255)
        for place in chosen
    ]


@torch.inference_mode()
def reconstruct(
    images: Sequence[Tensor], autoencoders: Mapping[str, SegNet], names: Mapping[str, str]
) -> dict[str, list[Tensor]]:
    """The images, and each autoencoder's reconstruction of them, by the name of the column."""
    columns = {names[ORIGINAL]: list(images)}
    for name, autoencoder in autoencoders.items():
        freeze(autoencoder)
        columns[names[name]] = [autoencoder(image[None])[0] for image in images]
    return columns
