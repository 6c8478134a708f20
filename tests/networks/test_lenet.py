"""LeNet-5 on 224 pixels."""

import pytest
import torch

from networks.lenet import LeNet5


def test_layers_have_the_published_widths() -> None:
    network = LeNet5(10)
    shapes = [tuple(parameter.shape) for name, parameter in network.named_parameters() if name.endswith("weight")]
    assert shapes == [(6, 3, 5, 5), (16, 6, 5, 5), (120, 44944), (84, 120), (10, 84)]
    assert network(torch.rand(2, 3, 224, 224)).shape == (2, 10)
    with pytest.raises(ValueError, match="LeNet-5 takes images of 224×224 pixels, not 64×64"):
        network(torch.rand(1, 3, 64, 64))
