"""The updates of coupled factorisation against loops over single entries."""

import math
from collections.abc import Sequence

import pytest
import torch
from scipy.optimize import nnls  # type: ignore[import-untyped]
from torch import Tensor

from methods.concepts import hals
from methods.concepts.hals import Penalties
from tests.replicas import replicates

K, N, WIDTHS = 3, 8, (4, 5)
GROUPS = torch.tensor([1, 1, 2, 2, 2, 0, 0, 1])
NONE = Penalties(0.0, 0.0, 0.0, 0.0)
PENALTIES = [
    NONE, Penalties(0.2, 0.0, 0.0, 0.0), Penalties(0.0, 0.3, 0.0, 0.0), Penalties(0.0, 0.0, 0.2, 0.0),
    Penalties(0.0, 0.0, 0.0, 0.4), Penalties(0.1, 0.2, 0.1, 0.3),
]  # fmt: skip


def drawn(*shape: int, seed: int) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def problem() -> tuple[Tensor, Tensor, Tensor]:
    """The image factor, products and gram of images that are near a factorisation."""
    rows = drawn(K, sum(WIDTHS), seed=0)
    images = drawn(N, K, seed=1) @ rows + 0.2 * drawn(N, sum(WIDTHS), seed=2)
    return drawn(K, N, seed=3), rows @ images.T, rows @ rows.T


def blocks() -> tuple[list[Tensor], Tensor, list[Tensor]]:
    """Factors by block, and the gram and products of an image factor."""
    images, matrices = drawn(N, K, seed=4), [drawn(N, width, seed=5 + width) for width in WIDTHS]
    factors = [drawn(K, width, seed=20 + width) for width in WIDTHS]
    return factors, images.T @ images, [images.T @ matrix for matrix in matrices]


@replicates(hals.shrink_groups)
def literal_shrinkage(values: list[float], members: list[int], amount: float) -> list[float]:
    shortened = []
    for value, group in zip(values, members, strict=True):
        norm = math.sqrt(sum(v**2 for v, g in zip(values, members, strict=True) if g == group))
        shortened.append(value * (norm - amount) / norm if norm > amount else 0.0)
    return shortened


@replicates(hals.descend_image_factor)
def literal_descent(image_factor: Tensor, products: Tensor, gram: Tensor, penalties: Penalties) -> list[list[float]]:
    """Each column of H in turn at the minimum over itself: a soft threshold, then the shrinkage of its groups."""
    h, c, g = image_factor.tolist(), products.tolist(), gram.tolist()
    for r in range(K):
        curvature = g[r][r] + penalties.l2
        minimum = []
        for n in range(N):
            others = [s for s in range(K) if s != r]
            slope = c[r][n] - sum((g[r][s] + penalties.orthogonality) * h[s][n] for s in others) - penalties.l1
            minimum.append(max(0.0, slope) / curvature)
        h[r] = literal_shrinkage(minimum, GROUPS.tolist(), penalties.group / curvature)
    return h


@replicates(hals.multiply_image_factor)
def literal_multiplication(
    image_factor: Tensor, products: Tensor, gram: Tensor, penalties: Penalties
) -> list[list[float]]:
    """Every entry times the negative part of its slope over the positive part, all at once."""
    h, c, g = image_factor.tolist(), products.tolist(), gram.tolist()
    made = []
    for r in range(K):
        row = []
        for n in range(N):
            positive = sum(g[r][s] * h[s][n] for s in range(K)) + penalties.l1 + penalties.l2 * h[r][n]
            positive += penalties.orthogonality * sum(h[s][n] for s in range(K) if s != r)
            norm = math.sqrt(sum(h[r][m] ** 2 for m in range(N) if GROUPS[m] == GROUPS[n]))
            row.append(h[r][n] * c[r][n] / (positive + penalties.group * h[r][n] / norm))
        made.append(row)
    return made


@pytest.mark.parametrize("penalties", PENALTIES, ids=str)
def test_image_factors_move_as_single_entries_do(penalties: Penalties) -> None:
    start, products, gram = problem()
    for update, literally in (
        (hals.descend_image_factor, literal_descent),
        (hals.multiply_image_factor, literal_multiplication),
    ):
        expected, moved = literally(start, products, gram, penalties), start.clone()
        update(moved, products, gram, penalties, GROUPS)
        torch.testing.assert_close(moved, torch.tensor(expected, dtype=torch.float64), rtol=1e-12, atol=1e-12)


def test_groups_are_shortened() -> None:
    values, members = [0.3, 0.4, 0.1, 0.2, 1.2], [0, 0, 1, 1, 2]
    for amount in (0.0, 0.25, 0.5, 9.0):
        made = hals.shrink_groups(torch.tensor(values, dtype=torch.float64), torch.tensor(members), amount)
        assert made.tolist() == pytest.approx(literal_shrinkage(values, members, amount))


@replicates(hals.group_norms)
def literal_group_norms(image_factor: Tensor, groups: list[int]) -> list[list[float]]:
    return [
        [math.sqrt(sum(v**2 for v, g in zip(row, groups, strict=True) if g == group)) for group in sorted(set(groups))]
        for row in image_factor.tolist()
    ]


def test_norms_of_groups_are_those_of_their_entries() -> None:
    start, _, _ = problem()
    expected = torch.tensor(literal_group_norms(start, GROUPS.tolist()), dtype=torch.float64)
    torch.testing.assert_close(hals.group_norms(start, GROUPS), expected)


