"""Both tasks on the smoke study: files with provenance, skipped the second time, on the report's page."""

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import run
from networks.classifier import Classifier, Preprocessing
from networks.compact_classifiers import CompactResNet
from networks.segnet import CompactSegNet
from tasks.signal_statistics import TABLES, network_periods
from tests.studies import Compose, compose


@pytest.mark.slow
def test_signal_statistics_and_noise_curves_of_a_study(
    finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(finished / "smoke", tmp_path / "smoke")
    objective = run.run(compose(tmp_path, "task=signal_statistics"))
    folder = tmp_path / "smoke" / "signal_statistics"
    tables = {name: pd.read_csv(folder / f"{name}.csv") for name in TABLES}
    assert json.loads((folder / "signal_statistics.json").read_text())["objective"] == objective > 0
    sources = ["original", "pretrained", "vgg_compact", "resnet_compact"]
    assert list(tables["spectra"]["source"].unique()) == sources
    shares = tables["lab_histograms"].groupby(["source", "channel"])["share"].sum()
    assert shares.to_numpy() == pytest.approx(np.ones(12))
    boards = tables["checkerboard"].query("network == 'autoencoder' and source == 'original'")
    assert boards["period"].tolist() == [2, 4, 8]
    assert boards["score"].isna().tolist() == [False, False, True]  # 32 pixels hold 4 periods of 8
    cross = pd.read_csv(tmp_path / "smoke" / "cross_evaluation" / "accuracy.csv", index_col=0)
    classes = tables["classes"].query("classifier == 'vgg_compact'")
    assert np.average(classes["own"], weights=classes["images"]) == pytest.approx(
        cross.at["vgg_compact", "vgg_compact"]
    )
    run.run(compose(tmp_path, "task=noise_curves", "noise_curves.epsilons=[0,1]"))
    noise = pd.read_csv(tmp_path / "smoke" / "noise" / "accuracy.csv")
    silent = noise[noise["epsilon"] == 0]
    assert len(silent) == 6
    for source, classifier, accuracy in zip(silent["source"], silent["classifier"], silent["accuracy"], strict=True):
        assert accuracy == cross.at[source, classifier]
    capsys.readouterr()
    assert run.run(compose(tmp_path, "task=signal_statistics")) == objective
    run.run(compose(tmp_path, "task=noise_curves", "noise_curves.epsilons=[0,1]"))
    assert capsys.readouterr().out.count("there already:") == 2
    run.run(compose(tmp_path, "task=report"))
    page = (tmp_path / "smoke" / "report" / "index.html").read_text()
    for title in ("Colours", "Checkerboards", "Noise", "Agreement of the classifiers"):
        assert title in page


def test_a_missing_study_names_the_command(composed: Compose) -> None:
    with pytest.raises(FileNotFoundError, match="task=pretrain"):
        run.run(composed("task=signal_statistics"))


def test_periods_are_in_pixels_of_the_study() -> None:
    networks = {
        "as_it_is": Classifier(CompactResNet(3)).eval(),
        "resized": Classifier(CompactResNet(3), Preprocessing(size=64, resize=96)).eval(),
        "squeezed": Classifier(CompactResNet(3), Preprocessing(size=64)).eval(),
    }
    found = network_periods(CompactSegNet(), networks, (48, 48))
    assert found == {
        "autoencoder": {2: 2, 4: 4, 8: 8},
        "as_it_is": {2: 2, 4: 4, 8: 8},
        "resized": {2: 1, 4: 2, 8: 4},
        "squeezed": {2: 1.5, 4: 3, 8: 6},
    }
