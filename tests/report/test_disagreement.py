"""The report's part about compressed classifiers."""

import json
from pathlib import Path

import numpy as np
import pytest

from report.figures.study import save_figure
from report.page import render_page
from report.parts import disagreement as part
from stats.disagreement import exemplars
from study.predictions import read_predictions
from tests.stats.compressed import COLUMNS, PARENTS, write_predictions

LABELS = {name: name.replace("_", " ").upper() for name in COLUMNS}


def study(root: Path, pictures: bool = True, **options: float) -> Path:
    write_predictions(root / "cross_evaluation" / "predictions.npz", **options)  # type: ignore[arg-type]
    (root / "classifiers").mkdir()
    for name in COLUMNS:
        block = {"compressed": {"parent": PARENTS[name]}} if name in PARENTS else {}
        settings = {"settings": {"classifier": {"name": name, **block}}}
        (root / "classifiers" / f"{name}.json").write_text(json.dumps(settings))
    if pictures:
        predictions = read_predictions(root / "cross_evaluation" / "predictions.npz")
        index = predictions.index[exemplars(predictions, ["resnet_pruned"], "resnet")][:7]
        names = np.array(["some_class"] * len(index))
        (root / "disagreement").mkdir()
        np.savez(
            root / "disagreement" / "exemplars.npz", classes=np.array([f"kind_{k}" for k in range(7)]), index=index,
            images=np.zeros((len(index), 3, 8, 8), np.uint8), of=np.array(["resnet"] * len(index)), label=names,
            parent_sees=names, children_see=names,
        )  # fmt: skip
    return root


@pytest.mark.parametrize("pictures", [True, False])
def test_part_of_the_report(tmp_path: Path, pictures: bool) -> None:
    report_part = part.read(study(tmp_path, pictures), LABELS)
    assert report_part is not None
    drawn = {section.figure for section in report_part.sections} - {None}
    assert drawn == report_part.figures.keys()
    assert ("disagreement_exemplars" in drawn) == pictures
    page = render_page("t", "l", [], report_part.sections, {})
    assert ("kind 3" in page or "kind_3" in page) == pictures
    assert "A<sub>VGG PRUNED</sub>" not in page  # no row of this part is an autoencoder
    for name, figure in report_part.figures.items():
        save_figure(figure, tmp_path / f"{name}.png", tmp_path / f"{name}.pdf")


def test_pictures_of_other_predictions_are_not_shown(tmp_path: Path) -> None:
    root = study(tmp_path)
    write_predictions(root / "cross_evaluation" / "predictions.npz", seed=1)
    report_part = part.read(root, LABELS)
    assert report_part is not None
    assert "disagreement_exemplars" not in report_part.figures


def test_studies_without_compressed_classifiers_have_no_such_part(tmp_path: Path) -> None:
    assert part.read(tmp_path, LABELS) is None
    root = study(tmp_path, pictures=False)
    for name in PARENTS:
        (root / "classifiers" / f"{name}.json").write_text(json.dumps({"settings": {"classifier": {"name": name}}}))
    assert part.read(root, LABELS) is None


def test_classifiers_that_agree_everywhere(tmp_path: Path) -> None:
    report_part = part.read(study(tmp_path, pictures=False, agree=1.1), LABELS)
    assert report_part is not None
    assert "disagree on 0.0%" in report_part.sections[0].text
    for name, figure in report_part.figures.items():
        save_figure(figure, tmp_path / f"{name}.png", tmp_path / f"{name}.pdf")
