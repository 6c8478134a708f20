"""The part of the page about planted cues."""

from pathlib import Path

import pandas as pd

from report.parts import cues
from stats.cue_retention import cue_tables
from stats.intervals import Resampling, Sample, rrc_intervals
from stats.predictions import Predictions
from tests.report.rendered import rendered
from tests.stats.drawn import drawn_predictions, planted_cues

NAMES = list("abcd")


def test_part_shows_classifiers_and_probes(tmp_path: Path) -> None:
    write(planted_cues(), tmp_path)
    part = cues.read(tmp_path, {"a": "colour A"})
    assert part is not None
    assert list(part.figures) == ["cue_rrc"]
    assert "Cue retention, with 90 % intervals over images" in rendered(part)
    (tmp_path / "probe").mkdir()
    rows = [(source, name, 0.5) for source in ("original", "pretrained", *NAMES) for name in NAMES]
    table = pd.DataFrame(rows, columns=["source", "classifier", "accuracy"])
    table.to_csv(tmp_path / "probe" / "accuracy.csv", index=False)
    again = cues.read(tmp_path, {"a": "colour A"})
    assert again is not None
    assert list(again.figures) == ["cue_rrc", "cue_probes"]
    assert "own kept, colour A" in rendered(again)
    write(drawn_predictions(names=NAMES), tmp_path)
    assert cues.read(tmp_path, {}) is None


def test_the_mean_of_the_pairs_is_the_retention() -> None:
    predictions = planted_cues()
    retention, pairs = cue_tables(predictions, Sample(predictions.top1, predictions.sources, Resampling(50, 0.9, 0)))
    estimates = retention.set_index("number")["estimate"]
    means = pairs.groupby("cue")["rrc"].mean()
    assert abs(means["same cue"] - estimates["same cue"]) < 1e-12
    assert abs(means["other cue"] - estimates["other cue"]) < 1e-12
    assert len(pairs) == 2 + 4


def write(predictions: Predictions, root: Path) -> None:
    (root / "intervals").mkdir(exist_ok=True)
    sample = Sample(predictions.top1, predictions.sources, Resampling(50, 0.9, 0))
    retention, pairs = cue_tables(predictions, sample)
    retention.to_csv(root / "intervals" / "cues.csv", index=False)
    pairs.to_csv(root / "intervals" / "cue_pairs.csv", index=False)
    rrc_intervals(predictions, sample).to_csv(root / "intervals" / "rrc.csv", index=False)
    (root / "intervals" / "order.json").write_text('{"level": 0.9}')
