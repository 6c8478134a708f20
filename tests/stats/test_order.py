"""The order relation against exact fractions, known answers and invariances; bad tables against their messages."""

import json
import time
from fractions import Fraction
from itertools import combinations, pairwise
from typing import Any

import numpy as np
import pandas as pd
import pytest

from stats.accuracy_table import check_accuracies
from stats.arrays import FloatArray
from stats.order import (
    ThresholdInterval,
    order_document,
    relative_rates,
    shown_intervals,
    threshold_intervals,
    widest_chain,
)

# Autoencoder c keeps enough for every classifier, b for a and b, a only for a; two ratios are .15 and .24, one is .25.
PLANTED = np.array([[0.4, 0.1, 0.06], [0.4, 0.5, 0.12], [0.4, 0.5, 0.8]])


def random_counts(seed: int) -> tuple[np.ndarray[Any, Any], int]:
    """Correct answers out of ``images``: few images make equal ratios likely."""
    rng = np.random.default_rng(seed)
    n, images = int(rng.integers(1, 7)), int(rng.choice([10, 30, 1000]))
    counts = rng.integers(0, images + 1, size=(n, n))
    if seed % 2:  # nearly nested rows, so that chains occur
        counts = np.sort(np.sort(counts, axis=0), axis=1)
    np.fill_diagonal(counts, rng.integers(1, images + 1, size=n))
    return counts, images


def exact_ratios(counts: np.ndarray[Any, Any]) -> list[list[Fraction]]:
    n = len(counts)
    return [[Fraction(int(counts[i, j]), int(min(counts[i, i], counts[j, j]))) for j in range(n)] for i in range(n)]


def served_by(ratios: list[list[Fraction]], threshold: Fraction) -> list[frozenset[int]]:
    n = len(ratios)
    return [frozenset(i for i in range(n) if ratios[i][j] >= threshold) for j in range(n)]


def brute_force_extents(intents: list[frozenset[int]]) -> set[frozenset[int]]:
    """Close every subset of classifiers by the two derivations."""
    everyone = range(len(intents))
    extents = set()
    for size in range(len(intents) + 1):
        for subset in combinations(everyone, size):
            shared = frozenset(everyone).intersection(*(intents[j] for j in subset))
            extents.add(frozenset(j for j in everyone if shared <= intents[j]))
    return extents


def assert_interval_is_true_at(interval: ThresholdInterval, intents: list[frozenset[int]]) -> None:
    extents = brute_force_extents(intents)
    assert interval.concepts == len(extents)
    assert interval.chain == all(a <= b or b <= a for a, b in combinations(extents, 2))
    assert (interval.order is not None) == interval.chain
    if interval.order is not None:
        position = {j: number for number, group in enumerate(interval.order) for j in group}
        assert sorted(position) == list(range(len(intents)))
        for j, k in combinations(range(len(intents)), 2):
            assert (position[j] < position[k]) == (intents[j] < intents[k])
            assert (position[j] == position[k]) == (intents[j] == intents[k])


@pytest.mark.parametrize("seed", range(40))
def test_intervals_agree_with_exact_fractions_at_sampled_thresholds(seed: int) -> None:
    counts, images = random_counts(seed)
    ratios = exact_ratios(counts)
    cuts = [Fraction(0), *sorted({ratio for row in ratios for ratio in row if ratio > 0})]
    intervals = threshold_intervals(relative_rates(counts / images))
    assert [interval.lower for interval in intervals] == pytest.approx([float(cut) for cut in cuts[:-1]], rel=1e-12)
    assert [interval.upper for interval in intervals] == pytest.approx([float(cut) for cut in cuts[1:]], rel=1e-12)
    for interval, lower, upper in zip(intervals, cuts[:-1], cuts[1:], strict=True):
        for share in (Fraction(1, 10**6), Fraction(1, 3), Fraction(9, 10), Fraction(1)):  # 1: the upper end is included
            assert_interval_is_true_at(interval, served_by(ratios, lower + share * (upper - lower)))


@pytest.mark.parametrize("seed", range(40))
def test_each_end_changes_what_serves_whom(seed: int) -> None:
    """The lower end belongs to the interval below: one more pair holds there."""
    counts, images = random_counts(seed)
    rrc = relative_rates(counts / images)
    intervals = threshold_intervals(rrc)
    assert intervals[0].lower == 0
    assert intervals[-1].upper == rrc.max()
    for below, above in pairwise(intervals):
        assert below.upper == above.lower
        ratios = exact_ratios(counts)
        between = Fraction(above.lower) + (Fraction(above.upper) - Fraction(above.lower)) / 10**6
        lower_end = min(
            (ratio for row in ratios for ratio in row), key=lambda ratio: abs(ratio - Fraction(above.lower))
        )
        assert_interval_is_true_at(below, served_by(ratios, lower_end))
        assert sum(map(len, served_by(ratios, lower_end))) > sum(map(len, served_by(ratios, between)))


