"""Reduced labels: the autoencoders at and above a classifier's node are those that are sufficient for it."""

import numpy as np
import pytest

from stats.concept_lattice import lattice_document


@pytest.mark.parametrize("seed", range(30))
def test_labels_at_and_above_a_node_give_the_context_back(seed: int) -> None:
    random = np.random.default_rng(seed)
    n = int(random.integers(1, 7))
    names, rrc = [f"net{i}" for i in range(n)], random.random((n, n))
    document = lattice_document(rrc, names, 0.5)
    above: dict[int, set[int]] = {}
    for node in range(len(document["nodes"])):  # every node stands before the nodes below it
        upper = [one for one, other in document["covers"] if other == node]
        above[node] = {node}.union(*(above[one] for one in upper))
    named = [name for node in document["nodes"] for name in node["classifiers"]]
    assert sorted(named) == names
    for position, node in enumerate(document["nodes"]):
        sufficient = {name for other in above[position] for name in document["nodes"][other]["autoencoders"]}
        for name in node["classifiers"]:
            assert sufficient == {names[i] for i in range(n) if rrc[i, names.index(name)] >= 0.5}
