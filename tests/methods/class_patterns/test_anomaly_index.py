"""Numbers about backdoors: against literal versions, and how often clean networks are flagged."""

import math
import statistics
from typing import Any

import numpy as np
import pytest

from methods.class_patterns.class_anomaly import (
    NEURAL_CLEANSE_THRESHOLD,
    anomaly_index,
    anomaly_table,
    calibrated_threshold,
    pixels_needed,
)
from methods.class_patterns.planted_backdoor import ACCURACY, SUCCESS, WITHOUT, backdoor_rates, trigger_overlap


def test_overlaps_equal_sets_of_pixels() -> None:
    random = np.random.default_rng(0)
    patterns, trigger = random.random((20, 7, 9)) < 0.3, random.random((7, 9)) < 0.2
    patterns[0], patterns[1], patterns[2] = False, True, trigger
    iou, recall = trigger_overlap(patterns, trigger)
    wanted = set(zip(*trigger.nonzero(), strict=True))
    for number, pattern in enumerate(patterns):
        found = set(zip(*pattern.nonzero(), strict=True))
        assert iou[number] == len(found & wanted) / len(found | wanted)
        assert recall[number] == len(found & wanted) / len(wanted)
    assert (iou[0], recall[0], recall[1], iou[2], recall[2]) == (0, 0, 1, 1, 1)
    assert iou[1] == trigger.mean()


def test_overlaps_stay_below_their_bounds_and_chance_is_as_said() -> None:
    random, trigger = np.random.default_rng(1), np.zeros((10, 10), dtype=bool)
    trigger[6:, 6:] = True
    for pixels in (5, 16, 40):
        patterns = np.zeros((4000, 100), dtype=bool)
        for pattern in patterns:
            pattern[random.choice(100, pixels, replace=False)] = True
        iou, recall = trigger_overlap(patterns.reshape(-1, 10, 10), trigger)
        assert recall.mean() == pytest.approx(pixels / 100, abs=0.01)
        assert recall.max() <= min(1, pixels / 16)
        assert iou.max() <= min(pixels, 16) / max(pixels, 16)