def test_planted_chain() -> None:
    intervals = threshold_intervals(relative_rates(PLANTED))
    assert [interval.upper for interval in intervals] == pytest.approx([0.15, 0.24, 0.25, 1.0])
    assert [interval.lower for interval in intervals] == [0.0, *(interval.upper for interval in intervals[:-1])]
    assert [interval.concepts for interval in intervals] == [1, 2, 2, 3]
    assert all(interval.chain for interval in intervals)
    assert [interval.order for interval in intervals] == [
        ((0, 1, 2),),
        ((2,), (0, 1)),
        ((2,), (0, 1)),
        ((2,), (1,), (0,)),
    ]
    assert widest_chain(intervals) == intervals[-1]


def test_order_document_of_the_planted_chain() -> None:
    document = order_document(pd.DataFrame(PLANTED, index=list("abc"), columns=list("abc")))
    assert json.loads(json.dumps(document, allow_nan=False)) == document
    assert list(document) == ["rrc", "intervals", "widest", "shown"]
    assert document["rrc"]["a"] == {"a": 1.0, "b": 0.1 / 0.4, "c": 0.06 / 0.4}
    assert document["intervals"][0] == {
        "from": 0.0,
        "to": 0.06 / 0.4,
        "concepts": 1,
        "chain": True,
        "order": [["a", "b", "c"]],
    }
    assert document["intervals"][-1]["order"] == [["c"], ["b"], ["a"]]
    assert type(document["intervals"][-1]["chain"]) is bool
    assert type(document["intervals"][-1]["to"]) is float


def test_order_document_holds_the_widest_chain_and_what_a_table_shows() -> None:
    table = pd.DataFrame(PLANTED, index=list("abc"), columns=list("abc"))
    document, intervals = order_document(table), threshold_intervals(relative_rates(PLANTED))
    chain = widest_chain(intervals)
    assert chain is not None
    assert document["widest"] == document["intervals"][intervals.index(chain)]
    assert document["shown"] == shown_intervals(intervals)
    assert (
        order_document(pd.DataFrame([[0.5, 0.0], [0.0, 0.5]], index=["x", "y"], columns=["x", "y"]))["widest"] is None
    )


def test_order_document_reports_no_order_without_a_chain() -> None:
    document = order_document(pd.DataFrame([[0.5, 0.1], [0.2, 0.5]], index=["x", "y"], columns=["x", "y"]))
    last = document["intervals"][-1]
    assert (last["concepts"], last["chain"], last["order"]) == (4, False, None)


@pytest.mark.parametrize("seed", range(10))
def test_permuted_names_permute_the_order(seed: int) -> None:
    counts, images = random_counts(seed)
    names = list("uvwxyz")[: len(counts)]
    table = pd.DataFrame(counts / images, index=names, columns=names)
    shuffled = [names[k] for k in np.random.default_rng(seed).permutation(len(names))]
    plain, permuted = order_document(table), order_document(table.loc[names, shuffled])
    assert permuted["rrc"] == plain["rrc"]
    assert list(permuted["rrc"]) == shuffled
    for interval in [*plain["intervals"], *permuted["intervals"]]:
        interval["order"] = interval["order"] and [set(group) for group in interval["order"]]
    assert permuted["intervals"] == plain["intervals"]


@pytest.mark.parametrize("seed", range(10))
def test_ratios_are_those_of_exact_fractions(seed: int) -> None:
    counts, images = random_counts(seed)
    rrc = relative_rates(counts / images)
    np.testing.assert_allclose(rrc, [[float(ratio) for ratio in row] for row in exact_ratios(counts)], rtol=1e-14)
    np.testing.assert_array_equal(rrc.diagonal(), 1.0)


@pytest.mark.parametrize("factor", [1.0, 0.7, 0.01])
def test_a_common_factor_leaves_ratios_and_orders(factor: float) -> None:
    counts, images = random_counts(5)
    plain = relative_rates(counts / images)
    scaled = relative_rates(counts / images * factor)
    np.testing.assert_allclose(scaled, plain, rtol=1e-14)
    assert [i.order for i in threshold_intervals(scaled)] == [i.order for i in threshold_intervals(plain)]


def test_ratios_equal_but_for_rounding_are_one_cut() -> None:
    rrc = relative_rates(np.array([[1.0, 0.7, 0.07], [0.7, 1.0, 0.07], [0.9, 0.9, 0.1]]))
    assert rrc[0, 1] != rrc[0, 2]
    intervals = threshold_intervals(rrc)
    assert [interval.upper for interval in intervals] == [max(rrc[0, 1], rrc[0, 2]), 1.0, 9.0]
    # Up to .7 all serve all; up to 1 each has its own and the third's; above, two have the third's alone, one none.
    assert [interval.concepts for interval in intervals] == [1, 4, 3]
    assert intervals[0].order == ((0, 1, 2),)


