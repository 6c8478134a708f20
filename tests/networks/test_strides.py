"""Strides of known architectures, functional pools and odd sizes included; the meta device computes nothing."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from networks.compact_classifiers import CompactAlexNet, CompactResNet
from networks.lenet import LeNet5
from networks.segnet import CompactSegNet
from networks.strides import stride_products
from networks.torchvision_classifiers import torchvision_network


@pytest.mark.parametrize(
    ("name", "side", "expected"),
    [("alexnet", 224, [4, 8, 16, 32]), ("inception_v3", 299, [2, 4, 8, 16, 32]), ("vit_b_32", 224, [32])],
)
def test_published_architectures(name: str, side: int, expected: list[int]) -> None:
    with torch.device("meta"):
        network = torchvision_network(name, 10).eval()
        assert stride_products(network, torch.zeros(1, 3, side, side)) == expected


@pytest.mark.parametrize("size", [(48, 48), (53, 49)])
def test_own_architectures_at_odd_sizes(size: tuple[int, int]) -> None:
    images = torch.zeros(1, 3, *size)
    for network in (CompactAlexNet(5), CompactResNet(5), CompactSegNet()):
        assert stride_products(network.eval(), images) == [2, 4, 8]
    assert stride_products(LeNet5(5).eval(), torch.zeros(1, 3, 224, 224)) == [2, 4]


def test_padding_by_hand_and_transposed_convolutions() -> None:
    class Padded(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = nn.Conv2d(3, 4, 3, stride=3), nn.Conv2d(4, 4, 2, stride=2)
            self.up = nn.ConvTranspose2d(4, 4, 5, stride=5)

        def forward(self, x: Tensor) -> Tensor:
            made: Tensor = self.up(self.second(F.pad(self.first(x), (0, 1, 0, 1))))
            return made

    assert stride_products(Padded(), torch.zeros(1, 3, 33, 33)) == [3, 6]