@replicates(hals.unit_vector)
def literal_unit_vector(parts: Sequence[Tensor]) -> list[list[float]]:
    values = [part.tolist() for part in parts]
    largest = max(max(part) for part in values)
    return [[float(value == largest) for value in part] for part in values]


@replicates(hals.descend_factors)
def literal_row_descent(
    factors: list[Tensor], gram: Tensor, products: list[Tensor], unit_rows: bool
) -> list[list[list[float]]]:
    w, c, g = [factor.tolist() for factor in factors], [part.tolist() for part in products], gram.tolist()
    for r in range(K):
        if g[r][r] <= 0:
            continue
        rows = [
            [c[b][r][m] - sum(g[r][s] * w[b][s][m] for s in range(K) if s != r) for m in range(width)]
            for b, width in enumerate(WIDTHS)
        ]
        cut = [[max(0.0, value) for value in row] for row in rows]
        norm = math.sqrt(sum(value**2 for row in cut for value in row))
        if unit_rows and norm <= 0:
            cut, norm = literal_unit_vector([torch.tensor(row, dtype=torch.float64) for row in rows]), 1.0
        for b, row in enumerate(cut):
            w[b][r] = [value / (norm if unit_rows else g[r][r]) for value in row]
    return w


@replicates(hals.multiply_factors)
def literal_row_multiplication(factors: list[Tensor], gram: Tensor, products: list[Tensor]) -> list[list[list[float]]]:
    made = []
    for factor, product in zip(factors, products, strict=True):
        w, c, g = factor.tolist(), product.tolist(), gram.tolist()
        rows = [
            [w[r][m] * c[r][m] / sum(g[r][s] * w[s][m] for s in range(K)) for m in range(len(w[r]))] for r in range(K)
        ]
        made.append([[value / math.sqrt(sum(v**2 for v in row)) for value in row] for row in rows])
    return made


@pytest.mark.parametrize("case", ["plain", "unit", "nothing wanted", "multiplied"])
def test_factors_move_as_single_entries_do(case: str) -> None:
    factors, gram, products = blocks()
    if case == "nothing wanted":
        products = [part - 9 for part in products]  # every row would be 0, which has no direction
    gram[:, 1] = gram[1, :] = 0.0 if case == "plain" else gram[:, 1]  # a concept that is in no image
    moved = [factor.clone() for factor in factors]
    if case == "multiplied":
        expected = literal_row_multiplication(factors, gram, products)
        hals.multiply_factors(moved, gram, products)
    else:
        expected = literal_row_descent(factors, gram, products, unit_rows=case != "plain")
        hals.descend_factors(moved, gram, products, unit_rows=case != "plain")
    for ours, literal in zip(moved, expected, strict=True):
        torch.testing.assert_close(ours, torch.tensor(literal, dtype=torch.float64), rtol=1e-12, atol=1e-12)


@replicates(hals.squared_errors)
def literal_squared_errors(factors: Sequence[Tensor], images: Tensor, matrices: Sequence[Tensor]) -> list[float]:
    return [
        sum(
            (float(x[n, m]) - sum(float(images[n, r] * w[r, m]) for r in range(K))) ** 2
            for n in range(N) for m in range(x.shape[1])
        )
        for w, x in zip(factors, matrices, strict=True)
    ]  # fmt: skip


def test_squared_errors_are_those_of_the_residual() -> None:
    images, matrices = drawn(N, K, seed=4), [drawn(N, width, seed=5 + width) for width in WIDTHS]
    factors, gram, products = blocks()
    found = hals.squared_errors(factors, gram, products, [float((x**2).sum()) for x in matrices])
    assert found == pytest.approx(literal_squared_errors(factors, images, matrices))


@replicates(hals.penalty)
def literal_penalty(image_factor: Tensor, penalties: Penalties) -> float:
    h = image_factor.tolist()
    total = sum(penalties.l1 * value + penalties.l2 * value**2 / 2 for row in h for value in row)
    for first in range(K):
        for second in range(first + 1, K):
            total += penalties.orthogonality * sum(a * b for a, b in zip(h[first], h[second], strict=True))
        for group in set(GROUPS.tolist()):
            total += penalties.group * math.sqrt(sum(v**2 for v, g in zip(h[first], GROUPS, strict=True) if g == group))
    return total


@pytest.mark.parametrize("penalties", PENALTIES, ids=str)
def test_penalties_are_those_of_the_image_factor(penalties: Penalties) -> None:
    h, _, _ = problem()
    norms = sum(float(row[group == GROUPS].norm()) for row in h for group in GROUPS.unique())
    found = hals.penalty(h @ h.T, float(h.sum()), norms, penalties)
    assert found == pytest.approx(literal_penalty(h, penalties))


@replicates(hals.project)
def literal_projection(rows: Tensor, images: Tensor) -> Tensor:
    """Non-negative least squares, image by image."""
    return torch.stack([torch.from_numpy(nnls(rows.T.numpy(), image.numpy())[0]) for image in images], dim=1)


def test_new_images_are_projected_as_by_non_negative_least_squares() -> None:
    rows, images = drawn(K, sum(WIDTHS), seed=0), drawn(N, sum(WIDTHS), seed=9)
    found = hals.project(rows @ images.T, rows @ rows.T, NONE)
    torch.testing.assert_close(found, literal_projection(rows, images), rtol=1e-6, atol=1e-6)
