"""Differences of neighbouring pixels against loops over single pixels."""

import pytest
import torch
from torch import Tensor

from methods.layer_features import regularizers
from tests.replicas import replicates


@pytest.fixture
def images() -> Tensor:
    return torch.rand(2, 3, 5, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


@replicates(regularizers.gradient)
def literal_gradient(image: list[list[float]]) -> tuple[list[list[float]], list[list[float]]]:
    height, width = len(image), len(image[0])
    down = [[image[y + 1][x] - image[y][x] if y + 1 < height else 0.0 for x in range(width)] for y in range(height)]
    right = [[image[y][x + 1] - image[y][x] if x + 1 < width else 0.0 for x in range(width)] for y in range(height)]
    return down, right


@replicates(regularizers.divergence)
def literal_divergence(down: list[list[float]], right: list[list[float]]) -> list[list[float]]:
    """What flows out of a pixel, less what flows in; nothing passes the edges."""
    height, width = len(down), len(down[0])
    made = []
    for y in range(height):
        row = []
        for x in range(width):
            out = (down[y][x] if y + 1 < height else 0.0) + (right[y][x] if x + 1 < width else 0.0)
            row.append(out - (down[y - 1][x] if y else 0.0) - (right[y][x - 1] if x else 0.0))
        made.append(row)
    return made


def test_gradient_and_divergence_are_differences_of_neighbours(images: Tensor) -> None:
    by_row, by_column = regularizers.gradient(images)
    flow = regularizers.divergence(images, images.flip(0))
    for n in range(2):
        for c in range(3):
            down, right = literal_gradient(images[n, c].tolist())
            torch.testing.assert_close(by_row[n, c], torch.tensor(down, dtype=torch.float64))
            torch.testing.assert_close(by_column[n, c], torch.tensor(right, dtype=torch.float64))
            expected = literal_divergence(images[n, c].tolist(), images[1 - n, c].tolist())
            torch.testing.assert_close(flow[n, c], torch.tensor(expected, dtype=torch.float64))
