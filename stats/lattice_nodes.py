"""The concept lattice at one threshold as a document: its nodes with reduced labels, and which are neighbours."""

from collections.abc import Sequence
from typing import Any

from stats.arrays import FloatArray
from stats.concept_lattice import cover_relation, formal_concepts


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
        >>> import numpy as np
        >>> lattice_document(np.array([[1.0, 0.9], [0.4, 1.0]]), ["a", "b"], 0.5)["nodes"]
        [{'classifiers': ['a'], 'autoencoders': ['a']}, {'classifiers': ['b'], 'autoencoders': ['b']}]
    """
    concepts = formal_concepts((rrc >= threshold).T)
    nodes = []
    for concept in concepts:
        classifiers, autoencoders = set(concept.extent), set(concept.intent)
        for other in concepts:
            if set(other.extent) < set(concept.extent):
                classifiers -= set(other.extent)
            if set(other.intent) < set(concept.intent):
                autoencoders -= set(other.intent)
        nodes.append(
            {
                "classifiers": [names[j] for j in sorted(classifiers)],
                "autoencoders": [names[i] for i in sorted(autoencoders)],
            }
        )
    return {"threshold": threshold, "nodes": nodes, "covers": [list(pair) for pair in cover_relation(concepts)]}
