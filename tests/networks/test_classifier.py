"""The classifier wrapper against torchvision, and what sets each compact family apart."""

import pytest
import torch
import torchvision
from torch import nn
from torchvision.transforms.v2 import functional as transforms

from networks.classifier import Classifier, Preprocessing, freeze
from networks.compact_classifiers import CompactAlexNet, CompactInception, CompactResNet, CompactVGG, Residual

COMPACT = (CompactAlexNet, CompactVGG, CompactResNet, CompactInception)


@pytest.mark.parametrize("name", ["resnet18", "squeezenet1_1", "mobilenet_v3_small"])
@pytest.mark.parametrize("size", [(224, 224), (300, 261), (64, 64)])
def test_wrapper_equals_torchvision_on_transformed_images(name: str, size: tuple[int, int]) -> None:
    torch.manual_seed(0)
    network = torchvision.models.get_model(name, weights=None, num_classes=10).eval()
    images = torch.rand(2, 3, *size)
    resized = transforms.resize(images, [224, 224], antialias=True)
    normalized = transforms.normalize(resized, [0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
    with torch.no_grad():
        assert torch.allclose(Classifier(network, Preprocessing(size=224))(images), network(normalized), atol=1e-5)


@pytest.mark.parametrize("family", COMPACT)
@pytest.mark.parametrize("size", [32, 45, 48, 96])
def test_compact_classifiers_take_images_of_many_sizes(family: type[nn.Module], size: int) -> None:
    classifier = Classifier(family(7)).eval()
    images = torch.rand(3, 3, size, size, requires_grad=True)
    logits = classifier(images)
    assert logits.shape == (3, 7)
    logits[0].sum().backward()
    assert images.grad is not None
    assert images.grad[0].abs().sum() > 0
    assert images.grad[1:].abs().sum() == 0  # no image sees another


def layers(network: nn.Module, kind: type[nn.Module]) -> list[nn.Module]:
    return [module for module in network.modules() if isinstance(module, kind)]


def test_alexnet_strides_widely_and_has_no_batch_norm() -> None:
    network = CompactAlexNet(5)
    first = layers(network, nn.Conv2d)[0]
    assert isinstance(first, nn.Conv2d)
    assert first.kernel_size[0] > 5
    assert first.stride[0] > 1
    assert not layers(network, nn.BatchNorm2d)
    assert len(layers(network, nn.Linear)) > 1


def test_vgg_is_stacks_of_three_by_three() -> None:
    kernels = {module.kernel_size for module in layers(CompactVGG(5), nn.Conv2d) if isinstance(module, nn.Conv2d)}
    assert kernels == {(3, 3)}
    assert len(layers(CompactVGG(5), nn.Linear)) > 1


def test_a_residual_block_without_its_body_is_its_shortcut() -> None:
    block = Residual(8, 8, stride=1).eval()
    nn.init.zeros_(block.body[-1].weight)  # type: ignore[arg-type]
    x = torch.randn(2, 8, 6, 6)
    assert torch.equal(block(x), x.clamp(min=0))
    assert len(layers(CompactResNet(5), nn.Linear)) == 1


def test_inception_branches_are_parallel() -> None:
    module = CompactInception(5).features[2].eval()
    x = torch.randn(2, 24, 6, 6)
    branches = [branch(x) for branch in module.children()]
    assert len(branches) == 4
    assert torch.equal(module(x), torch.cat(branches, dim=1))


def test_frozen_means_eval_and_no_gradient() -> None:
    network = freeze(CompactResNet(5))
    assert not any(module.training for module in network.modules())
    assert not any(parameter.requires_grad for parameter in network.parameters())
