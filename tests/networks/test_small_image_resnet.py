"""A ResNet for small images: torchvision's stages behind another stem."""

import pytest
import torch
from torch import nn
from torchvision import models

from networks.torchvision_classifiers import small_image_resnet


def test_its_stages_are_torchvisions_and_see_the_image_at_full_size() -> None:
    torch.manual_seed(0)
    network = small_image_resnet("resnet18", 10).eval()
    published = models.resnet18(num_classes=10).eval()
    stages = {key: value for key, value in network.state_dict().items() if not key.startswith("conv1.")}
    published.load_state_dict({"conv1.weight": published.conv1.weight} | stages)
    published.conv1 = nn.Conv2d(3, 64, 3, padding=1, bias=False)
    published.conv1.weight = network.conv1.weight  # type: ignore[union-attr]
    published.maxpool = nn.MaxPool2d(1)  # does nothing
    images = torch.rand(2, 3, 32, 32)
    sizes: list[torch.Size] = []
    network.layer1.register_forward_hook(lambda *arguments: sizes.append(arguments[2].shape))  # type: ignore[union-attr]
    with torch.inference_mode():
        assert torch.equal(network(images), published(images))
    assert sizes == [torch.Size([2, 64, 32, 32])]


def test_other_networks_are_refused() -> None:
    with pytest.raises(ValueError, match="vgg11 is no ResNet, so its stem is another: choose one, as resnet18"):
        small_image_resnet("vgg11", 10)
    with pytest.raises(ValueError, match="torchvision has no classifier 'resnet19'; did you mean resnet18"):
        small_image_resnet("resnet19", 10)
