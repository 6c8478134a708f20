"""Published classifiers: the wrapper's logits are those of torchvision's own evaluation, however the weights arrive."""

import functools
import urllib.error
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from PIL import Image
from torch import nn
from torchvision import models

from networks.classifier import Classifier, freeze
from networks.torchvision_classifiers import (
    torchvision_accuracy,
    torchvision_network,
    torchvision_preprocessing,
    torchvision_weights,
)
from networks.weights import load_weights

CLASSIFIERS = [
    ("alexnet", "IMAGENET1K_V1"),
    ("vgg16", "IMAGENET1K_V1"),
    ("vgg16_bn", "IMAGENET1K_V1"),
    ("resnet50", "IMAGENET1K_V1"),
    ("resnet50", "IMAGENET1K_V2"),
    ("inception_v3", "IMAGENET1K_V1"),
    ("squeezenet1_1", "IMAGENET1K_V1"),
]


@functools.lru_cache(maxsize=1)  # they are large
def reference(architecture: str) -> nn.Module:
    """Torchvision's own model with random weights, built as it builds it for published ones."""
    torch.manual_seed(0)
    options: dict[str, Any] = {}
    if architecture == "inception_v3":
        options = {"transform_input": True, "aux_logits": True, "init_weights": False}
    if architecture == "googlenet":
        options = {"transform_input": True, "aux_logits": True, "init_weights": False}
    return models.get_model(architecture, weights=None, **options).eval()


def wrapped(architecture: str, weights: str, tmp_path: Path, view: Any = "native") -> Classifier:
    """The project's classifier with the reference's weights, through a file."""
    path = tmp_path / f"{architecture}.safetensors"
    safetensors.torch.save_file({k: v.contiguous() for k, v in reference(architecture).state_dict().items()}, path)
    classifier = Classifier(
        torchvision_network(architecture, 1000), torchvision_preprocessing(architecture, weights, view)
    )
    load_weights(classifier, path)
    freeze(classifier)
    return classifier


