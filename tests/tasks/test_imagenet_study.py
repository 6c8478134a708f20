"""The study at full scale, in small: real architectures at their real sizes on a tree of ImageNet's shape."""

import re
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import run
from tests.datamodules.trees import make_tree
from tests.studies import compose_any

NAMES = ("alexnet", "vgg16", "resnet50", "inception_v3")


@pytest.mark.slow
@pytest.mark.usefixtures("_class_0_favoured")
def test_from_prepare_to_the_page(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = make_tree(tmp_path / "imagenet", train=1, val=2, width=340, height=300)
    settings = ",".join(f"{name}:{{weights:random}}" for name in NAMES)
    overrides = (
        "experiment=paper", "trainer=cpu", f"data.root={root}", "data.expect=null", "data.workers=0",
        f"classifiers=[{','.join(NAMES)}]", f"classifier_settings={{{settings}}}",
    )  # fmt: skip
    shrunk = {
        "pretrain": ("pretrain.images=2", "pretrain.batch_size=1", "pretrain.check_every=1"),
        "finetune": ("finetune.batch_size=3",),
        "cross_evaluate": ("cross_evaluate.batch_size=2",),
        "native_accuracy": ("native_accuracy.batch_size=2",),
        "report": ("report.test_images=2", "report.photographs=1"),
    }

    def task(name: str, *more: str) -> None:
        run.run(compose_any(tmp_path / "studies", *overrides, f"task={name}", *more, *shrunk.get(name, ())))

    task("prepare")
    task("prepare")
    assert "6 of 6 images were there already" in capsys.readouterr().out
    task("pretrain")
    for name in NAMES:
        task("finetune", f"classifier={name}")
    task("cross_evaluate")
    task("native_accuracy")
    task("order")
    task("report")
    study = tmp_path / "studies" / "paper"

    matrix = pd.read_csv(study / "cross_evaluation" / "accuracy.csv", index_col=0)
    assert list(matrix.columns) == list(NAMES)
    assert list(matrix.index) == ["original", "pretrained", *NAMES]
    with np.load(study / "cross_evaluation" / "predictions.npz") as predictions:
        assert predictions["predicted"].shape == (6, 6, 4)
        prepared = {name: predictions[name] for name in predictions.files}
    page = re.sub(r"\s+", " ", (study / "report" / "index.html").read_text(encoding="utf-8"))
    assert "256 × 256, resized to 342 × 342, central 299 × 299" in page
    assert "224 × 224 pixels" in page
    native = pd.read_csv(study / "cross_evaluation" / "native_accuracy.csv", index_col=0)
    assert native.loc["inception_v3", "top1"] == pytest.approx(1 / 3)
    assert native["published_top1"].isna().all()  # of random weights

    shutil.rmtree(tmp_path / "studies" / "cache" / "prepared")
    shutil.rmtree(study / "cross_evaluation")
    task("cross_evaluate")
    with np.load(study / "cross_evaluation" / "predictions.npz") as predictions:
        assert all(np.array_equal(predictions[name], prepared[name]) for name in predictions.files)
