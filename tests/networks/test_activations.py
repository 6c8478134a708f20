"""Activations by name against passes written out; and that nothing of the recording stays behind."""

from collections.abc import Callable
from copy import deepcopy

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision import models

from networks.activations import find_layer, list_layers, recorded
from networks.classifier import Classifier
from networks.compact_classifiers import CompactVGG
from networks.layouts import spatial_mean
from networks.segnet import SegNet
from tests.conftest import stir


@pytest.fixture
def vgg() -> CompactVGG:
    torch.manual_seed(0)
    network = CompactVGG(6)
    stir(network)
    return network


class Shared(nn.Module):
    """One ReLU, called twice; what follows can be made to fail."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.third = (nn.Conv2d(3, 3, 1) for _ in range(3))
        self.relu = nn.ReLU(inplace=True)
        self.unused = nn.Conv2d(3, 3, 1)
        self.passes_to_the_end = 0

    def forward(self, x: Tensor) -> Tensor:
        made: Tensor = self.third(self.relu(self.second(self.relu(self.first(x)))))
        self.passes_to_the_end += 1
        return made


def test_activations_are_those_before_anything_works_in_place(vgg: CompactVGG) -> None:
    images = torch.rand(2, 3, 48, 48)
    names = ["features.0.0", "features.0.1", "features.0.1:input", "features.0", "features.2", "head.0"]
    with recorded(vgg, names) as read:
        vgg(images)
        found = read()
    vgg.eval()
    convolution, norm = find_layer(vgg, "features.0.0"), find_layer(vgg, "features.0.1")
    with torch.no_grad():
        made = convolution(images)
        assert torch.equal(found["features.0.0"], made)
        assert torch.equal(found["features.0.1:input"], made)
        normed = norm(made)
        assert float(normed.min()) < 0  # the ReLU that follows works in place
        assert torch.equal(found["features.0.1"], normed)
        assert torch.equal(found["features.0"], normed.clamp(min=0))
        pooled = F.max_pool2d(vgg.features[1](normed.clamp(min=0)), 2)
        assert torch.equal(found["features.2"], pooled)
    assert list(found) == names


def test_of_a_shared_layer_the_last_call_counts_and_the_pass_ends_there() -> None:
    network, images = Shared(), torch.rand(2, 3, 4, 4)
    with torch.no_grad():
        expected = network.second(network.first(images).relu()).relu()
    with recorded(network, ["relu"]) as read:
        for number in range(3):
            network(images + number)
            assert network.passes_to_the_end == 1  # the first, which counts the calls
        network(images)
        assert torch.equal(read()["relu"], expected)
    with recorded(network, ["second:input"]) as read:
        network(images)
        network(images)
        assert torch.equal(read()["second:input"], network.first(images).relu())
    assert network.passes_to_the_end == 2


def test_gradients_reach_the_images_and_no_parameter(vgg: CompactVGG) -> None:
    images = torch.rand(2, 3, 48, 48, requires_grad=True)
    plain = deepcopy(vgg).eval()
    with recorded(vgg, ["features.1"]) as read:
        for _ in range(2):
            vgg(images)
        [gradient] = torch.autograd.grad(read()["features.1"].square().sum(), images)
    [expected] = torch.autograd.grad(plain.features[:2](images).square().sum(), images)
    assert torch.equal(gradient, expected)
    assert all(parameter.grad is None for parameter in vgg.parameters())


@pytest.mark.parametrize("failing", [False, True])
def test_nothing_stays_behind(failing: bool, vgg: CompactVGG) -> None:
    vgg.train()
    vgg.features[0].eval()
    next(vgg.features[0].parameters()).requires_grad_(False)
    before, state = described(vgg), deepcopy(vgg.state_dict())

    def use() -> None:
        with recorded(vgg, ["features.1"]):
            vgg(torch.rand(2, 3, 48, 48))
            if failing:
                raise RuntimeError

    if failing:
        with pytest.raises(RuntimeError):
            use()
    else:
        use()
    assert described(vgg) == before
    assert all(torch.equal(value, state[key]) for key, value in vgg.state_dict().items())
    with pytest.raises(ValueError, match="no layer"), recorded(vgg, ["features.1", "nothing"]):
        pass
    assert described(vgg) == before


def described(network: nn.Module) -> list[object]:
    modules = [
        (module.training, len(module._forward_hooks), len(module._forward_pre_hooks), "forward" in vars(module))
        for module in network.modules()
    ]
    return [*modules, *(parameter.requires_grad for parameter in network.parameters())]


def test_what_is_not_there_is_said_with_the_nearest_names() -> None:
    resnet = Classifier(models.resnet18())
    with pytest.raises(ValueError, match=r"no layer 'network.layer4.5'; did you mean .*network\.layer4\.1"):
        find_layer(resnet, "network.layer4.5")
    with pytest.raises(ValueError, match=r"did you mean .*network\.layer4"):
        find_layer(resnet, "layer4")
    network = Shared()
    with recorded(network, ["unused"]) as read:
        network(torch.rand(1, 3, 4, 4))
        with pytest.raises(ValueError, match="no forward pass has called layer unused"):
            read()
    with recorded(network, ["first"]) as read, pytest.raises(ValueError, match="no forward pass"):
        read()


def test_layers_are_listed_with_their_shapes(make_segnet: Callable[..., SegNet]) -> None:
    found = list_layers(Shared().train(), torch.rand(1, 3, 4, 4))
    assert [layer.name for layer in found] == ["first", "second", "relu", "third"]  # each where it was called last
    assert found[0].shape == (3, 4, 4)
    autoencoder = make_segnet()
    layers = {layer.name: layer for layer in list_layers(autoencoder, torch.rand(1, 3, 16, 16))}
    assert layers["encoder"].shape == (6, 4, 4)
    with recorded(autoencoder, ["encoder"]) as read:  # of a tuple the first tensor: the code
        autoencoder(torch.rand(2, 3, 16, 16))
        assert read()["encoder"].shape == (2, 6, 4, 4)


def test_means_are_over_places_wherever_channels_are() -> None:
    maps = torch.rand(2, 5, 4, 4)
    expected = torch.stack([torch.stack([channel.mean() for channel in image]) for image in maps])
    torch.testing.assert_close(spatial_mean(maps), expected)
    torch.testing.assert_close(spatial_mean(maps.permute(0, 2, 3, 1)), expected)
    torch.testing.assert_close(spatial_mean(maps.flatten(2).transpose(1, 2)), expected)
    assert spatial_mean(expected) is expected
    with pytest.raises(ValueError, match="choose another layer"):
        spatial_mean(torch.rand(2, 3, 4, 4, 4))


def test_tokens_of_a_transformer_are_seen() -> None:
    vit = models.VisionTransformer(32, 16, 2, 2, 12, 24)
    with recorded(vit, ["encoder.layers.encoder_layer_0"]) as read:
        vit(torch.rand(2, 3, 32, 32))
        assert read()["encoder.layers.encoder_layer_0"].shape == (2, 5, 12)
