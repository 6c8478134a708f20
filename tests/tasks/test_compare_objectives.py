"""Signals side by side: each study's cue retention in one table."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import run
from stats.csv_text import csv_bytes
from stats.cue_retention import cue_tables, separation
from stats.intervals import Resampling, Sample
from study.artifact import Artifact
from study.predictions import prediction_arrays
from tasks.compare_objectives import over_seeds
from tests.stats.drawn import planted_cues
from tests.studies import compose_any


def test_studies_are_rows_and_the_numbers_are_theirs(tmp_path: Path) -> None:
    predictions = planted_cues()
    for name in ("planted_cues_a", "planted_cues_b"):
        path = tmp_path / name / "cross_evaluation" / "predictions.npz"
        artifact = Artifact([path], path.with_name("cross_evaluation.json"), {}, {}, precious=False)
        with artifact.making(0.0) as temporary:
            np.savez(temporary[path], allow_pickle=False, **prediction_arrays(predictions))
    (tmp_path / "planted_cues").mkdir()  # of the classifiers, without predictions
    best = run.run(compose_any(tmp_path, "task=compare_objectives", "study=signals"))
    table = pd.read_csv(tmp_path / "signals" / "objectives" / "separation.csv", index_col=0)
    assert list(table.index) == ["planted_cues_a", "planted_cues_b"]
    expected = separation(predictions, Sample(predictions.top1, predictions.sources, Resampling(1000, 0.95, seed=0)))
    assert best == table.loc["planted_cues_b", "separation"] == pytest.approx(expected["estimate"]["separation"])
    assert table.loc["planted_cues_a", "same cue lower"] == pytest.approx(expected["lower"]["same cue"])


def test_band_tolerance_is_a_row_of_its_own(tmp_path: Path) -> None:
    predictions = planted_cues()
    found, _ = cue_tables(predictions, Sample(predictions.top1, predictions.sources, Resampling(100, 0.9, seed=0)))
    tables = {"planted_cues_a-seed0": found, "planted_cues_a-seed1": found, "planted_cues_b": found.iloc[:0]}
    for name, table in tables.items():
        path = tmp_path / name / "band_tolerance" / "cues.csv"
        artifact = Artifact([path], path.with_name("band_tolerance.json"), {}, {}, precious=False)
        with artifact.making(0.0) as temporary:
            temporary[path].write_bytes(csv_bytes(table))
    best = run.run(compose_any(tmp_path, "task=compare_objectives", "study=signals"))
    table = pd.read_csv(tmp_path / "signals" / "objectives" / "by_objective.csv", index_col=0)
    numbers = found.set_index("number")
    assert list(table.index) == ["band tolerance of planted_cues_a"]  # the other study has no pairs of cues
    [row] = table.to_dict("records")
    assert best == row["separation"] == pytest.approx(numbers["estimate"]["separation"])
    assert row["other cue upper"] == pytest.approx(numbers["upper"]["other cue"])
    assert row["own kept"] == pytest.approx(numbers.filter(like="own kept", axis=0)["estimate"].min())
    assert row["seeds"] == 2


def test_seeds_are_put_together() -> None:
    rows = {"p_a-seed0": [0.4, 0.2, 0.6, 0.9], "p_a-seed1": [0.6, 0.5, 0.7, 1.0], "p_b": [0.1, 0.0, 0.3, 0.8]}
    names = ["separation", "separation lower", "separation upper", "own kept"]
    together = over_seeds(pd.DataFrame(rows, index=names).T)
    assert list(together.index) == ["p_a", "p_b"]
    assert list(together.loc["p_a"]) == pytest.approx([0.5, 0.2, 0.7, 0.9, 2])
    assert list(together.loc["p_b"]) == pytest.approx([0.1, 0.0, 0.3, 0.8, 1])


def test_no_study_by_these_names_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"compare_objectives.studies=\['planted_cues_\*'\]: no study"):
        run.run(compose_any(tmp_path, "task=compare_objectives"))