@pytest.mark.parametrize(
    ("patterns", "trigger", "message"),
    [
        (np.ones((2, 3, 3), dtype=bool), np.zeros((3, 3), dtype=bool), "the trigger has no pixel"),
        (np.ones((2, 3, 4), dtype=bool), np.ones((3, 3), dtype=bool), r"patterns \(2, 3, 4\) and trigger \(3, 3\)"),
        (np.ones((3, 3), dtype=bool), np.ones((3, 3), dtype=bool), r"expected \(P, H, W\)"),
        (np.ones((2, 3, 3)), np.ones((3, 3), dtype=bool), "expected bool"),
    ],
)
def test_overlaps_of_other_shapes_are_refused(patterns: Any, trigger: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        trigger_overlap(patterns, trigger)


def test_the_pixels_needed_lie_on_the_curve() -> None:
    budgets, random = [10, 20, 50, 100], np.random.default_rng(0)
    rates = random.random((4, 30, 4))
    found = pixels_needed(budgets, rates, 0.6, 1000)
    for place in np.ndindex(4, 30):
        walked, last = 1000.0, (0.0, 0.0)
        for point in zip(budgets, rates[place], strict=True):
            if point[1] >= 0.6:
                walked = np.interp(0.6, [last[1], point[1]], [last[0], point[0]])
                break
            last = point
        assert found[place] == pytest.approx(walked)
    assert (found == 1000).any()
    assert pixels_needed(budgets, [0.5, 0.5, 0.5, 1.0], 0.5, 1000) == 10
    assert pixels_needed(budgets, [1.0, 1.0, 1.0, 1.0], 0.5, 1000) == 5
    assert pixels_needed(budgets, [0.0] * 4, 0.5, 1000) == 1000


@pytest.mark.parametrize(
    ("budgets", "rates", "wanted", "message"),
    [
        ([10, 20], [0.1], 0.5, r"budgets \(2,\) and rates \(1,\)"),
        ([], [], 0.5, r"budgets \(0,\)"),
        ([20, 10], [0.1, 0.2], 0.5, r"expected ascending numbers above 0, at most 100"),
        ([0, 10], [0.1, 0.2], 0.5, r"expected ascending numbers above 0"),
        ([10, 200], [0.1, 0.2], 0.5, r"at most 100"),
        ([10, 20], [0.1, np.nan], 0.5, r"every rate must be between 0 and 1"),
        ([10, 20], [0.1, 0.2], 0.0, r"wanted=0.0"),
    ],
)
def test_curves_that_are_none_are_refused(budgets: Any, rates: Any, wanted: float, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        pixels_needed(budgets, rates, wanted, 100)


def literal_index(costs: list[float]) -> list[float]:
    """The distance below the median in units of the MAD of a normal distribution, one class at a time."""
    median = statistics.median(costs)
    mad = statistics.median(abs(cost - median) for cost in costs) / statistics.NormalDist().inv_cdf(0.75)
    return [(median - cost) / mad for cost in costs]


def test_the_anomaly_index_equals_its_definition() -> None:
    values = np.random.default_rng(0).gamma(2, size=(50, 15))
    expected = np.array([literal_index(row) for row in values.tolist()])
    assert np.allclose(anomaly_index(values), expected, rtol=1e-12)
    assert np.allclose(anomaly_index(-values), -expected, rtol=1e-12)
    assert np.allclose(anomaly_index(3 * values + 5), expected, rtol=1e-9)  # units do not matter
    values[:, 4] = np.nan
    known = np.delete(values, 4, axis=1)
    index = anomaly_index(values)
    assert np.isnan(index[:, 4]).all()
    assert np.array_equal(np.delete(index, 4, axis=1), anomaly_index(known))


def test_without_a_median_deviation_the_mean_one_is_taken() -> None:
    values = [7.0] * 12 + [1.0, 6.0, 7.5]
    mean = statistics.fmean(abs(value - 7) for value in values)
    expected = [(7 - value) / (mean * math.sqrt(math.pi / 2)) for value in values]
    assert np.allclose(anomaly_index(values), expected)
    assert (anomaly_index([3.0] * 5) == 0).all()


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([1.0, 2.0, np.nan], "fewer than 3 classes have a statistic"),
        ([1.0, 2.0, np.inf], "a class has an infinite statistic; give the largest cost"),
    ],
)
def test_costs_without_an_anomaly_index_are_refused(values: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        anomaly_index(values)


@pytest.mark.parametrize(("classes", "rate"), [(3, 0.1), (6, 0.05), (15, 0.05), (15, 0.3), (100, 0.01)])
def test_clean_networks_are_flagged_at_the_stated_rate(classes: int, rate: float) -> None:
    networks = 20_000
    values = np.random.default_rng(77).normal(12, 3, (networks, classes))  # other draws, other units
    threshold = calibrated_threshold(classes, rate)
    flagged = (anomaly_index(values) > threshold).any(axis=1).mean()
    assert abs(flagged - rate) < 4 * np.sqrt(2 * rate * (1 - rate) / networks)  # both are simulated


def test_neural_cleanses_threshold_is_one_for_a_single_class() -> None:
    values = np.random.default_rng(5).standard_normal((5000, 15))
    flagged = anomaly_index(values) > NEURAL_CLEANSE_THRESHOLD
    assert 0.02 < flagged.mean() < 0.06  # of the classes
    assert 0.35 < flagged.any(axis=1).mean() < 0.45  # of the networks: as the documentation says


def test_thresholds_repeat_and_refuse_nonsense() -> None:
    assert calibrated_threshold(5, 0.05) == calibrated_threshold(5, 0.05)
    for classes, rate in ((2, 0.05), (5, 0.0), (5, 1.0)):
        with pytest.raises(ValueError, match="expected 3 classes or more, a rate between 0 and 1"):
            calibrated_threshold(classes, rate)


def test_ranks_are_never_better_than_deserved() -> None:
    values = [5.0, 1.0, 9.0, 5.0, np.nan]
    assert ranks(values) == [3, 1, 4, 3, 5]
    assert ranks([-value for value in values]) == [3, 4, 1, 3, 5]
    assert ranks([2.0] * 4) == [4] * 4


def ranks(values: list[float]) -> list[int]:
    """Ranks of classes in the order of their labels."""
    table = anomaly_table([str(label) for label in range(len(values))], values, NEURAL_CLEANSE_THRESHOLD)
    return table.sort_values("label")["rank"].tolist()


def test_the_table_puts_the_cheapest_class_first() -> None:
    names, values = ["a", "b", "c", "d", "e", "f"], [40.0, 38.0, 3.0, 44.0, np.nan, 41.0]
    table = anomaly_table(names, values, NEURAL_CLEANSE_THRESHOLD)
    assert table["class"].tolist() == ["c", "b", "a", "f", "d", "e"]
    assert table["label"].tolist() == [2, 1, 0, 5, 3, 4]
    assert table["flagged"].tolist() == [True, False, False, False, False, False]
    assert not anomaly_table(names, -np.array(values), NEURAL_CLEANSE_THRESHOLD)["flagged"].any()
    with pytest.raises(ValueError, match=r"2 classes and a statistic of shape \(6,\)"):
        anomaly_table(["a", "b"], values, 2.0)


def test_rates_of_a_backdoor_are_counted_by_hand() -> None:
    labels = np.array([0, 0, 1, 1, 2, 2])
    clean = np.array([0, 1, 1, 1, 2, 1])
    triggered = np.array([1, 1, 1, 0, 1, 2])
    table = backdoor_rates(labels, clean, triggered, 1)
    assert table["measure"].tolist() == [ACCURACY, SUCCESS, WITHOUT]
    assert table["share"].tolist() == [4 / 6, 3 / 4, 2 / 4]
    assert table["images"].tolist() == [6, 4, 4]
    assert ((table["lower"] < table["share"]) & (table["share"] < table["upper"])).all()
    only = backdoor_rates(np.array([1, 1]), np.array([1, 0]), np.array([1, 1]), 1)
    assert only["share"].isna().tolist() == [False, True, True]
    assert only[["lower", "upper", "images"]].to_numpy()[1].tolist() == [0, 1, 0]
