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
from methods.concepts.class_entropy import (
    class_entropy,
    class_mass,
    cluster_entropy,
    cluster_entropy_difference,
    entropy_difference,
    permutation_null,
)
from methods.concepts.clusters import (
    NEIGHBOURS,
    NOWHERE,
    image_clusters,
    impurity,
    impurity_bins,
    label_agreement,
    layer_profile,
    neighbour_accuracy,
    neighbour_votes,
    neuron_clusters,
)
from methods.concepts.controls import kmeans_factor, pca_factor
from methods.concepts.record import Array, ConceptRecord
from study.records import arrays_of, read_record
from tests.methods.concepts.made_concepts import SUPERCLASSES, made_record

DEAD = 3


@pytest.fixture(scope="module")
def record() -> ConceptRecord:
    return made_record(dead=DEAD)


def rescaled(record: ConceptRecord, seed: int = 5) -> tuple[ConceptRecord, Array]:
    """The same factorisation with its components in another scale and order."""
    generator = np.random.default_rng(seed)
    count = record.image_factor.shape[1]
    scale, order = 10.0 ** generator.uniform(-3, 3, count), generator.permutation(count)
    return replace(
        record,
        image_factor=(record.image_factor * scale)[:, order],
        heldout_image_factor=(record.heldout_image_factor * scale)[:, order],
        factors=(record.factors / scale[:, None])[order],
    ), order


def test_nothing_depends_on_the_scale_or_the_order_of_concepts(record: ConceptRecord) -> None:
    other, order = rescaled(record)
    one, two = (tables.concepts_table(which, SUPERCLASSES, 0, 50) for which in (record, other))
    pd.testing.assert_frame_equal(
        one.iloc[order].drop(columns="concept").reset_index(drop=True), two.drop(columns="concept"), rtol=1e-9
    )
    first, second = (tables.neurons_table(which) for which in (record, other))
    assert np.array_equal(first["concept"], order[second["concept"]])
    assert np.allclose(first["selectivity"], second["selectivity"])
    wide = [
        table.pivot(index="concept", columns="block", values="share").to_numpy()
        for table in map(tables.profile_table, (record, other))
    ]
    assert np.allclose(wide[0][order], wide[1])
    rows = [
        tables.summary_row(
            which.scaled()[0], which.labels, which.predicted, SUPERCLASSES, tables.held_out(which), 0, 50
        )
        for which in (record, other)
    ]
    assert rows[0] == pytest.approx(rows[1])
    pd.testing.assert_frame_equal(tables.impurity_table(record), tables.impurity_table(other))


def test_the_class_entropy_is_scipys(record: ConceptRecord) -> None:
    shares, present = class_mass(record.image_factor, record.labels)
    for concept, column in enumerate(record.image_factor.T):
        literal = [column[record.labels == label].sum() for label in range(len(record.classes))]
        if concept == DEAD:
            assert not shares[concept].any()
            continue
        assert np.allclose(shares[concept], np.array(literal) / sum(literal))
        expected = scipy_entropy(literal) / np.log(len(present))
        assert class_entropy(record.image_factor, record.labels)[concept] == pytest.approx(expected)


def test_a_concept_of_one_class_has_no_entropy_and_an_even_one_has_all() -> None:
    labels = np.repeat([4, 7, 9], 5)  # labels need not be dense
    factor = np.stack([labels == 7, np.ones(15), np.zeros(15)], axis=1)
    found = class_entropy(factor, labels)
    assert found[:2] == pytest.approx([0, 1])
    assert np.isnan(found[2])
    assert np.isnan(class_entropy(factor, np.zeros(15))).all()  # a single class


def test_permuted_labels_are_the_null_and_planted_ones_stand_out(record: ConceptRecord) -> None:
    found = permutation_null(record.image_factor, record.labels, 199, 0)
    assert found.mean_p == 1 / 200
    assert np.isnan(found.p[DEAD])
    assert np.nanmean(found.null_mean) == pytest.approx(found.means.mean())
    p = [
        permutation_null(record.image_factor, np.random.default_rng(seed).permutation(record.labels), 49, seed).mean_p
        for seed in range(100)
    ]
    assert abs(np.mean(np.array(p) <= 0.1) - 0.1) < 0.08  # as often as it says
    assert (
        permutation_null(record.image_factor, record.labels, 9, 1).means.tolist()
        == permutation_null(record.image_factor, record.labels, 9, 1).means.tolist()
    )


