"""The file of per-image predictions."""

from dataclasses import fields
from pathlib import Path

import numpy as np

from study.predictions import prediction_arrays, read_predictions
from tests.stats.drawn import drawn_predictions


def test_predictions_are_read_as_they_were_written(tmp_path: Path) -> None:
    predictions = drawn_predictions()
    np.savez(tmp_path / "predictions.npz", allow_pickle=False, **prediction_arrays(predictions))
    again = read_predictions(tmp_path / "predictions.npz")
    for field in fields(predictions):
        one, other = getattr(predictions, field.name), getattr(again, field.name)
        np.testing.assert_array_equal(one, other)
        assert np.asarray(one).dtype == np.asarray(other).dtype


def test_an_older_file_has_no_controls_and_one_label_for_all_classifiers(tmp_path: Path) -> None:
    predictions = drawn_predictions(seeds=1, controls=())
    arrays = prediction_arrays(predictions) | {"labels": predictions.labels[:, 0]}
    older = {name: values for name, values in arrays.items() if name not in ("sources", "controls", "questions")}
    np.savez(tmp_path / "predictions.npz", allow_pickle=False, **older)
    again = read_predictions(tmp_path / "predictions.npz")
    assert (again.sources, again.controls, again.label_sets) == (predictions.rows, [], ["label"] * 3)
    np.testing.assert_array_equal(again.labels, predictions.labels)
