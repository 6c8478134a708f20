"""Channels of all classifiers, read by all: loops over images, and the reasons why there is no order."""

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.stats import spearmanr  # type: ignore[import-untyped]

from methods.band_tolerance.cross_reading import (
    band_matrix,
    cross_document,
    cross_predictions,
    cross_reading_table,
    law_table,
    of_images,
    why_no_order,
)
from methods.band_tolerance.evaluation import Passed
from methods.band_tolerance.measures import Measured, measure
from methods.band_tolerance.rows import rows_of_fits
from stats.intervals import Sample
from stats.order import relative_rates
from stats.predictions import Predictions
from stats.rate_retention import dominance
from tests.methods.band_tolerance.made_channels import (
    HOW,
    IMAGES,
    NAMES,
    ROWS,
    literal_bits,
    made_fit,
    made_predictions,
)

STUDIED = NAMES[:3]


def predictions_of(passed: Passed, labelled: bool = False) -> Predictions:
    return cross_predictions(passed, ROWS, 0.15, NAMES, ["untrained"], ["label"] * 4, labelled)


def shared_rows() -> list[int]:
    return [number for number, row in enumerate(ROWS) if row.kind == "fit" and row.tolerance == 0.15]


def law_of(passed: Passed, measured: Measured) -> pd.DataFrame:
    return law_table(passed, ROWS, predictions_of(passed), dominance(band_matrix(measured, STUDIED, 0.15)))


@pytest.mark.parametrize("labelled", [False, True])
def test_the_predictions_of_all_are_those_of_rows_that_all_see(labelled: bool, passed: Passed) -> None:
    found = predictions_of(passed, labelled)
    assert found.sources == ["original", "a", "a", "b", "b", "c", "c", "untrained"]
    assert found.rows == ["original", "a", "a-seed1", "b", "b-seed1", "c", "c-seed1", "untrained"]
    assert found.classifiers == STUDIED
    right = passed.labels if labelled else passed.decisions
    for image in range(IMAGES):
        for column in range(4):
            assert found.labels[image, column] == right[image, column]
            assert found.top1[image, 0, column] == (passed.decisions[image, column] == right[image, column])
            for row, number in enumerate(shared_rows(), start=1):
                assert found.predicted[image, row, column] == passed.predicted[image, number, column]
                assert found.top1[image, row, column] == (
                    passed.predicted[image, number, column] == right[image, column]
                )
    assert found.top1[:, 0].all() == (not labelled)  # a decision is always the one on the original
    assert np.array_equal(found.index, passed.index)


def kept(passed: Passed, number: int, column: int) -> float:
    return sum(int(passed.predicted[k, number, column] == passed.decisions[k, column]) for k in range(IMAGES)) / IMAGES


def row_number(name: str, seed: int = 0) -> int:
    return next(k for k in shared_rows() if (ROWS[k].classifier, ROWS[k].seed) == (name, seed))


def test_the_law_is_the_retention_on_the_common_channel_against_the_smaller_own_one(
    passed: Passed, measured: Measured
) -> None:
    table = law_of(passed, measured)
    assert list(zip(table["source"], table["classifier"], strict=True)) == [
        (one, other) for one in STUDIED for other in STUDIED if one != other
    ]
    for line in table.to_dict("records"):
        source, reader = line["source"], line["classifier"]
        [common] = [
            k
            for k, row in enumerate(ROWS)
            if row.kind == "common" and {NAMES[each] for each in row.readers} == {source, reader}
        ]
        own = min(kept(passed, row_number(name), NAMES.index(name)) for name in (source, reader))
        assert line["predicted_rrc"] == pytest.approx(kept(passed, common, NAMES.index(reader)) / own)
        bands = [
            literal_bits(ROWS[row_number(name)], passed.powers["db2"].mean(axis=0)).ravel() for name in (source, reader)
        ]
        shared = sum(min(one, other) for one, other in zip(*bands, strict=True))
        assert line["dominance"] == pytest.approx(shared / bands[1].sum())


def test_the_law_of_labels_counts_right_classes_as_rrc_does(passed: Passed, measured: Measured) -> None:
    labelled = predictions_of(passed, labelled=True)
    table = law_table(passed, ROWS, labelled, dominance(band_matrix(measured, STUDIED, 0.15)))
    right = passed.predicted == passed.labels[:, None]
    for line in table.to_dict("records"):
        columns = {NAMES.index(line["source"]), NAMES.index(line["classifier"])}
        [common] = [k for k, row in enumerate(ROWS) if row.kind == "common" and set(row.readers) == columns]
        own = min(right[:, row_number(NAMES[column]), column].mean() for column in columns)
        expected = right[:, common, NAMES.index(line["classifier"])].mean() / own
        assert line["predicted_rrc"] == pytest.approx(expected)


def test_one_classifier_alone_is_compared_at_the_compared_tolerance_alone() -> None:
    rows = list(rows_of_fits(["a"], {"a": {0: made_fit(0), 1: made_fit(1)}}, 0.15))
    made = made_predictions(rows)
    alone = replace(
        made, labels=made.labels[:, :1], decisions=made.decisions[:, :1], predicted=made.predicted[..., :1],
        divergence=made.divergence[..., :1],
    )  # fmt: skip
    predictions = cross_predictions(alone, rows, 0.15, ["a"], [], ["label"], labelled=False)
    assert predictions.rows == ["original", "a", "a-seed1"]
    at = [number for number, row in enumerate(rows) if row.tolerance == 0.15]
    np.testing.assert_array_equal(predictions.predicted[:, 1:], alone.predicted[:, at])
    matrix = band_matrix(measure(alone, rows, HOW), ["a"], 0.15)
    np.testing.assert_allclose(matrix[0], literal_bits(rows[at[0]], alone.powers["db2"].mean(axis=0)).ravel())


