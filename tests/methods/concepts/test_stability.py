"""Concepts of several seeds matched, planted attributes found, and tables of super-classes read."""

from itertools import permutations
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import rankdata  # type: ignore[import-untyped]
from sklearn.metrics import roc_auc_score

from methods.concepts.attribute_auroc import attribute_table, aurocs, indicators
from methods.concepts.stability import cosines, matching, reordered, stability
from methods.concepts.superclasses import read_superclasses, superclass_labels
from tests.methods.concepts.made_concepts import made_record

CLASSES = ["cat", "dog", "car"]


def test_the_same_concepts_in_another_order_and_scale_are_found_again() -> None:
    _, stacked = made_record().scaled()
    generator = np.random.default_rng(1)
    count = len(stacked[0])
    order, scale = generator.permutation(count), 10.0 ** generator.uniform(-3, 3, (count, 1))
    other = [(part * scale)[order] for part in stacked]
    found = stability(stacked, [other], 0)
    assert np.allclose(found.cosine, 1)
    assert np.array_equal(order[matching(cosines(stacked, other))], np.arange(count))
    assert np.allclose(found.matrix, cosines(stacked, stacked))
    assert (found.chance < 0.95).all()


def test_a_match_is_the_best_of_all_assignments() -> None:
    similar = np.random.default_rng(0).random((5, 5))
    best = max(permutations(range(5)), key=lambda order: sum(similar[row, column] for row, column in enumerate(order)))
    assert matching(similar).tolist() == list(best)
    assert np.array_equal(reordered(similar), similar[:, list(best)])
    fewer = reordered(similar[:, :3])  # two concepts of five have no partner
    assert (fewer.diagonal() == 0).sum() == 2


def test_unrelated_concepts_are_as_near_as_chance() -> None:
    generator = np.random.default_rng(0)
    made = [[generator.exponential(size=(6, 40)), generator.exponential(size=(6, 50))] for _ in range(6)]
    found = stability(made[0], made[1:], 0)
    assert found.cosine.mean() == pytest.approx(found.chance.mean(), abs=0.02)
    again = stability(made[0], made[1:], 0)
    assert np.array_equal(found.chance, again.chance)
    assert stability(made[0], [], 0).matrix.shape == (0, 0)


def test_a_dead_concept_matches_nothing() -> None:
    _, stacked = made_record().scaled()
    for part in stacked:
        part[2] = 0
    assert stability(stacked, [stacked], 0).cosine[2] == 0


def test_areas_are_those_of_scikit_learn() -> None:
    generator = np.random.default_rng(0)
    factor, members = generator.integers(0, 4, (50, 3)), generator.random((50, 2)) < 0.4
    expected = [[roc_auc_score(members[:, value], factor[:, r]) for r in range(3)] for value in range(2)]
    assert np.allclose(aurocs(rankdata(factor, axis=0), members), expected)


def test_planted_attributes_are_found_and_random_ones_are_not() -> None:
    generator = np.random.default_rng(0)
    planted, noise = generator.integers(0, 3, 200), generator.integers(0, 2, 200)
    factor = generator.random((200, 7)) + 0.5 * (planted[:, None] == np.array([9, 2, 9, 0, 1, 9, 9]))
    table = attribute_table(factor, np.stack([planted, noise], axis=1), ["shape", "nothing"], 0, 100)
    assert table["concept"].tolist()[:3] == [3, 4, 1]
    assert table["concept"].is_unique
    found = table["auroc"] > table["null_upper"]
    assert found.tolist() == [True] * 3 + [False] * 2
    moved = attribute_table(factor[:, ::-1] * 7, np.stack([planted, noise], axis=1), ["shape", "nothing"], 0, 100)
    assert np.allclose(moved["auroc"], table["auroc"])
    assert (6 - moved["concept"]).tolist() == table["concept"].tolist()


def test_attributes_that_always_agree_are_one_and_constant_ones_none() -> None:
    values = np.array([[0, 0, 5, 1], [1, 1, 5, 0], [1, 1, 5, 1]])
    known = indicators(values, ["a", "b", "constant", "c"])
    assert known.names == ["a = b", "a = b", "c", "c"]
    assert known.values == [0, 1, 0, 1]
    with pytest.raises(ValueError, match="no attribute varies"):
        indicators(values[:, 2:3], ["constant"])
    with pytest.raises(ValueError, match="4\\) and 1 names"):
        indicators(values, ["a"])


def test_values_left_over_have_no_concept() -> None:
    values = np.arange(12)[:, None] % 4
    table = attribute_table(np.random.default_rng(0).random((12, 2)), values, ["a"], 0, 5)
    assert (table["concept"] == -1).sum() == table["auroc"].isna().sum() == 2


def test_super_classes_are_read_in_the_order_of_the_classes(tmp_path: Path) -> None:
    path = tmp_path / "groups.csv"
    path.write_text("class,superclass\ncar,thing\ncat,animal\ndog, animal\n")
    found = read_superclasses(path, CLASSES)
    assert found == ["animal", "animal", "thing"]
    labels, names = superclass_labels(np.array([2, 0, 1]), found)
    assert names == ["animal", "thing"]
    assert labels.tolist() == [1, 0, 0]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("name,group\ncat,a\n", "has no column class: its first line must be class,superclass"),
        ("class,superclass\ncat,a\ndgo,a\ncar,b\n", "'dgo' is not a class of the data; did you mean dog?"),
        ("class,superclass\ncat,a\nzebra,a\n", "'zebra' is not a class of the data; the data has cat, dog, car"),
        ("class,superclass\ncat,a\ncat,b\n", "names the class 'cat' twice"),
        ("class,superclass\ncat,a\n", "has no super-class for dog, car"),
        ("class,superclass\ncat,a\ndog,\ncar,b\n", "the class 'dog' has no super-class"),
    ],
)
def test_a_table_that_does_not_fit_is_refused(text: str, told: str, tmp_path: Path) -> None:
    path = tmp_path / "groups.csv"
    path.write_text(text)
    with pytest.raises(ValueError, match=told):
        read_superclasses(path, CLASSES)


def test_a_table_that_is_not_there_is_named_with_its_key(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"concepts.superclasses=\S+ does not exist"):
        read_superclasses(tmp_path / "none.csv", CLASSES)
