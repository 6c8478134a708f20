"""``task=probe``: readers of each classifier's own architecture, fresh or trained on from those of the originals."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file

import run
from networks.compact_classifiers import CompactResNet, CompactVGG
from study.data import make_data
from tests.studies import compose_any

STUDY = (
    "experiment=planted_cues", "data.size=16", "data.images=32", "data.held_out=16", "objective=published",
    "classifiers=[colour_a,colour_b,shape_a]", "controls=[]", "measurements=[]", "train_classifier.epochs=1",
    "pretrain.epochs=1", "finetune.epochs=1", "probe.epochs=2", "probe.adapted_epochs=1", "probe.noise=0",
    "probe.reader=null",
)  # fmt: skip


@pytest.mark.usefixtures("_class_0_favoured")
def test_readers_have_the_classifiers_architectures_and_start_from_those_of_the_originals(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cfg = compose_any(tmp_path, *STUDY)
    run.run(cfg)
    objective = run.run(compose_any(tmp_path, *STUDY, "task=probe"))
    place = tmp_path / cfg.study / "probe"
    table = pd.read_csv(place / "accuracy.csv")
    matrix = table.pivot_table("accuracy", "source", "classifier", sort=False)
    assert list(matrix.index) == ["original", "pretrained", "colour_a", "colour_b", "shape_a"]
    assert objective == pytest.approx(matrix.loc[["colour_a", "colour_b", "shape_a"]].to_numpy().mean())
    weights = load_file(place / "original.safetensors")
    split: Any = make_data(compose_any(tmp_path, *STUDY)).split("test")
    images = torch.stack([split[index][0] for index in range(16)]).float() / 255
    mean, std = torch.tensor([[0.485, 0.456, 0.406], [0.229, 0.224, 0.225]])[..., None, None]
    expected = {}
    for number, network in enumerate((CompactVGG(8), CompactResNet(8))):  # two questions, four classes
        start = f"networks.reader{number}.network."
        network.load_state_dict({key[len(start) :]: value for key, value in weights.items() if key.startswith(start)})
        with torch.no_grad():
            expected[number] = network.eval()((images - mean) / std).reshape(16, 2, 4).argmax(dim=2)
    for classifier, number, cue in (("colour_a", 0, 0), ("colour_b", 1, 0), ("shape_a", 0, 1)):
        right = (expected[number][:, cue] == split.values[:, cue]).float().mean()
        assert matrix.loc["original", classifier] == pytest.approx(float(right))
    before = np.load(place / "colour_a.npz")["right"]
    assert before.shape == (16, 4)
    run.run(compose_any(tmp_path, *STUDY, "task=probe"))
    assert "there already" in capsys.readouterr().out
    shutil.rmtree(place)
    run.run(compose_any(tmp_path, *STUDY, "task=probe", "probe.adapted_epochs=null",
                        "probe.reader={_target_:networks.compact_classifiers.CompactResNet}"))  # fmt: skip
    single = pd.read_csv(place / "accuracy.csv").pivot_table("accuracy", "source", "classifier", sort=False)
    assert (single["colour_a"] == single["colour_b"]).all()  # the same reader, the same question
    assert np.load(place / "colour_a.npz")["right"].shape == (16, 2)
