"""Every template is rendered with names that are no HTML, and shows them escaped."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from methods.robustness import report as robustness
from methods.robustness.module import ATTACKS, DEFENCES, RobustnessResult
from methods.robustness.tables import tables
from networks.attacks import ThreatModel
from report.page import REPOSITORY, Part
from report.parts import (
    agreement,
    classifiers,
    colour_and_frequency,
    cues,
    decisions,
    disagreement,
    intervals,
    noise,
    study,
)
from stats.decisions import class_shares, decision_summary
from stats.intervals import Resampling
from study.step import write
from tasks import intervals as intervals_task
from tests.report import test_disagreement
from tests.report.measurements import write_measurements
from tests.report.rendered import anchors, rendered
from tests.report.test_many_classifiers import accuracies, write_study
from tests.stats.compressed import COLUMNS
from tests.stats.drawn import planted_cues

NAMES = list("abcd")
TITLES = {name: f"<b>{name} & co" for name in NAMES}
LAYOUT = {"macros", "page", "views"}  # what templates of parts are made of


def write_results(root: Path) -> None:
    """The files of the cross evaluation, the measurements, the intervals and robustness."""
    write_measurements(root, NAMES)
    write_study(root, accuracies(NAMES))
    contents, order = intervals_task.compute(planted_cues(), Resampling(50, 0.9, 0), None)
    (root / "intervals").mkdir()
    for name, table in contents.items():
        table.to_csv(root / "intervals" / f"{name}.csv", index=False)
    (root / "intervals" / "order.json").write_text(json.dumps(order))
    (root / "robustness").mkdir()
    for name, content in tables(attacked()).items():
        write(content, root / "robustness" / name)


def write_decisions(root: Path) -> Path:
    """The files of decisions, of classifiers whose classes have names that are no HTML."""
    folder = root / "decisions"
    folder.mkdir(parents=True)
    predicted, confidence = np.array([0, 1, 1]), np.array([0.9, 0.4, 0.6])
    names = np.array(["<b>cat & co", "dog"])
    pd.DataFrame([{"classifier": name} | decision_summary(predicted, confidence, 0.5) for name in NAMES]).to_csv(
        folder / "summary.csv", index=False
    )
    shares = [class_shares(predicted, confidence, names).assign(classifier=name) for name in NAMES]
    pd.concat(shares).to_csv(folder / "classes.csv", index=False)
    np.savez(
        folder / "pictures.npz", image_0=np.zeros((3, 8, 8), dtype=np.uint8), classifiers=np.array(NAMES),
        classes=np.array([["<b>cat & co"] * len(NAMES)]), confidences=np.full((1, len(NAMES)), 0.9),
    )  # fmt: skip
    return root


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A study with the files of these tasks."""
    write_results(tmp_path)
    return tmp_path


THREATS = [ThreatModel("linf", 0.01), ThreatModel("linf", 0.02), ThreatModel("l2", 0.5)]


def attacked() -> RobustnessResult:
    random, threats = np.random.default_rng(0), THREATS
    images, c, t = 20, len(NAMES), len(threats)
    shapes = {
        "clean": (c, len(DEFENCES)), "right": (c, t, len(DEFENCES), len(ATTACKS)), "vanishing": (c, len(DEFENCES)),
        "transferred": (t, c, c),
    }  # fmt: skip
    arrays = {name: random.integers(0, 2, (images, *shape)).astype(bool) for name, shape in shapes.items()}
    return RobustnessResult(NAMES, threats, np.arange(images), np.zeros((images, c), int), **arrays)


def views(names: list[str]) -> pd.DataFrame:
    return pd.DataFrame({"sees": "all & <more>"}, index=names)


def every_part(root: Path, compressed: Path) -> list[Part]:
    """Each part as often as there is a template."""
    records: dict[str, Path | str] = dict.fromkeys(NAMES, "elsewhere & <there>")
    readers = (intervals, cues, colour_and_frequency, agreement, noise, robustness)
    parts = [
        study.read(root, TITLES, views(NAMES)),
        classifiers.read(root, TITLES, views(NAMES), 100, records),
        disagreement.read(compressed, {name: f"<b>{name} & co" for name in COLUMNS}),
        *(module.read(root, TITLES) for module in readers),
        decisions.read(write_decisions(root / "decided"), TITLES),
    ]
    assert all(part is not None for part in parts)
    return [part for part in parts if part is not None]


def test_every_template_is_rendered_and_escapes_names(root: Path) -> None:
    compressed = root / "compressed"
    parts = every_part(root, test_disagreement.study(compressed))
    files = {f"report/templates/{path.name}" for path in (REPOSITORY / "report" / "templates").glob("*.j2")}
    files -= {f"report/templates/{name}.html.j2" for name in LAYOUT}
    assert {part.template for part in parts} == files | {"methods/robustness/report.html.j2"}
    for part in parts:
        page = rendered(part)
        assert "<b>" not in page
        assert "& " not in page
        assert "<more>" not in page
        assert set(part.figures) <= anchors(page)
        assert part.template.endswith("classifiers.html.j2") or page.count("<img ") == len(part.figures)
        assert page.count("{{") == page.count("{%") == 0
    assert "&lt;b&gt;a &amp; co" in rendered(*parts)


def test_images_have_texts_of_their_own(root: Path) -> None:
    part = study.read(root, TITLES, views(NAMES))
    assert part is not None
    page = rendered(part)
    assert 'alt="Heat map of the accuracy of each classifier on the images of each source"' in page
    assert 'alt="Cross-classifier accuracy"' not in page
