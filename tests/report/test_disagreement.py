"""The part of the page about compressed classifiers."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest

from report.figures.style import save_figure
from report.parts import disagreement as part
from stats.compression import class_shares, exemplar_table
from stats.disagreement import children_of, disagreements, disagreements_by_class, exemplars
from study.predictions import read_predictions
from tests.report.rendered import anchors, rendered
from tests.stats.compressed import COLUMNS, PARENTS, write_predictions

TITLES = {name: name.replace("_", " ").upper() for name in COLUMNS}
CLASSES = [f"kind_{number}" for number in range(7)]


def study(root: Path, **options: float) -> Path:
    """The files that ``task=disagreement`` writes."""
    path = root / "cross_evaluation" / "predictions.npz"
    write_predictions(path, **options)  # type: ignore[arg-type]
    predictions = read_predictions(path)
    index = predictions.index[exemplars(predictions, ["resnet_pruned"], "resnet")][:7]
    names = np.array(["some_class"] * len(index))
    folder = root / "disagreement"
    folder.mkdir()
    disagreements(predictions, PARENTS).to_csv(folder / "disagreement.csv", index=False)
    class_shares(predictions, PARENTS, CLASSES).to_csv(folder / "classes.csv")
    exemplar_table(predictions, PARENTS).to_csv(folder / "exemplars.csv")
    np.savez(
        folder / "exemplars.npz", allow_pickle=False, classes=np.array(CLASSES), index=index,
        images=np.zeros((len(index), 3, 8, 8), np.uint8), of=np.array(["resnet"] * len(index)), label=names,
        parent_sees=names, children_see=names,
    )  # fmt: skip
    inputs = {"inputs": {"predictions": hashlib.sha256(path.read_bytes()).hexdigest()}}
    (folder / "provenance.json").write_text(json.dumps(inputs))
    return root


def test_part_of_the_page(tmp_path: Path) -> None:
    report_part = part.read(study(tmp_path), TITLES)
    assert report_part is not None
    page = rendered(report_part)
    drawn = {"disagreement", "disagreement_classes", "disagreement_exemplars"}
    assert report_part.figures.keys() == anchors(page) == drawn
    assert "kind 3" in page or "kind_3" in page
    assert "A<sub>VGG PRUNED</sub>" not in page  # no row of this part is an autoencoder
    assert "of an earlier cross evaluation" not in page
    for name, figure in report_part.figures.items():
        save_figure(figure, tmp_path / f"{name}.png", tmp_path / f"{name}.pdf")


def test_numbers_of_other_predictions_are_called_outdated(tmp_path: Path) -> None:
    root = study(tmp_path)
    write_predictions(root / "cross_evaluation" / "predictions.npz", seed=1)
    report_part = part.read(root, TITLES)
    assert report_part is not None
    assert "of an earlier cross evaluation: run task=disagreement" in rendered(report_part)


def test_studies_without_compressed_classifiers_have_no_such_part(tmp_path: Path) -> None:
    assert part.read(tmp_path, TITLES) is None
    write_predictions(tmp_path / "cross_evaluation" / "predictions.npz")
    assert part.read(tmp_path, TITLES) is None


def test_classifiers_that_agree_everywhere(tmp_path: Path) -> None:
    report_part = part.read(study(tmp_path, agree=1.1), TITLES)
    assert report_part is not None
    page = rendered(report_part)
    assert "disagree on 0.0 %" in page
    assert "disagreement_exemplars" not in report_part.figures
    assert "disagreement_exemplars" in anchors(page)
    for name, figure in report_part.figures.items():
        save_figure(figure, tmp_path / f"{name}.png", tmp_path / f"{name}.pdf")


def test_tables_hold_what_is_counted(tmp_path: Path) -> None:
    write_predictions(tmp_path / "predictions.npz")
    predictions = read_predictions(tmp_path / "predictions.npz")
    shares = class_shares(predictions, PARENTS, CLASSES)
    assert shares["mean"].is_monotonic_decreasing
    by_class = disagreements_by_class(predictions, "vgg_int8", "vgg")
    for label, row in by_class.iterrows():
        assert shares.loc[CLASSES[int(str(label))], "vgg_int8"] == row["share"]
    table = exemplar_table(predictions, PARENTS)
    for parent, children in children_of(PARENTS).items():
        chosen = set(exemplars(predictions, children, parent).tolist())
        right = predictions.top1[:, 0, COLUMNS.index(parent)]
        assert table.loc[parent, "exemplars"] == len(chosen)
        here = [bool(right[n]) for n in range(60) if n in chosen]
        elsewhere = [bool(right[n]) for n in range(60) if n not in chosen]
        assert table.loc[parent, "parent_right_on_them"] == pytest.approx(np.mean(here))
        assert table.loc[parent, "parent_right_elsewhere"] == pytest.approx(np.mean(elsewhere))
