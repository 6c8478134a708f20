"""Many classifiers: the order costs seconds, counting stops at its bound, and small studies are counted as before."""

import time
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest

from stats import order
from stats.arrays import BoolArray, FloatArray
from stats.concept_lattice import Budget, are_nested, count_concepts, formal_concepts, is_chain, lattice_document
from stats.order import MOST_CONCEPTS, order_document, relative_rates, threshold_intervals, widest_chain


def contranominal(n: int) -> FloatArray:
    """Accuracies at which each classifier lacks one autoencoder, another one each: ``2 ** n`` concepts."""
    accuracy = np.full((n, n), 0.9)
    accuracy[np.arange(n), (np.arange(n) + 1) % n] = 0.3
    return accuracy


def random_accuracy(n: int, nested: bool = False) -> FloatArray:
    accuracy = np.random.default_rng(0).uniform(0.1, 0.9, (n, n))
    return np.sort(np.sort(accuracy, axis=0), axis=1) if nested else accuracy


def table(accuracy: FloatArray) -> pd.DataFrame:
    names = [f"net_{number}" for number in range(len(accuracy))]
    return pd.DataFrame(accuracy, names, names)


@pytest.mark.parametrize(
    ("accuracy", "seconds"),
    [
        (contranominal(24), 5),
        (contranominal(200), 5),
        (random_accuracy(60), 20),
        pytest.param(random_accuracy(200), 40, marks=pytest.mark.slow),
        pytest.param(random_accuracy(200, nested=True), 40, marks=pytest.mark.slow),
    ],
    ids=["contranominal 24", "contranominal 200", "random 60", "random 200", "nested 200"],
)
def test_many_classifiers_are_ordered_in_seconds(accuracy: FloatArray, seconds: float) -> None:
    start = time.perf_counter()
    document = order_document(table(accuracy))
    lattice_document(np.array([list(row.values()) for row in document["rrc"].values()]), list(document["rrc"]), 1e-9)
    assert time.perf_counter() - start < seconds
    assert any(entry["concepts"] == "more than 10,000" for entry in document["intervals"])
    assert all(entry["concepts"] is not None for entry in (document["intervals"][k] for k in document["shown"]))


@pytest.mark.parametrize("seed", range(5))
def test_every_threshold_of_sixteen_classifiers_is_counted_exactly(seed: int) -> None:
    rng = np.random.default_rng(seed)
    rrc = relative_rates((rng.integers(2, 10, (16, 16)) / 10).round(1))
    for interval in threshold_intervals(rrc):
        context = (rrc >= interval.middle).T
        concepts = formal_concepts(context)
        assert interval.concepts == min(len(concepts), MOST_CONCEPTS + 1)
        extents = [set(concept.extent) for concept in concepts]  # by falling size
        assert interval.chain == all(after < before for before, after in pairwise(extents))
        assert interval.chain == is_chain(context)


def test_counting_stops_at_its_bound_and_at_its_budget() -> None:
    contexts: list[BoolArray] = [np.random.default_rng(seed).random((10, 10)) < 0.7 for seed in range(20)]
    for context in contexts:
        count = len(formal_concepts(context))
        assert count_concepts(context, most=count) == count
        assert count_concepts(context, most=count - 1) == count
        budget = Budget(10_000)
        assert count_concepts(context, budget=budget) == count
        assert count_concepts(context, budget=Budget(10_000 - budget.intersections)) == count
        assert count_concepts(context, budget=Budget(10_000 - budget.intersections - 1)) is None


def test_a_spent_budget_leaves_narrow_ranges_uncounted_and_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    rrc = relative_rates(random_accuracy(12))
    whole = threshold_intervals(rrc)
    monkeypatch.setattr(order, "INTERSECTIONS", 3000)
    part = threshold_intervals(rrc)
    counted = [(one.upper - one.lower, one) for one in part if one.concepts is not None]
    left = [one.upper - one.lower for one in part if one.concepts is None]
    assert 0 < len(left) < len(part)
    assert max(left) <= min(width for width, one in counted if not one.chain)
    for before, after in zip(whole, part, strict=True):
        assert after.concepts in (before.concepts, None)
        assert (after.lower, after.upper, after.chain, after.order) == (
            before.lower, before.upper, before.chain, before.order,
        )  # fmt: skip
    assert widest_chain(part) is not None
    assert all(one.concepts is None for one in threshold_intervals(rrc, count=False))


def test_orders_that_are_not_shown_are_left_out_of_a_large_document(monkeypatch: pytest.MonkeyPatch) -> None:
    accuracy = table(random_accuracy(24, nested=True))
    whole = order_document(accuracy)
    monkeypatch.setattr(order, "MOST_NAMES", 8)
    part = order_document(accuracy)
    assert part["shown"] == whole["shown"]
    assert part["widest"] == whole["widest"]
    without = [k for k, entry in enumerate(part["intervals"]) if entry["chain"] and entry["order"] is None]
    assert without
    assert not set(without) & set(part["shown"])
    for k, (before, after) in enumerate(zip(whole["intervals"], part["intervals"], strict=True)):
        expected = before | {"order": None, "groups": len(before["order"])} if k in without else before
        assert after == expected


def test_sets_are_nested_if_each_pair_is() -> None:
    rng = np.random.default_rng(0)
    seen = set()
    for _ in range(300):
        masks = rng.integers(0, 16, 3).tolist()
        nested = all(a & b in (a, b) for a in masks for b in masks)
        assert are_nested(masks) == nested
        seen.add(nested)
    assert seen == {True, False}