def test_pairs_that_were_not_evaluated_have_no_prediction(passed: Passed, measured: Measured) -> None:
    fewer = [k for k, row in enumerate(ROWS) if row.kind != "common"]
    part = Passed(
        passed.index, passed.labels, passed.decisions, passed.predicted[:, fewer], passed.divergence[:, fewer],
        passed.powers,
    )  # fmt: skip
    rows = [ROWS[k] for k in fewer]
    numbers = measure(part, rows, HOW)
    predictions = cross_predictions(part, rows, 0.15, NAMES, ["untrained"], ["label"] * 4, labelled=False)
    law = law_table(part, rows, predictions, dominance(band_matrix(numbers, STUDIED, 0.15)))
    assert law["predicted_rrc"].isna().all()
    assert law["dominance"].notna().all()
    sample = Sample(predictions.top1, predictions.sources, HOW)
    document = cross_document(predictions, sample, law, None, HOW)
    assert set(document["law"]) == {"dominance"}


def test_the_table_has_every_cell_with_its_interval(passed: Passed, measured: Measured) -> None:
    predictions = predictions_of(passed)
    sample = Sample(predictions.top1, predictions.sources, HOW)
    table = cross_reading_table(predictions, sample, law_of(passed, measured))
    means = {}
    for line in table.to_dict("records"):
        column = NAMES.index(line["classifier"])
        numbers = [k for k in shared_rows() if ROWS[k].classifier == line["source"]]
        expected = np.mean([kept(passed, number, column) for number in numbers]) if numbers else 1.0
        assert line["retention"] == pytest.approx(expected)
        assert line["retention_lower"] <= line["retention"] <= line["retention_upper"]
        means[line["source"], line["classifier"]] = expected
    assert len(table) == 5 * 4
    studied = table[table["source"].isin(STUDIED) & table["classifier"].isin(STUDIED)]
    accuracy = pd.DataFrame([[means[i, j] for j in STUDIED] for i in STUDIED], STUDIED, STUDIED)
    rates = relative_rates(accuracy.to_numpy())
    for line in studied.to_dict("records"):
        place = STUDIED.index(line["source"]), STUDIED.index(line["classifier"])
        assert line["rrc"] == pytest.approx(rates[place])
        assert np.isnan(line["dominance"]) == (place[0] == place[1])


def test_the_document_has_order_law_and_agreement(passed: Passed, measured: Measured) -> None:
    predictions = predictions_of(passed)
    sample = Sample(predictions.top1, predictions.sources, HOW)
    law, other = law_of(passed, measured), predictions_of(made_predictions(ROWS, seed=1))
    document = cross_document(predictions, sample, law, other, HOW)
    assert document["no_order"] is None
    square = sample.means[np.ix_(sample.positions(STUDIED), [0, 1, 2])]
    rates, off = relative_rates(square), ~np.eye(3, dtype=bool)
    for name in ("predicted_rrc", "dominance"):
        values = law.pivot(index="source", columns="classifier", values=name).loc[STUDIED, STUDIED].to_numpy()
        expected = spearmanr(values[off], rates[off]).statistic
        assert document["law"][name]["spearman"] == pytest.approx(expected)
    theirs = Sample(other.top1, other.sources, HOW)
    other_rates = relative_rates(theirs.means[np.ix_(theirs.positions(STUDIED), [0, 1, 2])])
    agreement = document["autoencoders"]
    assert agreement["pairs"]["spearman"] == pytest.approx(spearmanr(rates[off], other_rates[off]).statistic)
    assert document["mean_rrc"] == pytest.approx(dict(zip(STUDIED, rates.mean(axis=0), strict=True)))
    assert agreement["mean_rrc"] == pytest.approx(dict(zip(STUDIED, other_rates.mean(axis=0), strict=True)))
    assert json.loads(json.dumps(document)) == document
    assert cross_document(predictions, sample, law, None, HOW)["autoencoders"] is None
    of_others = replace(other, columns=["a", "b", "x", "untrained"])
    assert cross_document(predictions, sample, law, of_others, HOW)["autoencoders"] is None


@pytest.mark.parametrize(
    ("table", "reason"),
    [
        ([[0.9]], "there is one classifier"),
        ([[0.9, 0.5], [0.3, 0.0]], "q keeps no decision on its own channel"),
        ([[0.9, 0.0], [0.0, 0.1]], None),
    ],
)
def test_the_reason_why_there_is_no_order_is_said(table: Any, reason: str | None) -> None:
    names = ["p", "q"][: len(table)]
    assert why_no_order(pd.DataFrame(table, names, names)) == reason


def test_without_an_order_the_document_gives_the_reason_alone(passed: Passed, measured: Measured) -> None:
    predictions = predictions_of(passed)
    broken = replace(predictions, top1=predictions.top1 & (np.arange(4) != 1))
    sample = Sample(broken.top1, broken.sources, HOW)
    document = cross_document(broken, sample, law_of(passed, measured), None, HOW)
    assert document["no_order"] == "b keeps no decision on its own channel"
    assert not any(value for name, value in document.items() if name != "no_order")


def test_the_predictions_of_some_images_are_chosen_by_their_index(passed: Passed) -> None:
    predictions = predictions_of(passed)
    some = predictions.index[[7, 2, 20]]
    found = of_images(predictions, some)
    assert found is not None
    assert np.array_equal(found.index, some)
    assert np.array_equal(found.predicted, predictions.predicted[[7, 2, 20]])
    assert np.array_equal(found.labels, predictions.labels[[7, 2, 20]])
    assert of_images(predictions, np.array([int(some[0]), 1000])) is None
