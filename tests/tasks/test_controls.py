"""Controls: rows and columns of the matrix that have no part in the order."""

import json
import shutil
from pathlib import Path

import pandas as pd
import pytest
import torch
from torch import nn

import run
from networks.classifier import Classifier, calibrate
from networks.segnet import CompactSegNet
from networks.torchvision_classifiers import torchvision_network
from networks.weights import load_weights
from study.predictions import read_predictions
from tests.studies import compose

CONTROLS = ["extra_training", "second_start", "random_weights"]


@pytest.fixture(scope="module")
def controlled(finished: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    studies = tmp_path_factory.mktemp("controlled")
    shutil.copytree(finished, studies, dirs_exist_ok=True)
    run.run(compose(studies, f"controls=[{','.join(CONTROLS)}]"))
    return studies / "smoke"


def test_controls_are_rows_and_columns_outside_the_order(controlled: Path, finished: Path) -> None:
    table, before = (
        pd.read_csv(study / "cross_evaluation" / "accuracy.csv", index_col=0)
        for study in (controlled, finished / "smoke")
    )
    baselines = ["original", "pretrained", "second_start", "extra_training", "random_weights"]
    assert list(table.index) == [*baselines, "vgg_compact", "resnet_compact"]
    assert list(table.columns) == ["vgg_compact", "resnet_compact", "random_weights"]
    pd.testing.assert_frame_equal(table.loc[before.index, before.columns], before)  # what was there is as it was
    orders = [json.loads((study / "order" / "order.json").read_text()) for study in (controlled, finished / "smoke")]
    assert orders[0] == orders[1]
    predictions = read_predictions(controlled / "cross_evaluation" / "predictions.npz")
    assert set(predictions.controls) == set(CONTROLS)
    assert predictions.classifiers == ["vgg_compact", "resnet_compact"]
    assert predictions.baselines == baselines
    assert predictions.rows_of("resnet_compact") == [6]


def test_controls_differ_from_a_s_in_what_they_should(controlled: Path) -> None:
    weights = {}
    for name in ("pretrained", "extra_training", "second_start"):
        network = CompactSegNet()
        load_weights(network, controlled / "autoencoders" / f"{name}.safetensors")
        weights[name] = network.state_dict()
    same = {
        name: [key for key, value in weights["pretrained"].items() if torch.equal(value, found[key])]
        for name, found in weights.items()
    }
    encoder = [key for key in weights["pretrained"] if key.startswith("encoder.")]
    assert set(encoder) <= set(same["extra_training"])  # as in every A_i, the decoder alone was trained
    assert "decoder.conv_final.weight" not in same["extra_training"]
    assert "encoder.conv11.weight" not in same["second_start"]
    records = {name: json.loads((controlled / "autoencoders" / f"{name}.json").read_text()) for name in weights}
    assert records["extra_training"]["settings"]["finetune"]["epochs"] == 3
    assert [records[name]["settings"]["seed"] for name in ("pretrained", "second_start")] == [0, 1]


def test_untrained_deep_networks_are_calibrated_on_images() -> None:
    torch.manual_seed(0)
    network = torchvision_network("resnet50", 10)
    classifier, images = Classifier(network).eval(), torch.rand(8, 3, 64, 64)
    plain = classifier(images).abs().max()
    calibrate(classifier, images)
    assert not any(module.training for module in classifier.modules())
    seen: list[torch.Tensor] = []
    norm = network.get_submodule("layer4.2.bn3")
    norm.register_forward_hook(lambda *hooked: seen.append(hooked[2].detach().clone()))
    assert classifier(images).abs().max() < plain
    assert float(seen[0].mean(dim=(0, 2, 3)).abs().mean()) < 0.1  # the running variance is the unbiased one
    assert float(seen[0].std()) == pytest.approx(1, abs=0.1)
    assert all(module.momentum == 0.1 for module in network.modules() if isinstance(module, nn.BatchNorm2d))


@pytest.mark.parametrize(
    ("controls", "message"),
    [
        ("[extra_trainig]", r"there is no conf/classifier/extra_trainig.yaml"),
        ("[vgg_compact]", r"controls: vgg_compact is among classifiers, too"),
    ],
)
def test_unknown_controls_are_refused_before_any_work(controls: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=message):
        run.run(compose(tmp_path, f"controls={controls}"))
    assert not list(tmp_path.rglob("*.safetensors"))