def test_the_null_is_that_of_a_literal_shuffle(record: ConceptRecord) -> None:
    found = permutation_null(record.image_factor, record.labels, 300, 0).means
    generator = np.random.default_rng(1)
    drawn = [np.nanmean(class_entropy(record.image_factor, generator.permutation(record.labels))) for _ in range(300)]
    assert found.mean() == pytest.approx(np.mean(drawn), abs=4 * np.std(drawn) * (2 / 300) ** 0.5)
    assert found.std() == pytest.approx(np.std(drawn), rel=0.2)


def test_the_difference_of_entropies_is_that_of_literal_resamples(record: ConceptRecord) -> None:
    first = record.image_factor
    second = np.random.default_rng(0).permutation(first)
    found = entropy_difference(first, second, record.labels, 400, 3)
    generator, drawn = np.random.default_rng(3), []
    whole = np.nanmean(class_entropy(first, record.labels)) - np.nanmean(class_entropy(second, record.labels))
    for _ in range(400):
        some = generator.integers(0, len(first), len(first))
        drawn.append(
            np.nanmean(class_entropy(first[some], record.labels[some]))
            - np.nanmean(class_entropy(second[some], record.labels[some]))
        )
    assert found.estimate == pytest.approx(2 * whole - np.mean(drawn))
    assert found.lower == pytest.approx(2 * whole - np.quantile(drawn, 0.975))
    assert found.upper == pytest.approx(2 * whole - np.quantile(drawn, 0.025))
    assert found.upper < 0  # labels say nothing of shuffled images
    same = entropy_difference(first, first, record.labels, 20, 0)
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


def test_entropy_within_clusters_is_what_mutual_information_leaves(record: ConceptRecord) -> None:
    clusters = image_clusters(record.scaled()[0])
    counts = np.bincount(record.labels)
    mutual = normalized_mutual_info_score(record.labels, clusters) * (
        scipy_entropy(counts) + scipy_entropy(np.unique(clusters, return_counts=True)[1])
    ) / 2  # fmt: skip
    assert cluster_entropy(clusters, record.labels) == pytest.approx(
        (scipy_entropy(counts) - mutual) / np.log(len(counts))
    )
    chance = np.random.default_rng(0).permutation(clusters)
    found = cluster_entropy_difference(chance, clusters, record.labels, 200, 0)
    assert found.lower > 0


def test_clusters_are_the_largest_part_and_nowhere_is_none(record: ConceptRecord) -> None:
    factor = np.array([[0.0, 2, 1], [0, 0, 0], [3, 3, 0]])
    assert image_clusters(factor).tolist() == [1, NOWHERE, 0]
    for block in record.block_factors:
        concepts, selectivity = neuron_clusters(block, record.image_factor)
        for neuron in range(0, block.shape[1], 7):
            given = [np.sqrt(((block[r, neuron] * record.image_factor[:, r]) ** 2).sum()) for r in range(len(block))]
            assert concepts[neuron] == np.argmax(given)
            assert selectivity[neuron] == pytest.approx(max(given) / sum(given))
    silent = np.zeros((3, 2))
    concepts, selectivity = neuron_clusters(silent, factor)
    assert concepts.tolist() == [NOWHERE] * 2
    assert np.isnan(selectivity).all()


def test_a_profile_is_the_energy_of_each_block(record: ConceptRecord) -> None:
    profile = layer_profile(record.scaled()[1])
    for concept in range(len(profile)):
        energy = [
            weight * (factor[concept] ** 2).sum()
            for weight, factor in zip(record.weights, record.block_factors, strict=True)
        ]
        assert np.allclose(profile[concept], np.array(energy) / sum(energy) if sum(energy) else 0)


def test_purity_counts_the_commonest_label_of_each_cluster() -> None:
    clusters, labels = np.array([0, 0, 0, 1, 1, NOWHERE]), np.array([2, 2, 5, 5, 9, 9])
    assert label_agreement(clusters, labels)["purity"] == pytest.approx((2 + 1 + 1) / 6)
    perfect = label_agreement(labels, labels)
    assert perfect == {"purity": 1.0, "nmi": pytest.approx(1), "ari": 1.0}


def test_neighbours_are_those_of_scikit_learn(record: ConceptRecord) -> None:
    factor, held = record.scaled()[0], tables.held_out(record)
    model = NearestNeighbors(n_neighbors=5, metric="cosine", algorithm="brute").fit(factor)
    for queries, labels in ((None, record.labels), (held[0], held[1])):
        near = model.kneighbors(queries, return_distance=False)
        votes, present = neighbour_votes(factor, record.labels, queries, 5)
        literal = (record.labels[near] != labels[:, None]).mean(axis=1)
        assert np.allclose(impurity(votes, present, labels), literal)
        assert np.allclose(votes.sum(axis=1), 1)


