"""``task=intervals`` and its part of the report, on predictions that were drawn."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import run
from report.figures.style import save_figure
from report.page import Part
from report.parts.intervals import read
from tests.report.rendered import anchors, rendered
from tests.studies import compose_any

TITLES = {"vgg": "VGG", "resnet": "ResNet <50>", "alexnet": "AlexNet", "lenet": "LeNet"}


def write_predictions(studies: Path, seeds: int = 2, seed: int = 0) -> None:
    """A study's predictions of 60 images, with a control autoencoder."""
    generator = np.random.default_rng(seed)
    sources = ["original", "pretrained", "extra_training", *(name for name in TITLES for _ in range(seeds))]
    own = [f"{name}-seed{k}" if k else name for name in TITLES for k in range(seeds)]
    top1 = generator.random((60, len(sources), 4)) < generator.uniform(0.4, 0.9, (len(sources), 4))
    path = studies / "drawn" / "cross_evaluation" / "predictions.npz"
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(
        path, rows=np.array(["original", "pretrained", "extra_training", *own]), sources=np.array(sources),
        columns=np.array(list(TITLES)), controls=np.array(["extra_training"]), index=np.arange(60),
        labels=np.zeros(60, dtype=int), predicted=np.zeros(top1.shape, dtype=int), top1=top1, top5=top1,
        nmi_intra=generator.random((60, len(sources))), nmi_inter=generator.random((30, len(sources))),
    )  # fmt: skip


def call(studies: Path, *overrides: str) -> float:
    trusted = "inputs.trusted=true"  # the predictions are drawn, so they have no record
    return run.run(compose_any(studies, "task=intervals", "study=drawn", "intervals.resamples=60", trusted, *overrides))


def made(studies: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (studies / "drawn" / "intervals").iterdir()}


def test_task_writes_tables_once_and_anew_for_other_predictions(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(FileNotFoundError, match="task=cross_evaluate"):
        call(tmp_path)
    write_predictions(tmp_path)
    share = call(tmp_path)
    first = made(tmp_path)
    order = json.loads(first["order.json"])
    assert share == (order["widest"]["chain_share"] if order["widest"] else 0)
    table = pd.read_csv(tmp_path / "drawn" / "intervals" / "differences.csv")
    assert set(table["minus"]) == {"original", "pretrained", "extra_training"}
    capsys.readouterr()
    assert call(tmp_path) == share
    assert "there already" in capsys.readouterr().out
    assert made(tmp_path) == first
    write_predictions(tmp_path, seed=1)
    part = read(tmp_path / "drawn", TITLES)
    assert part is not None
    assert "of an earlier cross evaluation" in rendered(part)
    call(tmp_path)
    assert made(tmp_path)["accuracy.csv"] != first["accuracy.csv"]
    part = read(tmp_path / "drawn", TITLES)
    assert part is not None
    assert "of an earlier cross evaluation" not in rendered(part)


def test_covariates_come_from_a_file(tmp_path: Path) -> None:
    write_predictions(tmp_path)
    path = tmp_path / "known.csv"
    with pytest.raises(FileNotFoundError, match=r"known\.csv does not exist"):
        call(tmp_path, f"intervals.covariates={path}")
    path.write_text("classifier,parameters\nlenet,1\nvgg,4\nresnet,2\nalexnet,many\n")
    with pytest.raises(ValueError, match="parameters holds other things than numbers"):
        call(tmp_path, f"intervals.covariates={path}")
    path.write_text("classifier,parameters\nlenet,1\nvgg,4\nresnet,2\nalexnet,3\n")
    call(tmp_path, f"intervals.covariates={path}")
    order = json.loads(made(tmp_path)["order.json"])
    assert {row["covariate"] for row in order["correlations"]} == {"accuracy on originals", "parameters"}


@pytest.mark.parametrize("seeds", [1, 2])
def test_part_shows_what_was_measured(seeds: int, tmp_path: Path) -> None:
    write_predictions(tmp_path, seeds)
    root = tmp_path / "drawn"
    assert read(root, TITLES) is None
    call(tmp_path)
    part = read(root, TITLES)
    assert isinstance(part, Part)
    widest = json.loads((root / "intervals" / "order.json").read_text())["widest"]
    page = rendered(part)
    if widest is None:
        assert "resamples of the test images give exactly the order" not in page
    else:
        share = f"{100 * widest['same_order_share']:.1f} % of the resamples of the test images give exactly the order"
        assert share in page
    assert len(part.figures) == (2 if seeds == 1 else 3)
    assert anchors(page) == set(part.figures)
    accuracy = part.values["number_tables"]["Accuracy, with 95 % intervals"]
    assert list(accuracy.columns) == ["originals", "A_S", "own A_i", "extra training"]
    written: Any = pd.read_csv(root / "intervals" / "accuracy.csv").set_index(["autoencoder", "classifier"])
    found = pd.read_csv(root / "intervals" / "differences.csv").groupby("minus")["estimate"].mean()
    text = f"the other {100 * float(found['extra_training']):.1f} come from the loss of the classifiers"
    assert text.replace("-", "−") in page
    row = written.loc[("vgg", "vgg")]
    assert accuracy.loc["VGG", "own A_i"] == f"{row['estimate']:.3f} [{row['lower']:.3f}, {row['upper']:.3f}]"
    assert "<50>" not in page  # names are not HTML
    for name, figure in part.figures.items():
        save_figure(figure, tmp_path / f"{name}.png", tmp_path / f"{name}.pdf")
