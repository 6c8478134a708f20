"""Disagreement of compressed classifiers with their parents: counted literally."""

import json
import math
from collections import Counter
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from report.figures.study import save_figure
from report.page import render_page
from report.parts import disagreement as part
from stats.disagreement import children_of, disagreements, disagreements_by_class, exemplars, mcnemar, modal
from stats.names import OWN
from stats.predictions import Predictions
from study.predictions import read_predictions

PARENTS = {"vgg_pruned": "vgg", "vgg_int8": "vgg", "resnet_pruned": "resnet"}
COLUMNS = ["vgg", "resnet", *PARENTS]
LABELS = {name: name.replace("_", " ").upper() for name in COLUMNS}


def write_predictions(path: Path, seed: int = 0, images: int = 60, classes: int = 7, agree: float = 0.6) -> None:
    """Predictions of classifiers that often see the right class, with two seeds of one autoencoder."""
    random = np.random.default_rng(seed)
    sources = ["original", "pretrained", *COLUMNS, "vgg_pruned"]
    labels = random.integers(0, classes, images)
    shape = (images, len(sources), len(COLUMNS))
    right = random.random(shape) < agree
    predicted = np.where(right, labels[:, None, None], random.integers(0, classes, shape))
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(
        path,
        rows=np.array([*sources[:-1], "vgg_pruned-seed1"]),
        sources=np.array(sources),
        columns=np.array(COLUMNS),
        index=np.arange(images) * 2,
        labels=labels,
        predicted=predicted,
        top1=predicted == labels[:, None, None],
        top5=np.ones(shape),
        nmi_intra=np.ones(shape[:2]),
        nmi_inter=np.ones((images // 2, len(sources))),
    )


@pytest.fixture
def predictions(tmp_path: Path) -> Predictions:
    write_predictions(tmp_path / "predictions.npz")
    return read_predictions(tmp_path / "predictions.npz")


@pytest.mark.parametrize(("first", "second"), [(0, 0), (1, 0), (3, 3), (0, 12), (7, 19), (480, 400), (5000, 5100)])
def test_mcnemar_is_the_exact_binomial_tail(first: int, second: int) -> None:
    images = first + second
    tail = sum(math.comb(images, k) for k in range(min(first, second) + 1))
    assert mcnemar(first, second) == pytest.approx(min(1, float(Fraction(2 * tail, 2**images))), rel=1e-9)
    assert mcnemar(first, second) == mcnemar(second, first)


def test_mcnemar_of_all_imagenet_images_is_not_lost_in_rounding() -> None:
    assert mcnemar(25_000, 25_000) == 1
    assert 0 < mcnemar(24_000, 26_000) < 1e-15
    assert mcnemar(0, 50_000) == 0  # below the smallest float


def test_modal_class_by_counting() -> None:
    votes = np.random.default_rng(0).integers(0, 4, (200, 5))
    # Counter keeps the order of first sight among equals
    assert modal(votes).tolist() == [Counter(row).most_common(1)[0][0] for row in votes.tolist()]


def test_table_by_counting(predictions: Predictions) -> None:
    records = disagreements(predictions, PARENTS).to_dict("records")
    table = {(record["child"], record["source"]): record for record in records}
    assert len(table) == len(records) == 9
    for child, parent in PARENTS.items():
        c, p = COLUMNS.index(child), COLUMNS.index(parent)
        for source, child_row, parent_row in (
            ("original", 0, 0),
            ("pretrained", 1, 1),
            (OWN, 2 + c, 2 + p),  # of two seeds that differ, the first has its way
        ):
            row, counts = table[child, source], [0, 0, 0]
            for image, label in enumerate(predictions.labels[:, 0]):
                ours, theirs = predictions.predicted[image, child_row, c], predictions.predicted[image, parent_row, p]
                counts[0] += ours != theirs
                counts[1] += theirs == label != ours
                counts[2] += ours == label != theirs
            assert [row["disagree"], row["parent_only"], row["child_only"]] == counts
            assert row["share"] == counts[0] / 60
            assert row["low"] < row["share"] < row["high"]


def test_the_same_network_never_disagrees(predictions: Predictions) -> None:
    table = disagreements(predictions, {"vgg": "vgg"})
    assert (table["disagree"] == 0).all()
    assert (table["p"] == 1).all()
    assert not len(exemplars(predictions, ["vgg"], "vgg"))


def test_classes_add_up(predictions: Predictions) -> None:
    by_class = disagreements_by_class(predictions, "vgg_int8", "vgg")
    table = disagreements(predictions, {"vgg_int8": "vgg"})
    assert by_class["disagree"].sum() == table.loc[0, "disagree"]
    assert by_class["images"].to_dict() == Counter(predictions.labels[:, 0].tolist())


def test_exemplars_by_counting(predictions: Predictions) -> None:
    assert children_of(PARENTS) == {"vgg": ["vgg_pruned", "vgg_int8"], "resnet": ["resnet_pruned"]}
    columns = [COLUMNS.index(name) for name in ("vgg_pruned", "vgg_int8", "resnet_pruned")]
    expected = [
        image
        for image, row in enumerate(predictions.predicted[:, 0].tolist())
        if Counter(row[column] for column in columns).most_common(1)[0][0] != row[0]
    ]
    assert exemplars(predictions, ["vgg_pruned", "vgg_int8", "resnet_pruned"], "vgg").tolist() == expected


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
