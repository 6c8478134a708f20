"""The iterations of which pictures are kept, against their formula."""

import pytest

from methods.layer_features.schedules import shown_iterations
from tests.replicas import replicates


@replicates(shown_iterations)
def literal_iterations(iterations: int, count: int) -> list[int]:
    """``(1 + n)^(j / (count − 1)) − 1`` for j from 0 on, rounded: equal steps of the logarithm of 1 + iteration."""
    return sorted({round((1 + iterations) ** (j / (count - 1)) - 1) for j in range(count)} | {0, iterations})


@pytest.mark.parametrize(("iterations", "count"), [(1, 2), (7, 8), (200, 8), (2000, 8)])
def test_pictures_are_denser_at_the_beginning(iterations: int, count: int) -> None:
    assert shown_iterations(iterations, count) == literal_iterations(iterations, count)
