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
