"""Attacks on a finished study: without a budget its own accuracies, a page with them, and nothing made twice."""

import shutil
from pathlib import Path

import numpy as np
import pandas as pd

import run
from study.predictions import read_predictions
from tests.studies import compose

SETTINGS = ("task=robustness", "robustness.images=6", "robustness.steps=1", "robustness.epsilons.linf=[0.02]")


def test_a_study_is_attacked_and_its_report_tells_it(finished: Path, tmp_path: Path) -> None:
    shutil.copytree(finished, tmp_path, dirs_exist_ok=True)
    cfg = compose(tmp_path, *SETTINGS, "robustness.epsilons.l2=[0.5]")
    mean = run.run(cfg)
    folder = tmp_path / "smoke" / "robustness"
    table = pd.read_csv(folder / "accuracy.csv")
    arrays = np.load(folder / "predictions.npz")
    study = read_predictions(tmp_path / "smoke" / "cross_evaluation" / "predictions.npz")
    for column, name in enumerate(study.columns):
        for defence, row in (("plain", "original"), ("pretrained", "pretrained"), ("own", name)):
            expected = study.top1[arrays["index"], study.rows.index(row), column].mean()
            clean = table.query("classifier == @name and defence == @defence and epsilon == 0")["accuracy"]
            assert len(clean) == 2 * (3 if defence == "plain" else 5)
            assert np.allclose(clean, expected)
    assert (arrays["labels"] == study.labels[arrays["index"]]).all()
    assert ((table["lower"] <= table["accuracy"]) & (table["accuracy"] <= table["upper"])).all()
    worst = table.query("defence == 'own' and attack == 'worst' and epsilon > 0")["accuracy"]
    assert np.isclose(worst.mean(), mean)
    before = {path: path.stat().st_mtime_ns for path in folder.iterdir()}
    assert run.run(cfg) == mean
    assert {path: path.stat().st_mtime_ns for path in folder.iterdir()} == before
    run.run(compose(tmp_path, "task=report"))
    page = (tmp_path / "smoke" / "report" / "index.html").read_text(encoding="utf-8")
    assert "Under attack, L∞" in page
    assert "../robustness/accuracy.csv" in page
    assert (tmp_path / "smoke" / "report" / "figures" / "robustness_transfer.pdf").exists()
