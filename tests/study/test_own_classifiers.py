"""A user's own classifier in a study: its output is judged with its weights, and what it says of itself is used."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from hydra.errors import InstantiationException
from omegaconf import DictConfig

from networks.classifier import Preprocessing
from networks.own_network import trust_packages
from study.classifiers import load_classifier, preprocessing
from study.configuration.classifier_files import read_config
from study.decisions.names import class_names
from tests.images import fake_images
from tests.studies import compose

CODE = '''
import torch
from torch import nn


class Net(nn.Module):
    """Gives probabilities once its weights are loaded, and no numbers before."""

    def __init__(self):
        super().__init__()
        self.head = nn.Linear(3, 4)
        self.scale = nn.Parameter(torch.zeros(1))

    def forward(self, images):
        return (self.head(images.mean(dim=(2, 3))) / self.scale).softmax(dim=1)
'''
PREPROCESSING = {"size": "any", "mean": [0.0, 0.0, 0.0], "std": [1.0, 1.0, 1.0]}


@pytest.fixture(autouse=True)
def _package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    (tmp_path / "her_package").mkdir()
    (tmp_path / "her_package" / "__init__.py").write_text(CODE)
    monkeypatch.chdir(tmp_path)
    trust_packages(["her_package"])
    yield
    trust_packages([])
    sys.modules.pop("her_package", None)


def config_of(**settings: Any) -> DictConfig:
    return read_config("module:her_package.Net", {"weights": "net.safetensors"} | settings)


def weights() -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    return {"head.weight": torch.randn(4, 3), "head.bias": torch.randn(4), "scale": torch.ones(1)}


def test_the_output_is_judged_with_the_weights(tmp_path: Path) -> None:
    safetensors.torch.save_file(weights(), tmp_path / "net.safetensors")
    config = config_of(preprocessing=PREPROCESSING)
    classifier = load_classifier(compose(tmp_path), config, fake_images(class_count=3, size=16, images=4))
    images = torch.rand(5, 3, 16, 16)
    expected = images.mean(dim=(2, 3)) @ weights()["head.weight"].T + weights()["head.bias"]
    torch.testing.assert_close(classifier(images).softmax(dim=1), expected.softmax(dim=1))
    assert classifier(images).min() < 0  # logarithms, not probabilities


def test_a_weights_file_says_how_its_network_sees_images_and_what_its_classes_are_called(tmp_path: Path) -> None:
    said = {"mean": "[0.1, 0.2, 0.3]", "std": "[1, 1, 1]", "size": "24", "interpolation": "bicubic",
            "class_names": '["ant", "bee", "cat", "dog"]', "format": "pt"}  # fmt: skip
    safetensors.torch.save_file(weights(), tmp_path / "net.safetensors", metadata=said)
    config, data = config_of(), fake_images(class_count=3, size=16, images=4)
    assert preprocessing(config) == Preprocessing(24, None, (0.1, 0.2, 0.3), (1, 1, 1), "bicubic")
    assert class_names(config, data, 4) == ["ant", "bee", "cat", "dog"]
    assert class_names(config_of(class_names=["e", "f", "g", "h"]), data, 4) == ["e", "f", "g", "h"]
    assert preprocessing(config_of(preprocessing={"size": 8})).size == 8  # the command comes first
    with pytest.raises(ValueError, match=r"class_names that Net states are 4, and it has 5 classes"):
        class_names(config, data, 5)
    safetensors.torch.save_file(weights(), tmp_path / "net.safetensors", metadata={"class_names": "ant"})
    with pytest.raises(ValueError, match=r"class_names in the metadata of net\.safetensors must be a list of names"):
        class_names(config, data, 4)
    with pytest.raises(InstantiationException, match=r"module:her_package.Net: its size, mean and std are not known"):
        preprocessing(config)
