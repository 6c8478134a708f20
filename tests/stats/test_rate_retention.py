"""Curves of bits against retention, against numpy's interpolation, loops, and a spectrum drawn finely."""

import math
from itertools import pairwise

import numpy as np
import pytest

from stats.rate_retention import bandwidth, bits_at_retention, dominance, interpolated, off_diagonal, quantile_interval


def rising(seed: int, points: int = 6) -> tuple[np.ndarray, np.ndarray]:
    """Bits and retention of a curve that rises everywhere, its points shuffled."""
    random = np.random.default_rng(seed)
    bits = np.cumsum(random.exponential(size=points)) * 100 + 1
    retention = np.sort(random.uniform(0.3, 1, size=points))
    order = random.permutation(points)
    return bits[order], retention[order]


@pytest.mark.parametrize("seed", range(20))
def test_a_curve_that_rises_is_interpolated_as_numpy_does(seed: int) -> None:
    bits, retention = rising(seed)
    order = np.argsort(bits)
    for target in np.random.default_rng(seed).uniform(retention.min(), retention.max(), size=10):
        expected = np.exp(np.interp(target, retention[order], np.log(bits[order])))
        assert bits_at_retention(bits, retention, target) == pytest.approx(expected, rel=1e-12)
        for point, kept in zip(bits, retention, strict=True):
            assert bits_at_retention(bits, retention, kept) == pytest.approx(point, rel=1e-12)


def literally(bits: np.ndarray, retention: np.ndarray, target: float) -> float:
    """The fewest bits at which the curve of the largest retention so far reaches a target, point by point."""
    points = sorted(zip(bits.tolist(), retention.tolist(), strict=True))
    best = points[0][1]
    if best >= target:
        return points[0][0] if best == target else 0.0
    for (below, _), (above, kept) in pairwise(points):
        if kept >= target:
            share = (target - best) / (kept - best)
            return math.exp(math.log(below) + share * (math.log(above) - math.log(below)))
        best = max(best, kept)
    return math.inf


@pytest.mark.parametrize("seed", range(20))
def test_a_curve_with_dips_and_equal_points_counts_the_largest_retention_so_far(seed: int) -> None:
    random = np.random.default_rng(seed)
    bits, retention = random.uniform(1, 1000, size=7), random.integers(0, 6, size=7) / 5  # many are equal
    for target in [*np.linspace(0, 1, 11), *retention]:
        assert bits_at_retention(bits, retention, target) == pytest.approx(literally(bits, retention, target))


def test_bits_grow_with_the_retention_that_is_asked_for() -> None:
    random = np.random.default_rng(0)
    for _ in range(50):
        bits, retention = random.uniform(1, 1000, size=6), random.uniform(size=6)
        found = [bits_at_retention(bits, retention, target) for target in np.linspace(0, 1, 21)]
        assert (np.diff(np.nan_to_num(found, posinf=1e9)) >= -1e-9).all()


def test_a_curve_that_never_reaches_the_target_has_infinite_bits_and_one_that_always_does_has_none() -> None:
    bits, retention = np.array([10.0, 20.0]), np.array([0.5, 0.9])
    assert bits_at_retention(bits, retention, 0.91) == math.inf
    assert bits_at_retention(bits, retention, 0.49) == 0
    assert bits_at_retention(bits[:1], retention[:1], 0.5) == 10
    assert bits_at_retention(np.array([0.0, 10.0]), retention, 0.7) > 0  # no bits at all have no logarithm


@pytest.mark.parametrize("seed", range(10))
def test_other_values_of_a_curve_are_interpolated_at_the_same_place(seed: int) -> None:
    bits, retention = rising(seed)
    values = np.stack([np.log(bits), 3 * np.log(bits) + 1], axis=1)
    for target in np.linspace(retention.min(), retention.max(), 7)[1:]:
        found, kept = interpolated(values, bits, retention, target)
        assert kept == target
        expected = math.log(bits_at_retention(bits, retention, target))
        np.testing.assert_allclose(found, [expected, 3 * expected + 1], rtol=1e-12)
    for target, end in ((0.0, np.argmin(bits)), (1.5, np.argmax(bits))):
        found, kept = interpolated(values, bits, retention, target)
        assert found.tolist() == values[end].tolist()
        assert kept == retention[end]


def drawn_width(octaves: np.ndarray) -> float:
    """The width of the piece around the peak that is above half of it, of a spectrum drawn finely."""
    step, count = 1e-4, len(octaves)
    places = np.arange(-0.5, count - 0.5, step) + step / 2
    above = np.interp(places, np.arange(count), octaves) >= octaves.max() / 2
    peak = int(np.argmin(np.abs(places - octaves.argmax())))
    left, right = peak, peak
    while left > 0 and above[left - 1]:
        left -= 1
    while right < len(places) - 1 and above[right + 1]:
        right += 1
    return (right - left + 1) * step


@pytest.mark.parametrize("seed", range(30))
def test_the_bandwidth_is_that_of_a_spectrum_drawn_finely(seed: int) -> None:
    octaves = np.random.default_rng(seed).exponential(size=6) ** 2
    assert bandwidth(octaves) == pytest.approx(drawn_width(octaves), abs=5e-4)


def test_the_bandwidth_of_known_spectra() -> None:
    assert bandwidth(np.array([0.0, 0, 8, 0, 0])) == 1  # a triangle
    assert bandwidth(np.array([1.0, 1, 1, 1])) == 4
    assert bandwidth(np.array([4.0, 0, 0])) == 1
    assert bandwidth(np.array([7.0])) == 1
    assert np.isnan(bandwidth(np.zeros(3)))
    spectrum = np.array([0.2, 1, 4, 2.5, 0.1])
    assert bandwidth(3 * spectrum) == pytest.approx(bandwidth(spectrum))
    assert bandwidth(spectrum[::-1]) == pytest.approx(bandwidth(spectrum))


def test_dominance_equals_its_sums_written_out() -> None:
    needed = np.random.default_rng(0).exponential(size=(4, 9))
    needed[:, 3] = 0
    found = dominance(needed)
    for i in range(4):
        for j in range(4):
            common = sum(min(needed[i, band], needed[j, band]) for band in range(9))
            assert found[i, j] == pytest.approx(common / sum(needed[j]))
    assert (np.diag(found) == 1).all()
    needed[2] = 0
    assert np.isnan(dominance(needed)[:, 2]).all()
    assert (dominance(needed)[2, [0, 1, 3]] == 0).all()


def test_quantiles_of_numbers_that_may_be_infinite() -> None:
    random = np.random.default_rng(0)
    values = np.concatenate([random.exponential(size=990), np.full(10, np.inf)])
    lower, upper = quantile_interval(values, 0.9)
    ordered = np.sort(values)
    assert lower == ordered[49]  # 5 % of 1000
    assert upper in (ordered[949], ordered[950])
    assert quantile_interval(values, 0.99)[1] == np.inf
    assert quantile_interval(np.full(5, np.inf), 0.5) == (np.inf, np.inf)


def test_what_is_not_on_the_diagonal_is_in_the_order_of_rows() -> None:
    matrices = np.arange(18.0).reshape(2, 3, 3)
    assert off_diagonal(matrices).tolist() == [[1, 2, 3, 5, 6, 7], [10, 11, 12, 14, 15, 16]]
