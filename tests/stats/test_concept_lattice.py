"""Formal concepts against the definition, written literally over all subsets of objects."""

import time
from itertools import combinations

import numpy as np
import pytest

from stats.concept_lattice import BoolArray, FormalConcept, count_concepts, cover_relation, formal_concepts, is_chain


def random_context(seed: int) -> BoolArray:
    rng = np.random.default_rng(seed)
    return rng.random(tuple(rng.integers(1, 7, size=2))) < rng.uniform(0.1, 0.95)


def brute_force_concepts(context: BoolArray) -> set[tuple[frozenset[int], frozenset[int]]]:
    """Apply both derivation operators to every subset of objects."""
    objects, attributes = range(context.shape[0]), range(context.shape[1])
    concepts = set()
    for size in range(len(objects) + 1):
        for subset in combinations(objects, size):
            intent = frozenset(i for i in attributes if all(context[j, i] for j in subset))
            extent = frozenset(j for j in objects if all(context[j, i] for i in intent))
            concepts.add((extent, intent))
    return concepts


@pytest.mark.parametrize("seed", range(60))
def test_concepts_equal_those_of_all_subsets(seed: int) -> None:
    context = random_context(seed)
    concepts = formal_concepts(context)
    pairs = [(frozenset(concept.extent), frozenset(concept.intent)) for concept in concepts]
    assert len(set(pairs)) == len(pairs)
    assert set(pairs) == brute_force_concepts(context)
    assert count_concepts(context) == len(concepts)
    assert all(list(indices) == sorted(indices) for c in concepts for indices in (c.extent, c.intent))


@pytest.mark.parametrize("seed", range(60))
def test_concepts_run_from_all_objects_to_all_attributes(seed: int) -> None:
    context = random_context(seed)
    concepts = formal_concepts(context)
    assert concepts[0].extent == tuple(range(context.shape[0]))
    assert concepts[-1].intent == tuple(range(context.shape[1]))
    sizes = [len(concept.extent) for concept in concepts]
    assert sizes == sorted(sizes, reverse=True)


@pytest.mark.parametrize("seed", range(60))
def test_hasse_edges_have_nothing_between(seed: int) -> None:
    concepts = formal_concepts(random_context(seed))
    np.random.default_rng(seed).shuffle(concepts)
    above = {
        (u, v)
        for u, upper in enumerate(concepts)
        for v, lower in enumerate(concepts)
        if set(lower.extent) < set(upper.extent)
    }
    reduction = {(u, v) for u, v in above if not any((u, w) in above and (w, v) in above for w in range(len(concepts)))}
    edges = cover_relation(concepts)
    assert edges == sorted(reduction)


@pytest.mark.parametrize("seed", range(60))
def test_chain_means_all_extents_comparable(seed: int) -> None:
    context = random_context(seed)
    extents = [extent for extent, _ in brute_force_concepts(context)]
    assert is_chain(context) == all(a <= b or b <= a for a, b in combinations(extents, 2))


@pytest.mark.parametrize("seed", range(20))
def test_nested_rows_are_a_chain_in_any_order(seed: int) -> None:
    rng = np.random.default_rng(seed)
    context = np.arange(6) < rng.integers(0, 7, size=(5, 1))
    context = context[:, rng.permutation(6)]
    assert is_chain(context)
    concepts = formal_concepts(context)
    assert cover_relation(concepts) == [(k, k + 1) for k in range(len(concepts) - 1)]


def test_known_lattice() -> None:
    """Two objects with one attribute each: the diamond."""
    concepts = formal_concepts(np.eye(2, dtype=bool))
    assert concepts == [
        FormalConcept((0, 1), ()),
        FormalConcept((0,), (0,)),
        FormalConcept((1,), (1,)),
        FormalConcept((), (0, 1)),
    ]
    assert cover_relation(concepts) == [(0, 1), (0, 2), (1, 3), (2, 3)]
    assert not is_chain(np.eye(2, dtype=bool))


def test_full_context_has_one_concept() -> None:
    context = np.ones((3, 4), dtype=bool)
    assert formal_concepts(context) == [FormalConcept((0, 1, 2), (0, 1, 2, 3))]
    assert cover_relation(formal_concepts(context)) == []
    assert is_chain(context)


def test_empty_context_has_top_and_bottom() -> None:
    context = np.zeros((3, 2), dtype=bool)
    assert formal_concepts(context) == [FormalConcept((0, 1, 2), ()), FormalConcept((), (0, 1))]
    assert is_chain(context)


def test_the_dual_context_has_the_same_concepts_turned_round() -> None:
    context = np.random.default_rng(3).random((24, 24)) < 0.5
    turned = {(concept.intent, concept.extent) for concept in formal_concepts(context.T)}
    assert {(concept.extent, concept.intent) for concept in formal_concepts(context)} == turned


def test_twenty_four_objects_are_quick() -> None:
    context = np.random.default_rng(0).random((24, 24)) < 0.6
    start = time.perf_counter()
    concepts = formal_concepts(context)
    edges = cover_relation(concepts)
    assert time.perf_counter() - start < 5
    assert len(concepts) > 500
    assert {upper for upper, _ in edges} == set(range(len(concepts) - 1))
    assert {lower for _, lower in edges} == set(range(1, len(concepts)))


@pytest.mark.parametrize("context", [np.ones((2, 2)), np.ones(3, dtype=bool)])
def test_a_context_is_a_boolean_table(context: BoolArray) -> None:
    for function in (formal_concepts, count_concepts, is_chain):
        with pytest.raises(ValueError, match=r"expected booleans of shape \(objects, attributes\): compare with"):
            function(context)
