"""The file of per-image predictions."""

from dataclasses import fields
from pathlib import Path

import numpy as np

from study.predictions import read_predictions, write_predictions
from tests.stats.drawn import drawn_predictions


def test_predictions_are_read_as_they_were_written(tmp_path: Path) -> None:
    predictions = drawn_predictions()
    write_predictions(tmp_path / "predictions.npz.partial", predictions)  # as an artifact that is not complete yet
    again = read_predictions(tmp_path / "predictions.npz.partial")
    for field in fields(predictions):
        one, other = getattr(predictions, field.name), getattr(again, field.name)
        np.testing.assert_array_equal(one, other)
        assert np.asarray(one).dtype == np.asarray(other).dtype


def test_a_file_without_label_sets_has_one_label_for_all_classifiers(tmp_path: Path) -> None:
    predictions = drawn_predictions(seeds=1, controls=())
    write_predictions(tmp_path / "predictions.npz", predictions)
    with np.load(tmp_path / "predictions.npz") as file:
        arrays = {name: file[name] for name in file.files if name not in ("sources", "controls", "questions")}
    older = arrays | {"labels": predictions.labels[:, 0]}
    np.savez(tmp_path / "older.npz", allow_pickle=False, **older)
    again = read_predictions(tmp_path / "older.npz")
    assert (again.sources, again.controls, again.label_sets) == (predictions.rows, [], ["label"] * 3)
    np.testing.assert_array_equal(again.labels, predictions.labels)
