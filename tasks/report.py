"""``task=report``: figures and a page of what the study has found."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure
from omegaconf import DictConfig
from torch import Tensor

from analysis.accuracy_csv import ORIGINAL, PRETRAINED
from analysis.figures.study import save_figure as save_png_and_pdf
from analysis.report import study as study_report
from analysis.report.page import render_page
from analysis.report.parts import read_parts
from datamodules.base import ImageDataModule
from networks.classifier import Preprocessing, freeze
from networks.segnet import SegNet
from tasks import boards, build, classifiers
from tasks.study_folder import Artifact, StudyFolder, sha256, whole_file
from tasks.study_networks import study_autoencoders
from tasks.terminal import say_made, say_skipped


def run(cfg: DictConfig) -> float:
    """Draw the study's figures and lay out its page; returns the number of figures."""
    folder, data = build.study_folder(cfg), build.make_data(cfg)
    configs = classifiers.every_classifier(cfg)
    labels = {name: str(config.label) for name, config in configs.items()}
    build.require(folder.accuracy, cfg, "cross_evaluate")
    tables = [
        folder.cross_evaluation / name for name in ("accuracy.csv", "accuracy_top5.csv", "nmi.csv", "correct.npz")
    ]
    tables += [build.require(folder.order / "order.json", cfg, "order"), folder.order / "rrc.csv"]
    weights = {PRETRAINED: build.require(folder.pretrained, cfg, "pretrain")} | {
        name: next(iter(study_autoencoders(cfg, name).values()))
        for name in classifiers.study_classifiers(cfg)  # of seeds, the first is shown
    }
    if folder.native_accuracy.exists():
        tables.append(folder.native_accuracy)
    parts = read_parts(folder.root, labels)
    tables += [path for part in parts for path in part.files if path not in tables]
    page = folder.report / "index.html"
    inputs = {str(path.relative_to(folder.root)): sha256(path) for path in [*tables, *weights.values()]} | {
        "images": data.fingerprint()
    }
    settings = build.settings_of(cfg, "report", "study")
    artifact = Artifact([page], folder.report / "provenance.json", settings, inputs, precious=False)
    if artifact.exists():
        return say_skipped(page, artifact.objective())
    views = {name: classifiers.preprocessing(config) for name, config in configs.items()}
    study = study_report.read_study(
        folder.cross_evaluation, folder.order / "order.json", labels, views_table(views, data.smallest_side)
    )
    autoencoders = {name: build.make_autoencoder(cfg, path) for name, path in weights.items()}
    drawn = draw(cfg, data, study, autoencoders, study_report.row_names(labels))
    for part in parts:
        drawn |= part.figures
    with artifact.making(len(drawn)) as temporary:
        for name, figure in drawn.items():
            save_figure(figure, folder, name)
        text = render_page(
            f"What the networks of “{cfg.study}” like to see",
            " ".join([study_report.lead(study), *(part.lead for part in parts if part.lead)]),
            study_report.facts(study),
            [
                *(section for section in study_report.sections(study) if section.figure in (None, *drawn)),
                *(section for part in parts for section in part.sections),
            ],
            {f"../{path.relative_to(folder.root)}": str(path.relative_to(folder.root)) for path in tables},
        )
        temporary[page].write_text(text, encoding="utf-8")
    with boards.opened(cfg, folder.job("report"), artifact.identity) as loggers:
        for board in loggers:
            for name, figure in drawn.items():
                board.log_figure(name, figure)
    say_made(page)
    return float(len(drawn))


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


def views_table(views: Mapping[str, Preprocessing], side: int) -> pd.DataFrame:
    """What each classifier does to a study image, and how much of it it sees."""
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


def save_figure(figure: Figure, folder: StudyFolder, name: str) -> None:
    """Write a figure's PNG and PDF, each whole or not at all."""
    png, pdf = (folder.report / "figures" / f"{name}.{suffix}" for suffix in ("png", "pdf"))
    with whole_file(png) as temporary_png, whole_file(pdf) as temporary_pdf:
        save_png_and_pdf(figure, temporary_png, temporary_pdf)
