"""The report's part about planted cues."""

from pathlib import Path

import numpy as np
import pandas as pd

from report.parts import cues
from stats.predictions import Predictions
from study.predictions import prediction_arrays
from tests.stats.drawn import drawn_predictions, planted_cues

NAMES = list("abcd")


def test_part_shows_readers_and_probes(tmp_path: Path) -> None:
    write(planted_cues(), tmp_path)
    part = cues.read(tmp_path, {"a": "colour A"})
    assert part is not None
    assert list(part.figures) == ["cue_rrc"]
    (tmp_path / "probe").mkdir()
    rows = [(source, name, 0.5) for source in ("original", "pretrained", *NAMES) for name in NAMES]
    table = pd.DataFrame(rows, columns=["source", "classifier", "accuracy"])
    table.to_csv(tmp_path / "probe" / "accuracy.csv", index=False)
    again = cues.read(tmp_path, {"a": "colour A"})
    assert again is not None
    assert list(again.figures) == ["cue_rrc", "cue_probes"]
    assert "own kept, colour A" in next(iter((again.sections[0].tables or {}).values())).index
    write(drawn_predictions(names=NAMES), tmp_path)
    assert cues.read(tmp_path, {}) is None


def write(predictions: Predictions, root: Path) -> None:
    (root / "cross_evaluation").mkdir(exist_ok=True)
    np.savez(root / "cross_evaluation" / "predictions.npz", allow_pickle=False, **prediction_arrays(predictions))
