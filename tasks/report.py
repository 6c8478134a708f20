"""``task=report``: figures, and a page of what the tasks of a study have written."""

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from matplotlib.figure import Figure
from omegaconf import DictConfig

from datamodules.base import ImageDataModule
from methods.band_tolerance import further
from report.figures.images import image_grid
from report.figures.style import save_figure
from report.names import source_titles, spaced
from report.page import Part, render_page
from report.parts import classifiers as classifiers_part
from report.parts import study as study_part
from report.words import words_of
from study.artifact import Artifact, require, settings_of
from study.autoencoders import has_autoencoders
from study.classifiers import every_classifier
from study.configuration.classifier_files import read_config
from study.data import make_data
from study.files import sha256, whole_file
from study.folder import CONF, StudyFolder, study_folder
from study.inputs import check_file, check_shown, check_study
from study.loggers import open_loggers
from study.pages import origin, shown_autoencoders, titles_of, views_table
from study.showcase import choose_test_images, reconstruct
from study.step import Result, Step
from tasks.registry import TASKS, load


def run(cfg: DictConfig) -> float:
    """Draw the figures of a study and lay out its page; returns the number of figures.

    The page shows what was measured. It is a page of the classifiers alone if the study has no autoencoders, or if only
    other measurements than the cross evaluation exist.
    """
    check_study(cfg)
    with words_of(study_folder(cfg).measure):
        return shown(cfg)


def shown(cfg: DictConfig) -> float:
    """The figures and the page, in the words of the study."""
    folder, data, configs = study_folder(cfg), make_data(cfg), every_classifier(cfg)
    titles = titles_of(configs)
    parts = written_parts(folder.root, titles)
    with_autoencoders = has_autoencoders(cfg) and (folder.accuracy.exists() or not parts)
    first, weights = first_part(cfg, data, titles, with_autoencoders)
    parts = [first, *parts, *further_parts(cfg)]
    files = list(dict.fromkeys(path for part in parts for path in part.files))
    check_shown([*files, *(path for path in weights.values() if path.suffix != ".json")], cfg)
    inputs = {named(folder, path): sha256(path) for path in [*files, *weights.values()]}
    inputs |= {"images": data.fingerprint()}
    # other studies are inputs, so that naming them makes the page again instead of refusing the one that is there
    inputs |= {"further studies": ", ".join(cfg.report.further_studies)} if cfg.report.further_studies else {}
    index, settings = folder.report / "index.html", settings_of(cfg, "report", "study")
    settings["report"].pop("further_studies")
    artifact = Artifact([index], folder.report / "provenance.json", settings, inputs, precious=False)
    step = Step(artifact, folder.job("report"))

    def make() -> Result:
        if with_autoencoders:
            pictures = picture_figures(cfg, data, weights, source_titles(titles))
            parts[0] = replace(first, figures=pictures | dict(first.figures))
        figures = {name: figure for part in parts for name, figure in part.figures.items()}
        for name, figure in figures.items():
            write_figure(figure, folder, name)
        with open_loggers(cfg, step.job, artifact.identity) as loggers:
            for logger in loggers:
                for name, figure in figures.items():
                    logger.log_figure(name, figure)
        links = {os.path.relpath(path, folder.report): os.path.relpath(path, folder.root) for path in files}
        page = render_page(f"What the networks of “{cfg.study}” like to see", parts, links)
        return Result(float(len(figures)), {index.name: page})

    return step.run(make)


def written_parts(root: Path, titles: Mapping[str, str]) -> list[Part]:
    """The parts of all tasks that have written something, in the order of the registry."""
    readers = [load(f"{module}:read") for task in TASKS for module in task.report]
    return [part for read in readers if (part := read(root, titles)) is not None]


def further_parts(cfg: DictConfig) -> list[Part]:
    """The parts on the networks of the other studies that the page names."""
    page = study_folder(cfg).report
    return [further.read(root, title_of_file, page, position) for position, root in enumerate(check_further(cfg))]


def title_of_file(name: str) -> str:
    """The display name of a classifier, from its file in conf/classifier if there is one."""
    known = (CONF / "classifier" / f"{name}.yaml").exists()
    return str(read_config(name).title) if known else spaced(name)


def check_further(cfg: DictConfig) -> list[Path]:
    """The folders of the other studies that the page names.

    Raises:
        FileNotFoundError: If one has no page or no bits; names the key, the file and the command that makes it.
        ValueError: If it is this study, or a file is damaged.
    """
    names, studies = list(cfg.report.further_studies), Path(cfg.studies)
    for name in names:
        if name == cfg.study:
            raise ValueError(f"report.further_studies={names}: {name} is the study of this page; name other ones")
        if (missing := further.missing_file(studies / name)) is not None:
            raise FileNotFoundError(
                f"report.further_studies={names}: {missing} does not exist: finish the study {name}, with "
                f"band_tolerance in its analyses, first (studies={cfg.studies} study={name}), or leave it out"
            )
        for path in further.shown_files(studies / name):
            check_file(path)
    return [studies / name for name in names]


def first_part(
    cfg: DictConfig, data: ImageDataModule, titles: Mapping[str, str], with_autoencoders: bool
) -> tuple[Part, dict[str, Path]]:
    """The part that the page begins with, and the further files that it is made from."""
    folder, configs = study_folder(cfg), every_classifier(cfg)
    views = views_table(configs, data.smallest_side)
    if with_autoencoders:
        require(folder.accuracy, cfg, "cross_evaluate")
        require(folder.order / "lattice.json", cfg, "order")
        part = study_part.read(folder.root, titles, views)
        if part is None:
            raise FileNotFoundError(f"{folder.cross_evaluation} is not complete: run task=cross_evaluate again")
        return part, shown_autoencoders(cfg)
    records = {name: origin(cfg, config) for name, config in configs.items()}
    part = classifiers_part.read(folder.root, titles, views, len(data.split("test")), records)
    return part, {name: record for name, record in records.items() if isinstance(record, Path)}


def picture_figures(
    cfg: DictConfig, data: ImageDataModule, weights: Mapping[str, Path], names: Mapping[str, str]
) -> dict[str, Figure]:
    """The figures of photographs and test images with their reconstructions."""
    tests = choose_test_images(data, cfg.report.test_images)
    photographs = list(data.showcase(cfg.report.photographs).values())
    whole, small = (
        {names[source]: images for source, images in columns.items()}
        for columns in reconstruct(cfg, weights, [photographs, [image for _, image in tests]])
    )
    figures = {"photographs": image_grid(whole, width=1.75)} if photographs else {}
    return figures | {"test_images": image_grid(small, [name for name, _ in tests])}


def named(folder: StudyFolder, path: Path) -> str:
    """The name of a file among the inputs: its path in the study, or, of another study, its whole path."""
    return str(path.relative_to(folder.root) if path.is_relative_to(folder.root) else path)


def write_figure(figure: Figure, folder: StudyFolder, name: str) -> None:
    """Write the PNG and the PDF of a figure, each whole or not at all."""
    png, pdf = (folder.report / "figures" / f"{name}.{suffix}" for suffix in ("png", "pdf"))
    with whole_file(png) as partial_png, whole_file(pdf) as partial_pdf:
        save_figure(figure, partial_png, partial_pdf)