def test_nearby_but_different_ratios_stay_apart() -> None:
    rrc = np.array([[1.0, 0.5], [0.5 + 1e-9, 1.0]])
    assert [interval.upper for interval in threshold_intervals(rrc)] == [0.5, 0.5 + 1e-9, 1.0]


def test_ratios_of_zero_are_no_cut() -> None:
    intervals = threshold_intervals(np.array([[1.0, 0.0], [0.5, 1.0]]))
    assert [(i.lower, i.upper, i.order) for i in intervals] == [(0.0, 0.5, ((1,), (0,))), (0.5, 1.0, None)]
    assert threshold_intervals(np.zeros((2, 2))) == []


def test_widest_chain_prefers_one_that_tells_groups_apart() -> None:
    single = ThresholdInterval(0.0, 0.6, 1, True, ((0, 1),))
    narrow = ThresholdInterval(0.6, 0.7, 2, True, ((1,), (0,)))
    wide = ThresholdInterval(0.7, 1.0, 4, False, None)
    assert widest_chain([single, narrow, wide]) == narrow
    assert widest_chain([single, wide]) == single
    assert widest_chain([wide]) is None
    assert widest_chain(threshold_intervals(np.eye(3))) is None


def test_the_lowest_of_equally_wide_chains_wins_despite_rounding() -> None:
    chains = [
        ThresholdInterval(low, high, 2, True, ((0,), (1,))) for low, high in [(0.2, 0.3), (0.3, 0.4), (0.4, 0.45)]
    ]
    assert 0.3 - 0.2 != 0.4 - 0.3
    assert widest_chain(chains) == chains[0]


def test_shown_intervals_are_the_widest_and_hold_the_chain() -> None:
    random = np.random.default_rng(0)
    quality, needs = np.sort(random.uniform(0.5, 0.9, 24)), random.uniform(0, 1, 24)
    accuracy = quality * (1 - 0.6 * (needs[None] - needs[:, None]).clip(0)) + random.normal(0, 0.01, (24, 24))
    intervals = threshold_intervals(relative_rates(accuracy.clip(0.01, 0.99)))
    shown = shown_intervals(intervals, 20)
    widths = [interval.upper - interval.lower for interval in intervals]
    assert shown == sorted(shown)
    assert len(shown) == 20
    chain = widest_chain(intervals)
    assert chain is not None
    assert intervals.index(chain) in shown
    hidden = max(widths[number] for number in set(range(len(widths))) - set(shown))
    assert hidden <= min(widths[number] for number in shown if intervals[number] != chain)
    assert shown_intervals(intervals, 10_000) == list(range(len(intervals)))
    assert shown_intervals([]) == []


def test_twenty_four_classifiers_are_quick() -> None:
    accuracy = np.random.default_rng(0).uniform(0.1, 0.9, size=(24, 24))
    start = time.perf_counter()
    intervals = threshold_intervals(relative_rates(accuracy))
    assert time.perf_counter() - start < 8
    assert len(intervals) == 24 * 23 + 1
    assert max(interval.concepts or 0 for interval in intervals) > 1000
    assert all(interval.concepts for interval in intervals)


@pytest.mark.parametrize(
    ("accuracy", "message"),
    [
        (np.ones((2, 3)), r"shape \(2, 3\); expected one row \(autoencoder\) per column"),
        (np.ones((0, 0)), r"shape \(0, 0\); expected one row"),
        (np.array([[0.5, np.nan], [0.5, 0.5]]), r"nan in row '0', column '1' is outside \[0, 1\]; write accuracies"),
        (np.array([[0.5, 0.1], [0.1, 0.0]]), r"accuracy of '1' on its own autoencoder is 0.*leave this classifier out"),
        (np.array([[0.5, 0.1], [0.1, 1e-320]]), "own autoencoder is 0"),
    ],
)
def test_impossible_accuracies_are_refused(accuracy: FloatArray, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        check_accuracies(accuracy, ["0", "1"], "accuracy")


@pytest.mark.parametrize(
    ("rrc", "message"),
    [
        (np.ones((2, 3)), "not square; pass the result of relative_rates"),
        (np.array([[1.0, -0.1], [0.2, 1.0]]), "negative or non-finite value; pass the result"),
        (np.array([[1.0, np.inf], [0.2, 1.0]]), "negative or non-finite value; pass the result"),
    ],
)
def test_impossible_ratios_are_refused(rrc: FloatArray, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        threshold_intervals(rrc)


@pytest.mark.parametrize(
    ("rows", "columns", "message"),
    [
        ("ab", "ac", r"no row \(autoencoder\) for the column c; no column \(classifier\) for the row b; name rows"),
        ("aab", "abb", "more than one row or column named a; .*each name once"),
    ],
)
def test_order_document_refuses_other_names_in_rows(rows: str, columns: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        order_document(pd.DataFrame(np.full((len(rows), len(columns)), 0.5), index=list(rows), columns=list(columns)))
