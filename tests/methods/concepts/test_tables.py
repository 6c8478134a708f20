"""Read-outs of concepts against scikit-learn, scipy and literal loops; none depends on scale or order."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.stats import entropy as scipy_entropy  # type: ignore[import-untyped]
from sklearn.metrics import normalized_mutual_info_score, roc_auc_score
from sklearn.neighbors import NearestNeighbors

from methods.concepts import tables
from methods.concepts.agreement import label_agreement, purity
from methods.concepts.classes import (
    class_entropy,
    class_mass,
    cluster_entropy,
    cluster_entropy_difference,
    entropy_difference,
    permutation_null,
)
from methods.concepts.clusters import NOWHERE, image_clusters, layer_profile, neuron_clusters
from methods.concepts.controls import kmeans_factor, pca_factor
from methods.concepts.files import Array, ConceptFile
from methods.concepts.neighbours import impurity, impurity_bins, neighbour_accuracy, neighbour_votes
from tests.methods.concepts.made_concepts import SUPERCLASSES, made_file

DEAD = 3


@pytest.fixture(scope="module")
def file() -> ConceptFile:
    return made_file(dead=DEAD)


def rescaled(file: ConceptFile, seed: int = 5) -> tuple[ConceptFile, Array]:
    """The same factorisation with its components in another scale and order."""
    generator = np.random.default_rng(seed)
    count = file.image_factor.shape[1]
    scale, order = 10.0 ** generator.uniform(-3, 3, count), generator.permutation(count)
    return replace(
        file,
        image_factor=(file.image_factor * scale)[:, order],
        heldout_image_factor=(file.heldout_image_factor * scale)[:, order],
        factors=[(factor / scale[:, None])[order] for factor in file.factors],
    ), order


def test_nothing_depends_on_the_scale_or_the_order_of_concepts(file: ConceptFile) -> None:
    other, order = rescaled(file)
    one, two = (tables.concepts_table(which, SUPERCLASSES, 0, 50) for which in (file, other))
    pd.testing.assert_frame_equal(
        one.iloc[order].drop(columns="concept").reset_index(drop=True), two.drop(columns="concept"), rtol=1e-9
    )
    first, second = (tables.neurons_table(which) for which in (file, other))
    assert np.array_equal(first["concept"], order[second["concept"]])
    assert np.allclose(first["selectivity"], second["selectivity"])
    wide = [
        table.pivot(index="concept", columns="block", values="share").to_numpy()
        for table in map(tables.profile_table, (file, other))
    ]
    assert np.allclose(wide[0][order], wide[1])
    rows = [
        tables.summary_row(which.scaled()[0], which.labels, which.predicted, SUPERCLASSES, tables.held(which), 0, 50)
        for which in (file, other)
    ]
    assert rows[0] == pytest.approx(rows[1])
    pd.testing.assert_frame_equal(tables.impurity_table(file), tables.impurity_table(other))


def test_the_class_entropy_is_scipys(file: ConceptFile) -> None:
    shares, present = class_mass(file.image_factor, file.labels)
    for concept, column in enumerate(file.image_factor.T):
        literal = [column[file.labels == label].sum() for label in range(len(file.classes))]
        if concept == DEAD:
            assert not shares[concept].any()
            continue
        assert np.allclose(shares[concept], np.array(literal) / sum(literal))
        expected = scipy_entropy(literal) / np.log(len(present))
        assert class_entropy(file.image_factor, file.labels)[concept] == pytest.approx(expected)


def test_a_concept_of_one_class_has_no_entropy_and_an_even_one_has_all() -> None:
    labels = np.repeat([4, 7, 9], 5)  # labels need not be dense
    factor = np.stack([labels == 7, np.ones(15), np.zeros(15)], axis=1)
    found = class_entropy(factor, labels)
    assert found[:2] == pytest.approx([0, 1])
    assert np.isnan(found[2])
    assert np.isnan(class_entropy(factor, np.zeros(15))).all()  # a single class


def test_permuted_labels_are_the_null_and_planted_ones_stand_out(file: ConceptFile) -> None:
    found = permutation_null(file.image_factor, file.labels, 199, 0)
    assert found.mean_p == 1 / 200
    assert np.isnan(found.p[DEAD])
    assert np.nanmean(found.null_mean) == pytest.approx(found.means.mean())
    p = [
        permutation_null(file.image_factor, np.random.default_rng(seed).permutation(file.labels), 49, seed).mean_p
        for seed in range(100)
    ]
    assert abs(np.mean(np.array(p) <= 0.1) - 0.1) < 0.08  # as often as it says
    assert (
        permutation_null(file.image_factor, file.labels, 9, 1).means.tolist()
        == permutation_null(file.image_factor, file.labels, 9, 1).means.tolist()
    )


def test_the_null_is_that_of_a_literal_shuffle(file: ConceptFile) -> None:
    found = permutation_null(file.image_factor, file.labels, 300, 0).means
    generator = np.random.default_rng(1)
    drawn = [np.nanmean(class_entropy(file.image_factor, generator.permutation(file.labels))) for _ in range(300)]
    assert found.mean() == pytest.approx(np.mean(drawn), abs=4 * np.std(drawn) * (2 / 300) ** 0.5)
    assert found.std() == pytest.approx(np.std(drawn), rel=0.2)


def test_the_difference_of_entropies_is_that_of_literal_resamples(file: ConceptFile) -> None:
    first = file.image_factor
    second = np.random.default_rng(0).permutation(first)
    found = entropy_difference(first, second, file.labels, 400, 3)
    generator, drawn = np.random.default_rng(3), []
    whole = np.nanmean(class_entropy(first, file.labels)) - np.nanmean(class_entropy(second, file.labels))
    for _ in range(400):
        some = generator.integers(0, len(first), len(first))
        drawn.append(
            np.nanmean(class_entropy(first[some], file.labels[some]))
            - np.nanmean(class_entropy(second[some], file.labels[some]))
        )
    assert found.estimate == pytest.approx(2 * whole - np.mean(drawn))
    assert found.lower == pytest.approx(2 * whole - np.quantile(drawn, 0.975))
    assert found.upper == pytest.approx(2 * whole - np.quantile(drawn, 0.025))
    assert found.upper < 0  # labels say nothing of shuffled images
    same = entropy_difference(first, first, file.labels, 20)
    assert float(same.estimate) == float(same.lower) == float(same.upper) == 0


def test_intervals_cover_the_truth_as_often_as_they_say() -> None:
    def study(images: int, seed: int) -> tuple[Array, Array, Array]:
        generator = np.random.default_rng(seed)
        labels = generator.integers(5, size=images)
        own = labels[:, None] == np.arange(5)
        return labels, *(generator.exponential(size=(images, 5)) * (1 + much * own) for much in (3, 2))

    labels, one, other = study(200_000, 999)
    truth = np.mean(class_entropy(one, labels)) - np.mean(class_entropy(other, labels))
    inside = 0
    for seed in range(150):
        labels, one, other = study(200, seed)
        found = entropy_difference(one, other, labels, 200, seed)
        inside += bool(found.lower <= truth <= found.upper)
    assert 0.89 < inside / 150 <= 0.99


def test_entropy_within_clusters_is_what_mutual_information_leaves(file: ConceptFile) -> None:
    clusters = image_clusters(file.scaled()[0])
    counts = np.bincount(file.labels)
    mutual = normalized_mutual_info_score(file.labels, clusters) * (
        scipy_entropy(counts) + scipy_entropy(np.unique(clusters, return_counts=True)[1])
    ) / 2  # fmt: skip
    assert cluster_entropy(clusters, file.labels) == pytest.approx(
        (scipy_entropy(counts) - mutual) / np.log(len(counts))
    )
    chance = np.random.default_rng(0).permutation(clusters)
    found = cluster_entropy_difference(chance, clusters, file.labels, 200)
    assert found.lower > 0


def test_clusters_are_the_largest_part_and_nowhere_is_none(file: ConceptFile) -> None:
    factor = np.array([[0.0, 2, 1], [0, 0, 0], [3, 3, 0]])
    assert image_clusters(factor).tolist() == [1, NOWHERE, 0]
    for block in file.factors:
        concepts, selectivity = neuron_clusters(block, file.image_factor)
        for neuron in range(0, block.shape[1], 7):
            given = [np.sqrt(((block[r, neuron] * file.image_factor[:, r]) ** 2).sum()) for r in range(len(block))]
            assert concepts[neuron] == np.argmax(given)
            assert selectivity[neuron] == pytest.approx(max(given) / sum(given))
    silent = np.zeros((3, 2))
    concepts, selectivity = neuron_clusters(silent, factor)
    assert concepts.tolist() == [NOWHERE] * 2
    assert np.isnan(selectivity).all()


def test_a_profile_is_the_energy_of_each_block(file: ConceptFile) -> None:
    profile = layer_profile(file.scaled()[1])
    for concept in range(len(profile)):
        energy = [
            weight * (factor[concept] ** 2).sum() for weight, factor in zip(file.weights, file.factors, strict=True)
        ]
        assert np.allclose(profile[concept], np.array(energy) / sum(energy) if sum(energy) else 0)


def test_purity_counts_the_commonest_label_of_each_cluster() -> None:
    clusters, labels = np.array([0, 0, 0, 1, 1, NOWHERE]), np.array([2, 2, 5, 5, 9, 9])
    assert purity(clusters, labels) == pytest.approx((2 + 1 + 1) / 6)
    perfect = label_agreement(labels, labels)
    assert perfect == {"purity": 1.0, "nmi": pytest.approx(1), "ari": 1.0}


def test_neighbours_are_those_of_scikit_learn(file: ConceptFile) -> None:
    factor, held = file.scaled()[0], tables.held(file)
    assert held is not None
    model = NearestNeighbors(n_neighbors=5, metric="cosine", algorithm="brute").fit(factor)
    for queries, labels in ((None, file.labels), (held[0], held[1])):
        near = model.kneighbors(queries, return_distance=False)
        votes, present = neighbour_votes(factor, file.labels, queries, 5)
        literal = (file.labels[near] != labels[:, None]).mean(axis=1)
        assert np.allclose(impurity(votes, present, labels), literal)
        assert np.allclose(votes.sum(axis=1), 1)


def test_images_that_tie_share_the_places() -> None:
    ones, _ = np.eye(2)[[0, 0, 0, 0, 1]], None
    labels = np.array([0, 1, 1, 1, 0])
    votes, present = neighbour_votes(ones, labels, neighbours=2)
    assert np.allclose(impurity(votes, present, labels)[:4], [1, 1 / 3, 1 / 3, 1 / 3])
    assert np.allclose(votes[4], [0.25, 0.75])  # nobody is near: all are equally far
    assert neighbour_accuracy(np.array([[0.5, 0.5]]), np.array([0, 1]), np.array([1])) == 0.5


def test_errors_lie_where_neighbours_are_of_other_classes(file: ConceptFile) -> None:
    votes, present = neighbour_votes(file.scaled()[0], file.labels)
    values, wrong = impurity(votes, present, file.labels), file.labels != file.predicted
    row = tables.summary_row(file.scaled()[0], file.labels, file.predicted, permutations=9)
    assert row["knn_impurity_auroc"] == pytest.approx(roc_auc_score(wrong, values))
    assert np.isnan(row["superclass_nmi"])
    table = impurity_bins(values, file.labels, file.predicted)
    assert table["count"].sum() == len(values)
    assert np.average(table["accuracy"], weights=table["count"]) == pytest.approx(1 - wrong.mean())
    all_right = tables.summary_row(file.scaled()[0], file.labels, file.labels, permutations=9)
    assert np.isnan(all_right["knn_impurity_auroc"])


def test_tables_say_what_was_planted(file: ConceptFile) -> None:
    table = tables.concepts_table(file, SUPERCLASSES, 0, 99)
    alive = table[~table["dead"]]
    assert table["dead"].tolist() == [concept == DEAD for concept in range(len(table))]
    assert [str(name) for name in alive["top_class"]] == [f"class {concept % 6}" for concept in alive["concept"]]
    assert [str(name) for name in alive["top_superclass"]] == [
        SUPERCLASSES[concept % 6] for concept in alive["concept"]
    ]
    assert (alive["p"] == 0.01).all()
    assert table["mass"].sum() == pytest.approx(1)
    assert table["images"].sum() == len(file.labels)
    without = tables.concepts_table(file, permutations=9)
    assert without["superclass_entropy"].isna().all()
    assert set(without["top_superclass"]) == {""}
    shares = tables.classes_table(file).pivot(index="concept", columns="class", values="share")
    assert np.allclose(shares.drop(index=DEAD).sum(axis=1), 1)


def test_a_saved_file_reads_the_same(file: ConceptFile, tmp_path: Path) -> None:
    file.save(tmp_path / "a.npz")
    again = ConceptFile.load(tmp_path / "a.npz")
    pd.testing.assert_frame_equal(
        tables.concepts_table(file, permutations=9), tables.concepts_table(again, permutations=9)
    )


def test_kmeans_and_pca_are_image_factors_like_others(file: ConceptFile) -> None:
    matrix = np.concatenate([file.image_factor @ factor for factor in file.factors], axis=1)
    ones, held = kmeans_factor(matrix, 6, 0, matrix[:9])
    assert np.array_equal(ones.sum(axis=1), np.ones(len(matrix)))
    assert np.array_equal(held, ones[:9])
    scores, further = pca_factor(matrix, 4, 0, matrix[:9])
    left, values, _ = np.linalg.svd(matrix - matrix.mean(axis=0), full_matrices=False)
    assert np.allclose(scores, np.abs(left[:, :4] * values[:4]))
    assert np.allclose(further, scores[:9])
    assert kmeans_factor(matrix, 6, 0)[1].shape == pca_factor(matrix, 6, 0)[1].shape == (0, 6)
    with pytest.raises(ValueError, match=r"9 components of 4 images: concepts.k must be from 1 to 4"):
        kmeans_factor(matrix[:4], 9, 0)
    row = tables.difference_columns(ones, file.image_factor, file.labels, 100)
    assert set(row) == {
        f"{name}{end}" for name in ("difference", "cluster_difference") for end in ("", "_lower", "_upper")
    }


def test_what_has_no_read_out_is_refused() -> None:
    with pytest.raises(ValueError, match="negative or non-finite"):
        class_mass(np.array([[-1.0]]), np.array([0]))
    with pytest.raises(ValueError, match=r"shape \(2, 1\) and 3 labels"):
        class_mass(np.ones((2, 1)), np.zeros(3))
    with pytest.raises(ValueError, match="0 permutations"):
        permutation_null(np.ones((2, 1)), np.zeros(2), 0, 0)
    with pytest.raises(ValueError, match="neighbours of 1 images"):
        neighbour_votes(np.ones((1, 1)), np.zeros(1))
