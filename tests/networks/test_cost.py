"""Parameters and operations, counted by hand."""

import torch
from torch import nn

from networks.cost import flop_count, parameter_count


def test_counts_are_those_by_hand() -> None:
    network = nn.Sequential(nn.Conv2d(3, 5, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(5 * 6 * 8, 7)).eval()
    assert parameter_count(network) == (3 * 5 * 9 + 5) + (240 * 7 + 7)
    assert flop_count(network, torch.rand(1, 3, 6, 8)) == 2 * (48 * 5 * 27) + 2 * 240 * 7