def test_images_that_tie_share_the_places() -> None:
    ones, _ = np.eye(2)[[0, 0, 0, 0, 1]], None
    labels = np.array([0, 1, 1, 1, 0])
    votes, present = neighbour_votes(ones, labels, None, 2)
    assert np.allclose(impurity(votes, present, labels)[:4], [1, 1 / 3, 1 / 3, 1 / 3])
    assert np.allclose(votes[4], [0.25, 0.75])  # nobody is near: all are equally far
    assert neighbour_accuracy(np.array([[0.5, 0.5]]), np.array([0, 1]), np.array([1])) == 0.5


def test_errors_lie_where_neighbours_are_of_other_classes(record: ConceptRecord) -> None:
    votes, present = neighbour_votes(record.scaled()[0], record.labels, None, NEIGHBOURS)
    values, wrong = impurity(votes, present, record.labels), record.labels != record.predicted
    row = tables.summary_row(record.scaled()[0], record.labels, record.predicted, None, None, 0, 9)
    assert row["knn_impurity_auroc"] == pytest.approx(roc_auc_score(wrong, values))
    assert np.isnan(row["superclass_nmi"])
    table = impurity_bins(values, record.labels, record.predicted)
    assert table["count"].sum() == len(values)
    assert np.average(table["accuracy"], weights=table["count"]) == pytest.approx(1 - wrong.mean())
    all_right = tables.summary_row(record.scaled()[0], record.labels, record.labels, None, None, 0, 9)
    assert np.isnan(all_right["knn_impurity_auroc"])


def test_tables_say_what_was_planted(record: ConceptRecord) -> None:
    table = tables.concepts_table(record, SUPERCLASSES, 0, 99)
    alive = table[~table["dead"]]
    assert table["dead"].tolist() == [concept == DEAD for concept in range(len(table))]
    assert [str(name) for name in alive["top_class"]] == [f"class {concept % 6}" for concept in alive["concept"]]
    assert [str(name) for name in alive["top_superclass"]] == [
        SUPERCLASSES[concept % 6] for concept in alive["concept"]
    ]
    assert (alive["p"] == 0.01).all()
    assert table["mass"].sum() == pytest.approx(1)
    assert table["images"].sum() == len(record.labels)
    without = tables.concepts_table(record, None, 0, 9)
    assert without["superclass_entropy"].isna().all()
    assert set(without["top_superclass"]) == {""}
    shares = tables.classes_table(record, None).pivot(index="concept", columns="class", values="share")
    assert np.allclose(shares.drop(index=DEAD).sum(axis=1), 1)


def test_a_saved_file_reads_the_same(record: ConceptRecord, tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", **arrays_of(record))
    again = read_record(ConceptRecord, tmp_path / "a.npz")
    pd.testing.assert_frame_equal(tables.concepts_table(record, None, 0, 9), tables.concepts_table(again, None, 0, 9))


def test_kmeans_and_pca_are_image_factors_like_others(record: ConceptRecord) -> None:
    matrix = np.concatenate([record.image_factor @ factor for factor in record.block_factors], axis=1)
    ones, held = kmeans_factor(matrix, 6, 0, matrix[:9])
    assert np.array_equal(ones.sum(axis=1), np.ones(len(matrix)))
    assert np.array_equal(held, ones[:9])
    scores, further = pca_factor(matrix, 4, 0, matrix[:9])
    left, values, _ = np.linalg.svd(matrix - matrix.mean(axis=0), full_matrices=False)
    assert np.allclose(scores, np.abs(left[:, :4] * values[:4]))
    assert np.allclose(further, scores[:9])
    with pytest.raises(ValueError, match=r"n_samples=4 should be >= n_clusters=9"):
        kmeans_factor(matrix[:4], 9, 0, matrix)
    row = tables.difference_columns(ones, record.image_factor, record.labels, 100, 0)
    assert set(row) == {
        f"{name}{end}" for name in ("difference", "cluster_difference") for end in ("", "_lower", "_upper")
    }


def test_what_has_no_read_out_is_refused() -> None:
    with pytest.raises(ValueError, match="negative or non-finite"):
        class_mass(np.array([[-1.0]]), np.array([0]))
    with pytest.raises(ValueError, match=r"shape \(2, 1\) and 3 labels"):
        class_mass(np.ones((2, 1)), np.zeros(3))
    with pytest.raises(ValueError, match="neighbours of 1 images"):
        neighbour_votes(np.ones((1, 1)), np.zeros(1), None, 10)