def picture(width: int, height: int) -> Image.Image:
    pixels = np.random.default_rng(0).integers(0, 256, (height // 8, width // 8, 3), dtype=np.uint8)
    return Image.fromarray(pixels).resize((width, height), Image.Resampling.BICUBIC)


def as_tensor(image: Image.Image) -> torch.Tensor:
    return torch.from_numpy(np.array(image)).permute(2, 0, 1)[None].float() / 255


@pytest.mark.parametrize(("architecture", "weights"), CLASSIFIERS)
def test_logits_are_those_of_the_published_evaluation(architecture: str, weights: str, tmp_path: Path) -> None:
    model, preset = reference(architecture), models.get_model_weights(architecture)[weights].transforms
    native = wrapped(architecture, weights, tmp_path)
    [resize], [size] = preset().resize_size, preset().crop_size
    with torch.no_grad():
        image = picture(resize, resize)  # what published evaluation has after its resizing
        expected = model(preset()(image)[None])
        assert torch.allclose(native(as_tensor(image)), expected, atol=1e-5, rtol=1e-5)

        image = picture(size, size)  # already the network's own size
        whole = wrapped(architecture, weights, tmp_path, "whole")
        expected = model(preset(resize_size=size)(image)[None])
        assert torch.allclose(whole(as_tensor(image)), expected, atol=1e-5, rtol=1e-5)

        floats = torch.rand(1, 3, 300, 270)  # any size: torchvision's own transform of floats
        assert torch.allclose(native(floats), model(preset()(floats)), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("suffix", ["safetensors", "pth"])
@pytest.mark.parametrize("architecture", ["inception_v3", "googlenet"])
def test_transform_input_and_auxiliary_heads_are_right_however_weights_arrive(
    architecture: str, suffix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, image = reference(architecture), torch.rand(1, 3, 299, 299)
    state = model.state_dict()
    assert any(key.startswith(("AuxLogits", "aux1")) for key in state)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    published = (
        tmp_path / "hub" / "checkpoints" / models.get_model_weights(architecture)["IMAGENET1K_V1"].url.split("/")[-1]
    )
    published.parent.mkdir(parents=True)
    torch.save(state, published)
    mine = tmp_path / f"mine.{suffix}"
    safetensors.torch.save_file(state, mine) if suffix == "safetensors" else torch.save(state, mine)
    preprocessing = torchvision_preprocessing(architecture, "IMAGENET1K_V1", "whole")
    with torch.no_grad():
        expected = model(preprocessing_by_hand(image, preprocessing.size))
        for path in (torchvision_weights(architecture, "IMAGENET1K_V1"), mine):
            classifier = Classifier(torchvision_network(architecture, 1000), preprocessing)
            load_weights(classifier, path)
            freeze(classifier)
            assert torch.allclose(classifier(image), expected, atol=1e-5, rtol=1e-5)


def preprocessing_by_hand(image: torch.Tensor, size: int | None) -> torch.Tensor:
    assert size is not None
    if size != image.shape[-1]:
        image = nn.functional.interpolate(image, size=(size, size), mode="bilinear", antialias=True)
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    return (image - mean[:, None, None]) / std[:, None, None]


def test_weights_in_torch_home_need_no_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise urllib.error.URLError("no network in tests")

    monkeypatch.setattr("urllib.request.urlopen", refuse)
    monkeypatch.setattr("torch.hub.urlopen", refuse)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    with pytest.raises(FileNotFoundError, match=r"hub/checkpoints/alexnet-owt-7be5be79.pth and cannot be downloaded"):
        torchvision_weights("alexnet", "IMAGENET1K_V1")
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]
    path = tmp_path / "hub" / "checkpoints" / "alexnet-owt-7be5be79.pth"
    path.write_bytes(b"here")
    assert torchvision_weights("alexnet", "IMAGENET1K_V1") == path


def test_unknown_names_are_answered(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"torchvision has no classifier 'resnet5'; did you mean resnet50"):
        torchvision_network("resnet5", 1000)
    with pytest.raises(
        ValueError, match=r"no weights 'IMAGENET1K_V3' of resnet50; choose from IMAGENET1K_V1, IMAGENET1K_V2"
    ):
        torchvision_weights("resnet50", "IMAGENET1K_V3")
    with pytest.raises(ValueError, match=r"view='half' is unknown; choose native or whole"):
        torchvision_preprocessing("resnet50", None, "half")  # type: ignore[arg-type]


def test_densenets_of_the_first_years_still_load(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = models.densenet121(weights=None).eval()
    state = model.state_dict()
    old = {key.replace("norm1", "norm.1").replace("conv2", "conv.2"): value for key, value in state.items()}
    old = {key: value for key, value in old.items() if not key.endswith("num_batches_tracked")}
    assert old.keys() != state.keys()
    torch.save(old, tmp_path / "densenet.pth")
    classifier = Classifier(torchvision_network("densenet121", 1000))
    load_weights(classifier, tmp_path / "densenet.pth")
    assert all(torch.equal(value, state[key]) for key, value in classifier.network.state_dict().items())


def test_the_published_accuracies_are_torchvisions() -> None:
    assert torchvision_accuracy("alexnet", "IMAGENET1K_V1") == pytest.approx((0.56522, 0.79066))
    assert torchvision_accuracy("vgg16_bn", "IMAGENET1K_V1") == pytest.approx((0.7336, 0.91516))
    assert torchvision_accuracy("resnet50", "IMAGENET1K_V1") == pytest.approx((0.7613, 0.92862))
    assert torchvision_accuracy("inception_v3", "IMAGENET1K_V1") == pytest.approx((0.77294, 0.9345))
    assert torchvision_accuracy("alexnet", "/data/mine.pth") is None


@pytest.mark.parametrize(
    ("architecture", "weights", "view", "side", "seen", "words"),
    [
        ("alexnet", "IMAGENET1K_V1", "native", 256, 224, "256 × 256, central 224 × 224"),
        ("alexnet", "IMAGENET1K_V1", "whole", 256, 256, "256 × 256, resized to 224 × 224"),
        ("resnet50", "IMAGENET1K_V2", "native", 256, 256 * 224 / 232, "256 × 256, resized to 232 × 232, central 224"),
        (
            "inception_v3",
            "IMAGENET1K_V1",
            "native",
            256,
            256 * 299 / 342,
            "256 × 256, resized to 342 × 342, central 299",
        ),
    ],
)
def test_the_field_of_view_is_what_gets_a_gradient(
    architecture: str, weights: str, view: Any, side: int, seen: float, words: str
) -> None:
    preprocessing = torchvision_preprocessing(architecture, weights, view)
    assert preprocessing.field_of_view(side) == pytest.approx(seen)
    assert preprocessing.describe(side).startswith(words)
    image = torch.zeros(1, 3, side, side, requires_grad=True)
    preprocessing.crop(image).sum().backward()
    assert image.grad is not None
    reached = (image.grad[0, 0].abs().sum(0) > 0).sum()
    assert abs(int(reached) - seen) <= 2
