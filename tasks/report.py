"""``task=report``: figures and a page of what the study has found."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from matplotlib.figure import Figure
from omegaconf import DictConfig

from report.figures.study import save_figure as save_png_and_pdf
from report.page import Part, render_page
from report.parts import read_parts
from study import classifiers
from study.artifact import Artifact, settings_of
from study.autoencoders import has_autoencoders
from study.console import say_made, say_skipped
from study.data import make_data
from study.files import sha256, whole_file
from study.folder import StudyFolder, study_folder
from study.loggers import open_loggers
from study.pages import ClassifiersPage, Page, StudyPage, labels_of


def run(cfg: DictConfig) -> float:
    """Draw the study's figures and lay out its page; returns the number of figures.

    The page shows what was measured. Without a cross evaluation, and with other measurements or without autoencoders,
    it is one of the classifiers alone.
    """
    folder, data = study_folder(cfg), make_data(cfg)
    configs = classifiers.every_classifier(cfg)
    parts = read_parts(folder.root, labels_of(configs))
    whole = has_autoencoders(cfg) and (folder.accuracy.exists() or not parts)
    base: StudyPage | ClassifiersPage = StudyPage(cfg) if whole else ClassifiersPage(cfg, configs)
    tables = list(dict.fromkeys([*base.tables, *(path for part in parts for path in part.files)]))
    path = folder.report / "index.html"
    inputs = {named(folder, table): sha256(table) for table in [*tables, *base.others]} | {"images": data.fingerprint()}
    artifact = Artifact(
        [path], folder.report / "provenance.json", settings_of(cfg, "report", "study"), inputs, precious=False
    )
    if artifact.exists():
        return say_skipped(path, artifact.objective())
    page = base.lay_out(data, configs)
    drawn = dict(page.figures)
    for part in parts:
        drawn |= part.figures
    with artifact.making(len(drawn)) as temporary:
        for name, figure in drawn.items():
            save_figure(figure, folder, name)
        files = {f"../{table.relative_to(folder.root)}": named(folder, table) for table in tables}
        temporary[path].write_text(text_of(cfg.study, page, parts, files), encoding="utf-8")
    with open_loggers(cfg, folder.job("report"), artifact.identity) as loggers:
        for board in loggers:
            for name, figure in drawn.items():
                board.log_figure(name, figure)
    say_made(path)
    return float(len(drawn))


def text_of(study: str, page: Page, parts: Sequence[Part], files: Mapping[str, str]) -> str:
    """The page's HTML: what it begins with, then the parts."""
    return render_page(
        f"What the networks of “{study}” like to see",
        " ".join([page.lead, *(part.lead for part in parts if part.lead)]),
        page.facts,
        [
            *(section for section in page.sections if section.figure in (None, *page.figures)),
            *(section for part in parts for section in part.sections),
        ],
        files,
        list(dict.fromkeys([*page.methods, *(part.method for part in parts if part.method is not None)])),
    )


def named(folder: StudyFolder, path: Path) -> str:
    """A file's name among the inputs: its place in the study, or, in another one, its path."""
    return str(path.relative_to(folder.root) if path.is_relative_to(folder.root) else path)


def save_figure(figure: Figure, folder: StudyFolder, name: str) -> None:
    """Write a figure's PNG and PDF, each whole or not at all."""
    png, pdf = (folder.report / "figures" / f"{name}.{suffix}" for suffix in ("png", "pdf"))
    with whole_file(png) as temporary_png, whole_file(pdf) as temporary_pdf:
        save_png_and_pdf(figure, temporary_png, temporary_pdf)
