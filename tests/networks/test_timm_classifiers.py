"""Classifiers of timm: logits equal its own evaluation's, and errors say what to do."""

from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from networks.classifier import Classifier
from networks.timm_classifiers import timm_network, timm_preprocessing, timm_weights

timm = pytest.importorskip("timm")


@pytest.mark.parametrize("name", ["resnet18.a1_in1k", "vit_tiny_patch16_224.augreg_in21k_ft_in1k"])
def test_logits_are_those_of_timms_evaluation(name: str) -> None:
    torch.manual_seed(0)
    network, preprocessing = timm_network(name, 1000), timm_preprocessing(name, "native")
    config: dict[str, Any] = timm.data.resolve_model_data_config(network)
    side = preprocessing.resize
    assert side is not None
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (side, side, 3), dtype=np.uint8))
    pixels = torch.from_numpy(np.array(image)).permute(2, 0, 1)[None].float() / 255
    with torch.no_grad():
        expected = network.eval()(timm.data.create_transform(**config)(image)[None])
        assert torch.allclose(Classifier(network, preprocessing)(pixels), expected, atol=1e-5, rtol=1e-5)


def test_what_timm_has_not_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub.errors import LocalEntryNotFoundError

    def offline(*_: object, **__: object) -> None:
        raise LocalEntryNotFoundError("offline")

    with pytest.raises(ValueError, match=r"timm has no classifier 'resnet18x'"):
        timm_network("resnet18x", 1000)
    with pytest.raises(ValueError, match=r"timm has no weights 'IMAGENET1K_V1': set classifier.weights to pretrained"):
        timm_weights("resnet18", "IMAGENET1K_V1")
    monkeypatch.setattr("huggingface_hub.hf_hub_download", offline)
    with pytest.raises(FileNotFoundError, match=r"timm/resnet18.a1_in1k/resolve/main/model.safetensors elsewhere"):
        timm_weights("resnet18.a1_in1k", "pretrained")
