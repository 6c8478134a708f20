"""Formal concept analysis: the concepts of a context, their Hasse diagram, and whether they form a chain.

A context says which object has which attribute. A concept is a pair (extent, intent): all objects that share the
intent's attributes, and all attributes that the extent's objects share. In arXiv 1803.08337 the objects are classifiers
and the attributes are the autoencoders: a classifier has the attribute if the reconstructions keep enough for it.

Source: B. Ganter, R. Wille, "Formal Concept Analysis", Springer 1999, chapters 1 and 2.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from stats.arrays import BoolArray, FloatArray


@dataclass(frozen=True)
class FormalConcept:
    """One formal concept.

    Attributes:
        extent: Ascending indices of the objects that have every attribute of ``intent``.
        intent: Ascending indices of the attributes that every object of ``extent`` has.

    Example:
        >>> FormalConcept(extent=(0, 2), intent=(1,)).extent
        (0, 2)
    """

    extent: tuple[int, ...]
    intent: tuple[int, ...]


def formal_concepts(context: BoolArray) -> list[FormalConcept]:
    r"""List every formal concept of a context, from the top (all objects) down to the bottom (all attributes).

    .. math::
        (A, B) \quad \text{with} \quad A = \{ g : (g, m) \in I \; \forall m \in B \}, \quad
        B = \{ m : (g, m) \in I \; \forall g \in A \}

    where :math:`A` is the extent, a set of objects :math:`g`, :math:`B` the intent, a set of attributes :math:`m`, and
    :math:`(g, m) \in I` says that the object has the attribute. The top and the bottom are always among them, once if
    they are the same. There can be up to ``2 ** min(objects, attributes)`` concepts; in practice they are few.

    Args:
        context: Booleans of shape ``(objects, attributes)``, true where the object has the attribute.

    Returns:
        Concepts by falling size of the extent; ties by the extent's indices.

    Raises:
        ValueError: If ``context`` is not a two-dimensional boolean array.

    Source: Ganter & Wille, section 1.1; every intent is an intersection of object intents, the empty one included.

    Example:
        >>> context = np.array([[True, False], [True, True]])
        >>> [(concept.extent, concept.intent) for concept in formal_concepts(context)]
        [((0, 1), (0,)), ((1,), (0, 1))]
    """
    rows = _object_intents(context)
    concepts = [
        FormalConcept(
            extent=tuple(j for j, row in enumerate(rows) if row & intent == intent),
            intent=tuple(i for i in range(context.shape[1]) if intent >> i & 1),
        )
        for intent in _closed_intents(rows, context.shape[1])
    ]
    return sorted(concepts, key=lambda concept: (-len(concept.extent), concept.extent))


@dataclass
class Budget:
    """How many intersections of attribute sets may still be computed; counting stops when there are none left.

    Attributes:
        intersections: At least 0.

    Example:
        >>> Budget(intersections=10).intersections
        10
    """

    intersections: int


def count_concepts(context: BoolArray, most: int | None = None, budget: Budget | None = None) -> int | None:
    r"""Count the formal concepts of a context without listing their extents.

    .. math:: \left| \left\{ \bigcap_{g \in A} B_g : A \subseteq G \right\} \right|

    where :math:`G` is the set of objects and :math:`B_g` the set of attributes of object :math:`g`.

    Args:
        context: Booleans of shape ``(objects, attributes)``.
        most: Counting stops beyond this number; ``None`` counts them all, and there can be ``2 ** objects``.
        budget: Is lowered by the intersections that were computed; ``None`` is no limit.

    Returns:
        ``len(formal_concepts(context))``, at least 1; ``most + 1`` if there are more than ``most``; ``None`` if the
        budget was too small.

    Raises:
        ValueError: If ``context`` is not a two-dimensional boolean array.

    Example:
        >>> count_concepts(np.eye(2, dtype=bool)), count_concepts(~np.eye(40, dtype=bool), most=10_000)
        (4, 10001)
    """
    rows = _object_intents(context)
    intents = {(1 << context.shape[1]) - 1}
    for row in sorted(set(rows), key=int.bit_count):
        if budget is not None:
            if budget.intersections < len(intents):
                return None
            budget.intersections -= len(intents)
        intents |= {intent & row for intent in intents}  # grows to at most twice its size
        if most is not None and len(intents) > most:
            return most + 1
    return len(intents)


def is_chain(context: BoolArray) -> bool:
    r"""Tell whether the concept lattice is a chain: of any two concepts one lies above the other.

    .. math:: B_g \subseteq B_h \; \text{or} \; B_h \subseteq B_g \quad \forall g, h

    where :math:`B_g` is the set of attributes of object :math:`g`. This is equivalent, and lists no concept.

    Args:
        context: Booleans of shape ``(objects, attributes)``.

    Returns:
        True for a chain. A lattice of one concept is a chain.

    Raises:
        ValueError: If ``context`` is not a two-dimensional boolean array.

    Source: arXiv 1803.08337, where a chain means that the classifiers are ordered by the signal they need.

    Example:
        >>> is_chain(np.array([[True, False], [True, True]])), is_chain(np.eye(2, dtype=bool))
        (True, False)
    """
    return are_nested(_object_intents(context))


def are_nested(masks: Iterable[int]) -> bool:
    """Whether of any two sets one contains the other.

    Args:
        masks: The sets as bit masks.

    Example:
        >>> are_nested([0b11, 0b1]), are_nested([0b10, 0b01])
        (True, False)
    """
    ascending = sorted(masks, key=int.bit_count)
    return all(smaller & larger == smaller for smaller, larger in pairwise(ascending))


def cover_relation(concepts: Sequence[FormalConcept]) -> list[tuple[int, int]]:
    """List the edges of the Hasse diagram: the transitive reduction of "lies above".

    Args:
        concepts: Distinct concepts of one context, in any order.

    Returns:
        Ascending pairs ``(upper, lower)`` of positions in ``concepts``: ``lower``'s extent is strictly inside
        ``upper``'s, and no third concept lies between them.

    Example:
        >>> cover_relation(formal_concepts(np.eye(2, dtype=bool)))
        [(0, 1), (0, 2), (1, 3), (2, 3)]
    """
    extents = [sum(1 << j for j in concept.extent) for concept in concepts]
    downwards = sorted(range(len(concepts)), key=lambda k: -len(concepts[k].extent))
    edges = []
    for position, upper in enumerate(downwards):
        covers: list[int] = []
        for lower in downwards[position + 1 :]:
            inside = extents[lower] & extents[upper] == extents[lower]
            # larger extents come first, so whatever lies between is below a cover that is already in the list
            if inside and all(extents[lower] & extents[cover] != extents[lower] for cover in covers):
                covers.append(lower)
        edges += [(upper, lower) for lower in covers]
    return sorted(edges)


def lattice_document(rrc: FloatArray, names: Sequence[str], threshold: float) -> dict[str, Any]:
    """The concept lattice of the classifiers: autoencoder i is an attribute of classifier j if RRC(i, j) reaches t.

    Labels are reduced: a classifier is named at the lowest node that has it, an autoencoder at the highest.

    Args:
        rrc: Relative rates of change, ``(n, n)``, rows autoencoders, columns classifiers.
        names: The n classifiers.
        threshold: The threshold t, above 0.

    Returns:
        ``threshold``; ``nodes``: for each concept, from the top down, the names of its ``classifiers`` and of its
        ``autoencoders``; ``covers``: positions of neighbouring nodes, the upper one first.

    Source: B. Ganter, R. Wille, "Formal Concept Analysis", Springer 1999, section 1.1 (reduced labelling).

    Example:
        >>> lattice_document(np.array([[1.0, 0.9], [0.4, 1.0]]), ["a", "b"], 0.5)["nodes"]
        [{'classifiers': ['a'], 'autoencoders': ['a']}, {'classifiers': ['b'], 'autoencoders': ['b']}]
    """
    concepts = formal_concepts((rrc >= threshold).T)
    covers = cover_relation(concepts)
    lower, higher = [set[int]() for _ in concepts], [set[int]() for _ in concepts]
    # reduced: what a lower node has (classifiers) or a higher one has (autoencoders) is not named again; the nodes next
    # to it have all that those beyond them have
    for above, below in covers:
        lower[above].update(concepts[below].extent)
        higher[below].update(concepts[above].intent)
    nodes = [
        {
            "classifiers": [names[j] for j in concept.extent if j not in lower[position]],
            "autoencoders": [names[i] for i in concept.intent if i not in higher[position]],
        }
        for position, concept in enumerate(concepts)
    ]
    return {"threshold": threshold, "nodes": nodes, "covers": [list(pair) for pair in covers]}


def _object_intents(context: BoolArray) -> list[int]:
    """Each object's attributes as a bit mask: bit ``i`` is attribute ``i``."""
    if context.ndim != 2 or context.dtype != np.bool_:
        raise ValueError(
            f"context has shape {context.shape} and dtype {context.dtype}; expected booleans of shape "
            "(objects, attributes): compare with a threshold first"
        )
    return [int.from_bytes(bits.tobytes(), "little") for bits in np.packbits(context, axis=1, bitorder="little")]


def _closed_intents(rows: Sequence[int], attributes: int) -> set[int]:
    """Close the objects' intents under intersection, starting from all attributes."""
    intents = {(1 << attributes) - 1}
    for row in set(rows):
        intents |= {intent & row for intent in intents}
    return intents
