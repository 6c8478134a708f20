"""Inputs of layers, the layers that represent a network, and the cost of a pass to them."""

import pytest
import torch
from torch import Tensor, nn
from torchvision import models

from methods.layer_features.layer_inputs import last_convolution, last_of_stages
from methods.layer_features.networks import WithoutResizing
from networks.activations import Layer, list_layers
from networks.classifier import Classifier
from networks.compact_classifiers import CompactResNet, CompactVGG
from networks.compact_vit import CompactViT
from networks.cost import flop_count, flop_count_to_layers

SMALL, LARGE = torch.zeros(1, 3, 48, 48), torch.zeros(1, 3, 64, 64)


def test_the_last_convolution_of_a_layer_is_not_its_shortcut() -> None:
    resnet = models.resnet18()
    assert last_convolution(resnet, "layer4.0", LARGE) == "layer4.0.conv2:input"  # its downsampling is called later
    assert last_convolution(resnet, "layer4", LARGE) == "layer4.1.conv2:input"
    assert last_convolution(resnet, "layer2.1.conv1", LARGE) == "layer2.1.conv1:input"
    assert last_convolution(resnet, "maxpool", LARGE) == "conv1:input"
    assert last_convolution(resnet, "layer2.0.relu", LARGE) == "layer2.0.conv2:input"
    assert last_convolution(CompactResNet(5), "features", SMALL) == "features.3.body.1:input"
    assert last_convolution(models.resnet50(), "layer4.2", LARGE) == "layer4.2.conv3:input"
    assert last_convolution(nn.Sequential(nn.ReLU()), "0", LARGE) == "0:input"


@pytest.mark.parametrize(
    ("network", "size", "expected"),
    [
        (CompactVGG(5), 48, ["features.1", "features.4", "features.7"]),
        (CompactResNet(5), 48, ["features.1", "features.2", "features"]),
        (models.densenet121(num_classes=5), 64, ["features.denseblock2", "features.denseblock3", "features"]),
        (models.efficientnet_b0(num_classes=5), 64, ["features.3", "features.5", "features"]),
        (CompactViT(5), 48, [f"encoder.layers.{n}" for n in (0, 1, 3)]),
        (models.resnet18(), 64, ["layer2", "layer3", "layer4"]),
        (models.vit_b_16(image_size=32, num_classes=5), 32, [f"encoder.layers.encoder_layer_{n}" for n in (3, 7, 11)]),
        (models.swin_t(num_classes=5), 64, ["features.3", "features.5", "features"]),
        (models.convnext_tiny(num_classes=5), 64, ["features.3", "features.5", "features"]),
    ],
)
def test_the_last_layers_of_the_last_stages_are_chosen(
    network: nn.Module, size: int, expected: list[str] | None
) -> None:
    layers = list_layers(network, torch.zeros(1, 3, size, size))
    chosen = last_of_stages(layers)
    assert len(chosen) == 3
    assert expected is None or chosen == expected
    shapes = {layer.name: layer.shape for layer in layers}
    assert all(len(shapes[name]) > 1 for name in chosen)


def test_a_network_without_height_and_width_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"layer=\[...\]"):
        last_of_stages([Layer("head", "Linear", (10,))])


def test_operations_are_those_up_to_the_layer_there_and_back() -> None:
    network = CompactVGG(5)
    widths, side, counted = [(3, 12), (12, 12), (12, 24), (24, 24), (24, 64), (64, 64)], 48, []
    for number, (before, after) in enumerate(widths):
        counted.append(2 * 9 * before * after * (side // 2 ** (number // 2)) ** 2)
    for layer, depth in (("features.0", 1), ("features.1", 2), ("features.4", 4), ("features.7", 6)):
        expected = sum(counted[:depth])
        assert flop_count_to_layers(network, [layer], SMALL) == (expected, expected)  # no gradient of weights
    assert flop_count_to_layers(network, ["features.7", "features.1"], SMALL)[0] == sum(counted)
    assert flop_count(network.eval(), SMALL) > sum(counted)
    assert all(parameter.grad is None for parameter in network.parameters())


def test_images_are_not_resized() -> None:
    torch.manual_seed(0)
    classifier = Classifier(CompactVGG(5)).eval()
    images: Tensor = torch.rand(2, 3, 48, 48)
    assert torch.equal(WithoutResizing(classifier, swapped=False)(images), classifier(images))
    assert torch.equal(WithoutResizing(classifier, swapped=True)(images), classifier(images[:, [2, 1, 0]]))
    network = CompactVGG(5).eval()
    assert torch.equal(WithoutResizing(network, swapped=False)(images), network(images))
