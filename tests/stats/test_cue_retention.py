"""Cue retention: separation is what a loop over pairs gives, and known worlds give known numbers."""

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from stats.cue_retention import pairs_by_labels, probe_retention, separation
from stats.intervals import Resampling, Sample
from stats.predictions import Predictions
from tests.stats.drawn import LABEL_SETS, drawn_predictions, planted_cues

NAMES = list("abcd")


def separated(predictions: Predictions) -> pd.DataFrame:
    return separation(predictions, Sample(predictions.top1, predictions.sources, Resampling(200, 0.95, seed=0)))


def test_a_cue_and_a_combination_that_holds_it_are_neither_alike_nor_apart() -> None:
    same, apart = pairs_by_labels(LABEL_SETS)
    assert {(int(i), int(j)) for i, j in np.argwhere(same)} == {(0, 1), (1, 0)}
    assert {(int(i), int(j)) for i, j in np.argwhere(apart)} == {(0, 2), (2, 0), (1, 2), (2, 1)}


def test_numbers_equal_a_loop_over_pairs() -> None:
    predictions = planted_cues()
    table = separated(predictions)["estimate"]
    accuracy = {
        (source, name): np.mean(
            [predictions.top1[:, row, predictions.columns.index(name)] for row in predictions.rows_of(source)]
        )
        for source in ("original", *NAMES)
        for name in NAMES
    }
    rates: dict[str, list[Any]] = {"same": [], "other": [], "floor": []}
    for i, one in enumerate(NAMES):
        for j, other in enumerate(NAMES):
            own = float(min(accuracy[one, one], accuracy[other, other]))
            if i != j and LABEL_SETS[i] == LABEL_SETS[j]:
                rates["same"].append(accuracy[one, other] / own)
            elif not set(LABEL_SETS[i].split(" × ")) & set(LABEL_SETS[j].split(" × ")):
                rates["other"].append(accuracy[one, other] / own)
                rates["floor"].append(0.25 / own)
    assert table["same cue"] == pytest.approx(np.mean(rates["same"]))
    assert table["other cue"] == pytest.approx(np.mean(rates["other"]))
    assert table["guessing"] == pytest.approx(np.mean(rates["floor"]))
    assert table["separation"] == pytest.approx(np.mean(rates["same"]) - np.mean(rates["other"]))
    assert table["own kept, c"] == pytest.approx(accuracy["c", "c"] / accuracy["original", "c"])


def test_a_world_that_separates_scores_what_it_should() -> None:
    predictions = planted_cues(seeds=1)
    top1 = np.ones_like(predictions.top1)
    guessed = np.arange(120) % 4 == 0
    for source, name in (("a", "c"), ("b", "c"), ("c", "a"), ("c", "b")):
        top1[:, predictions.rows_of(source)[0], predictions.columns.index(name)] = guessed
    table = separated(replace(predictions, top1=top1))
    assert table["estimate"]["same cue"] == 1
    assert table["estimate"]["other cue"] == table["estimate"]["guessing"] == 0.25
    assert table["lower"]["other cue"] < 0.25 < table["upper"]["other cue"]
    assert table["lower"]["separation"] < 0.75 < table["upper"]["separation"]


def test_without_pairs_to_compare_there_is_an_error() -> None:
    predictions = drawn_predictions(names=NAMES)
    with pytest.raises(ValueError, match=r"two classifiers with the same labels and two with different ones"):
        separated(predictions)


def test_readers_are_averaged_over_pairs_with_the_same_and_with_other_labels() -> None:
    label_sets = {"a": "colour", "b": "colour", "c": "shape"}
    accuracy = {
        "original": [1.0, 0.8, 0.5], "a": [1.0, 0.8, 0.1], "b": [0.5, 0.4, 0.2], "c": [0.3, 0.4, 0.5],
    }  # fmt: skip
    rows = [(s, n, label_sets[n], v) for s, values in accuracy.items() for n, v in zip("abc", values, strict=True)]
    table = pd.DataFrame(rows, columns=["source", "classifier", "labels", "accuracy"])
    read = probe_retention(table)
    assert read["readers, same cue"] == pytest.approx((1 + 1 + 0.5 + 0.5 + 1) / 5)
    assert read["readers, other cue"] == pytest.approx((0.2 + 0.4 + 0.3 + 0.5) / 4)
    assert read["readers, originals"] == 0.5
