"""Disagreement of compressed classifiers with their parents: counted literally."""

import math
from collections import Counter
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from stats.disagreement import children_of, disagreements, disagreements_by_class, exemplars, mcnemar, modal
from stats.names import OWN
from stats.predictions import Predictions
from study.predictions import read_predictions
from tests.stats.compressed import COLUMNS, PARENTS, write_predictions


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
