"""Kappa against scikit-learn, CKA against a literal one over all pairs of images, and what must not change either."""

import itertools

import pytest
import torch
from sklearn.metrics import cohen_kappa_score
from torch import Tensor

from metrics.agreement import cka_matrix, cohen_kappa, hsic, linear_cka, observed_agreement


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_kappa_equals_that_of_scikit_learn() -> None:
    predicted = torch.randint(0, 7, (60, 5), generator=torch.Generator().manual_seed(0))
    predicted[:, 1] = torch.where(torch.arange(60) < 40, predicted[:, 0], predicted[:, 1])
    predicted[:, 2] = 3
    kappa = cohen_kappa(predicted)
    for i, j in itertools.product(range(5), repeat=2):
        if i == j == 2:
            continue  # 0 / 0 there
        expected = cohen_kappa_score(predicted[:, i].numpy(), predicted[:, j].numpy())
        assert float(kappa[i, j]) == pytest.approx(expected, abs=1e-12)
        same = sum(int(row[i]) == int(row[j]) for row in predicted) / 60
        assert float(observed_agreement(predicted)[i, j]) == pytest.approx(same)


def test_two_classifiers_that_say_one_thing_agree_only_if_it_is_the_same() -> None:
    kappa = cohen_kappa(torch.tensor([[4, 4, 5]] * 6))
    assert kappa.tolist() == [[1, 1, 0], [1, 1, 0], [0, 0, 1]]


def test_names_of_classes_do_not_matter() -> None:
    predicted = torch.randint(0, 4, (30, 3), generator=torch.Generator().manual_seed(1))
    assert torch.equal(cohen_kappa(predicted), cohen_kappa(torch.tensor([9, -2, 0, 500])[predicted]))


@pytest.mark.parametrize("predicted", [torch.zeros(0, 2, dtype=torch.long), torch.zeros(3), torch.zeros(3, 2)])
def test_no_images_or_no_classes_are_refused(predicted: Tensor) -> None:
    with pytest.raises(ValueError, match="at least one image"):
        cohen_kappa(predicted)


def literal_hsic(x: Tensor, y: Tensor, debiased: bool) -> float:
    """Song et al. 2012: over all tuples of different images, or with centring matrices."""
    images, (k, m) = len(x), (x @ x.T, y @ y.T)
    if not debiased:
        centring = torch.eye(images, dtype=torch.float64) - 1 / images
        return float(torch.trace(k @ centring @ m @ centring))
    total = 0.0
    for i, j, q, r in itertools.permutations(range(images), 4):
        total += float(k[i, j] * (m[i, j] + m[q, r] - 2 * m[i, q]))
    tuples = images * (images - 1) * (images - 2) * (images - 3)
    return total / tuples * images * (images - 3)


@pytest.mark.parametrize("debiased", [True, False])
@pytest.mark.parametrize("widths", [(2, 3), (40, 30), (2, 40)])
def test_hsic_and_cka_equal_literal_ones_through_features_and_through_images(
    widths: tuple[int, int], debiased: bool
) -> None:
    x, y = random(7, widths[0]), random(7, widths[1], seed=1)
    y[:, 0] += 2 * x[:, 0]
    x, y = x + 3, y - 1
    cross, own, other = (literal_hsic(*pair, debiased) for pair in ((x, y), (x, x), (y, y)))
    assert float(hsic(x, y, debiased)) == pytest.approx(cross, rel=1e-9)
    assert float(linear_cka(x, y, debiased)) == pytest.approx(cross / (own * other) ** 0.5, rel=1e-9)


@pytest.mark.parametrize("debiased", [True, False])
def test_rotation_scale_and_shift_change_nothing(debiased: bool) -> None:
    x, y = random(30, 6), random(30, 5, seed=1)
    y[:, :3] += x[:, :3]
    rotation = torch.linalg.qr(random(6, 6, seed=2)).Q
    assert float(linear_cka(4 * x @ rotation - 7, y, debiased)) == pytest.approx(float(linear_cka(x, y, debiased)))
    assert float(linear_cka(x, x @ rotation, debiased)) == pytest.approx(1)


def test_independent_features_are_unlike_only_when_debiased() -> None:
    pairs = [(random(40, 200, seed=seed), random(40, 200, seed=100 + seed)) for seed in range(20)]
    debiased = torch.stack([linear_cka(x, y) for x, y in pairs])
    biased = torch.stack([linear_cka(x, y, debiased=False) for x, y in pairs])
    assert abs(float(debiased.mean())) < 0.02
    assert float(biased.mean()) > 0.7


def test_the_matrix_holds_every_pair() -> None:
    features = [random(12, 3), random(12, 20, seed=1), random(12, 3, seed=2)]
    matrix = cka_matrix(features)
    assert matrix.diagonal().tolist() == pytest.approx([1, 1, 1])
    for i, j in itertools.combinations(range(3), 2):
        assert float(matrix[i, j]) == float(matrix[j, i]) == pytest.approx(float(linear_cka(features[i], features[j])))


def test_constant_features_are_like_nothing() -> None:
    assert linear_cka(torch.full((9, 4), 0.1), random(9, 3)).isnan()


def test_bad_features_are_refused() -> None:
    with pytest.raises(ValueError, match="expected \\(N, d1\\) and \\(N, d2\\)"):
        linear_cka(random(5, 2), random(6, 2))
    with pytest.raises(ValueError, match="needs 4 or more"):
        linear_cka(random(3, 2), random(3, 2))
    with pytest.raises(ValueError, match="not finite"):
        linear_cka(random(5, 2) * torch.nan, random(5, 2))
