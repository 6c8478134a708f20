"""Schedules, groups, objective and numbers of layer features against literal versions."""

import math

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor

from methods.layer_features.objective import comparable_objective, objective_terms, published_objective, top_channels
from methods.layer_features.results import (
    METHODS,
    START,
    cosine,
    diversity,
    means_table,
    numbers_table,
    summary_table,
    with_gain,
)
from methods.layer_features.schedules import due, linear, period, shown_iterations
from methods.layer_features.targets import find_clusters, find_target, plane_positions
from tests.methods.layer_features.procedures import PUBLISHED
from tests.replicas import replicates


def test_the_published_procedure_has_the_published_values() -> None:
    assert PUBLISHED.mask == [70 / 512, 57 / 512]
    assert PUBLISHED.brightness == 5 / 255
    assert (PUBLISHED.lr, PUBLISHED.sparsity) == ([0.5, 0.08], [1e-4, 5e-4])
    assert (PUBLISHED.until, PUBLISHED.shift, PUBLISHED.optimizer) == (1, 0, "sgd")


@replicates(due, linear, period)
def test_schedules_go_from_end_to_end_in_equal_steps() -> None:
    for ends, iterations in (((0.5, 0.08), 2001), ((2.0, 8.0), 7), ((3.0, 1.0), 1)):
        values = [linear(ends, iteration, iterations) for iteration in range(iterations)]
        assert np.allclose(values, np.linspace(*ends, iterations))
    happens = [due(10, iteration) for iteration in range(35)]
    assert [number for number, now in enumerate(happens, start=1) if now] == [10, 20, 30]
    assert not any(due(0, iteration) for iteration in range(35))
    assert [period(3, iteration) for iteration in range(7)] == [0, 0, 0, 1, 1, 1, 2]
    assert period(0, 5) == 0
    shown = shown_iterations(200, 8)
    assert (shown[0], shown[-1], shown) == (0, 200, sorted(set(shown)))


@pytest.fixture
def grouped() -> np.ndarray:
    """Three groups of 30, 20 and 10 rows, far apart; 12 channels."""
    generator = np.random.default_rng(0)
    centres = 20 * generator.random((3, 12))
    return np.concatenate(
        [centre + generator.random((size, 12)) for centre, size in zip(centres, (10, 30, 20), strict=True)]
    )


def test_clusters_are_sorted_by_size_and_repeat(grouped: np.ndarray) -> None:
    for seed in (0, 1):
        clusters = find_clusters(grouped, 3, 50, seed)
        assert clusters.assignment.tolist() == [2] * 10 + [0] * 30 + [1] * 20
        assert clusters.points.shape == (60, 12)  # no more components than channels
        assert clusters.explained == pytest.approx(1)
        for group in range(3):
            assert np.allclose(clusters.centres[group], clusters.points[clusters.assignment == group].mean(axis=0))
    again = find_clusters(grouped[::-1], 3, 50, 0)
    assert again.assignment.tolist() == clusters.assignment[::-1].tolist()
    assert find_clusters(grouped, 3, 2, 0).points.shape == (60, 2)


def test_few_different_images_make_few_clusters(grouped: np.ndarray) -> None:
    two = find_clusters(grouped[[0, 20]], 4, 50, 0)
    assert sorted(two.assignment.tolist()) == [0, 1]
    target = find_target(grouped[[0, 20]], two, 0, 10, True)
    assert target.weights.tolist() == [1]
    same = find_clusters(np.ones((5, 12)), 4, 50, 0)
    assert same.assignment.tolist() == [0] * 5
    assert np.allclose(find_target(np.ones((5, 12)), same, 0, 3, True).weights, 1 / 3)
    repeated = find_clusters(np.repeat(grouped[[0, 20]], 4, axis=0), 4, 50, 0)
    assert len(repeated.centres) == 2
    assert find_clusters(grouped[:1], 4, 50, 0).assignment.tolist() == [0]
    with pytest.raises(ValueError, match="finite"):
        find_clusters(np.full((3, 2), np.nan), 2, 50, 0)


@pytest.mark.parametrize("nearest", [True, False])
def test_a_target_is_the_weighted_mean_of_the_nearest_or_farthest_members(nearest: bool, grouped: np.ndarray) -> None:
    clusters = find_clusters(grouped, 3, 5, 0)
    target = find_target(grouped, clusters, 0, 4, nearest)
    distances = {
        index: math.dist(clusters.points[index], clusters.centres[0])
        for index in range(60)
        if clusters.assignment[index] == 0
    }
    order = sorted(distances, key=lambda index: distances[index], reverse=not nearest)[:4]
    weights = np.array([math.exp(1 / distances[index]) for index in order])
    weights /= weights.sum()
    assert target.members.tolist() == order
    assert np.allclose(target.weights, weights)
    assert np.allclose(target.features, sum(w * grouped[index] for w, index in zip(weights, order, strict=True)))


def test_positions_in_the_plane_keep_clusters_apart(grouped: np.ndarray) -> None:
    clusters = find_clusters(grouped, 3, 5, 0)
    points = plane_positions(clusters)
    assert np.array_equal(points, plane_positions(clusters))
    for index in range(60):
        others = np.linalg.norm(points - points[index], axis=1)
        assert clusters.assignment[np.argsort(others)[1]] == clusters.assignment[index]
    assert plane_positions(find_clusters(grouped[:3], 2, 50, 0)).shape == (3, 2)
    assert plane_positions(find_clusters(grouped[:1], 2, 50, 0)).tolist() == [[0, 0]]


def draws(*shape: int) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(sum(shape)), dtype=torch.float64)


def test_the_published_terms_are_those_of_the_paper_summed_over_all_clusters() -> None:
    targets, z, p = draws(3, 8), draws(3, 9)[:, :8], draws(3, 4, 5) - 0.5
    terms = objective_terms(z, p, published_objective(targets, 2))
    for row in range(3):
        activation = 0.0
        for target in targets.tolist():
            for channel in sorted(range(8), key=lambda c: -target[c])[:2]:
                activation -= float(z[row, channel]) * target[channel]
        distance = sum(math.sqrt(float(z[row, c] - targets[row, c]) ** 2 + 1) - 1 for c in range(8)) / 8
        sparsity = sum(abs(value) for value in p[row].flatten().tolist())
        assert terms[row].tolist() == pytest.approx([activation, distance, sparsity])


def test_comparable_terms_have_no_unit() -> None:
    targets, z, p = draws(3, 8), draws(3, 9)[:, :8], draws(3, 4, 5)
    sums = p.flatten(1).sum(dim=1)
    terms = objective_terms(z, 2 * p, comparable_objective(targets, sums, 2))
    for unit in (1e-3, 1e3):
        scaled = objective_terms(unit * z, unit * 2 * p, comparable_objective(unit * targets, unit * sums, 2))
        torch.testing.assert_close(scaled, terms)
    torch.testing.assert_close(terms[:, 2], torch.full((3,), 2.0, dtype=torch.float64))
    reached = objective_terms(targets, p, comparable_objective(targets, sums, 2))
    torch.testing.assert_close(reached[:, :2], torch.tensor([[-1.0, 0.0]] * 3, dtype=torch.float64))
    top, scale = sorted(targets[0].tolist())[-2:], math.sqrt(float(targets[0].square().mean()))
    pull = sum(a * float(z[0, targets[0].tolist().index(a)]) for a in top) / sum(a * a for a in top)
    far = [math.sqrt(((float(x) - float(a)) / scale) ** 2 + 1) - 1 for x, a in zip(z[0], targets[0], strict=True)]
    assert terms[0, :2].tolist() == pytest.approx([-pull, sum(far) / 8])


def test_gradients_of_the_terms_are_those_of_finite_differences() -> None:
    targets, z, p = draws(3, 8), draws(3, 9)[:, :8].clone().requires_grad_(), (draws(3, 4, 5) - 0.5).requires_grad_()
    for aim in (published_objective(targets, 3), comparable_objective(targets, draws(3), 3)):
        assert torch.autograd.gradcheck(lambda means, inputs, aim=aim: objective_terms(means, inputs, aim), (z, p))


def test_terms_of_a_silent_layer_are_finite() -> None:
    terms = objective_terms(
        draws(2, 4), draws(2, 3), comparable_objective(torch.zeros(2, 4).double(), torch.zeros(2).double(), 2)
    )
    assert torch.isfinite(terms).all()
    assert top_channels(torch.rand(2, 3), 50).all()


def test_numbers_equal_their_definitions() -> None:
    generator = np.random.default_rng(0)
    z, a, real = generator.random((2, 8)), generator.random((2, 8)), generator.random((20, 8))
    images = generator.random((2, 3, 4, 5))
    table = numbers_table(z, a, images, real, 3)
    for row in range(2):
        numbers = table.iloc[row]
        assert numbers["l2"] == pytest.approx(math.dist(z[row], a[row]))
        dot = sum(x * y for x, y in zip(z[row], a[row], strict=True))
        assert numbers["cosine"] == pytest.approx(dot / math.hypot(*z[row]) / math.hypot(*a[row]))
        top, reached_top = (np.argsort(values)[::-1][:3].tolist() for values in (a[row], z[row]))
        assert numbers["overlap"] == pytest.approx(len({*top} & {*reached_top}) / 3)
        assert numbers["activation"] == pytest.approx(
            sum(z[row, c] * a[row, c] for c in top) / sum(a[row, c] ** 2 for c in top)
        )
        order = sorted(range(20), key=lambda n: math.dist(real[n], a[row]))
        nearest = min(range(20), key=lambda n: math.dist(real[n], z[row]))
        assert (numbers["nearest_image"], numbers["rank"]) == (nearest, 1 + order.index(nearest))
        nearer = [n for n in range(20) if math.dist(real[n], a[row]) < math.dist(z[row], a[row])]
        assert numbers["nearer_images"] == len(nearer) / 20
        steps = [
            abs(images[row, c, y + 1, x] - images[row, c, y, x]) for c in range(3) for y in range(3) for x in range(5)
        ]
        across = [
            abs(images[row, c, y, x + 1] - images[row, c, y, x]) for c in range(3) for y in range(4) for x in range(4)
        ]
        assert numbers["pixel_variation"] == pytest.approx((np.mean(steps) + np.mean(across)) / 2)
    assert np.isnan(cosine(np.zeros((1, 3)), np.ones((1, 3))))[0]
    reached = numbers_table(a, a, images, real, 3)
    assert np.allclose(reached[["cosine", "activation", "overlap"]], 1)
    assert (reached["nearer_images"] == 0).all()


def test_equal_images_have_no_diversity() -> None:
    a, images = np.random.default_rng(0).random((3, 8)), np.random.default_rng(1).random((3, 3, 4, 4))
    assert diversity(a, a, images)["features"] == pytest.approx(1)
    assert diversity(2 * a, a, images)["features"] == pytest.approx(2)
    assert diversity(a[:1].repeat(3, axis=0), a, images[:1].repeat(3, axis=0)) == {"features": 0, "pixels": 0}
    pairs = [math.sqrt(((images[i] - images[j]) ** 2).mean()) for i, j in ((0, 1), (0, 2), (1, 2))]
    assert diversity(a, a, images)["pixels"] == pytest.approx(np.mean(pairs))
    assert math.isnan(diversity(a[:1], a[:1], images[:1])["features"])


def test_summary_and_means_count_cluster_by_cluster() -> None:
    rows = [
        {"network": "n", "layer": "l", "seed": 0, "cluster": cluster, "method": method, "cosine": value,
         "activation": activation, "seconds": 2.0}
        for cluster, values in enumerate([(0.9, 0.5, 0.8), (0.9, 0.95, 0.8), (0.9, 0.5, 0.9)])
        for method, value, activation in zip((*METHODS, START), (*values, 0.1), (1.0, 3.0, 0.5, 0.5), strict=True)
    ]  # fmt: skip
    table = pd.DataFrame(rows)
    summary = summary_table(table).set_index("network").loc["n"].to_dict()
    counts = {name: value for name, value in summary.items() if "above_" in str(name) or name == "clusters"}
    assert counts == {"above_start": 3, "above_activation_maximization": 2, "above_feature_inversion": 2,
                      "above_both": 1, "clusters": 3}  # fmt: skip
    means = {method: summary[f"cosine_{method}"] for method in (*METHODS, START)}
    assert list(means.values()) == pytest.approx([0.9, 1.95 / 3, 2.5 / 3, 0.1])
    assert summary["seconds"] == 2
    gained = with_gain(table)
    assert gained["gain"].tolist() == [2, 6, 1, 1] * 3
    numbers = gained.assign(**dict.fromkeys(("l2", "overlap", "rank", "nearer_images", "pixel_variation"), 1.0))
    differences = pd.DataFrame({"network": "n", "layer": "l", "method": METHODS, "features": [1, 2, 3], "pixels": 4})
    found = means_table(numbers, pd.concat([differences, differences.assign(features=5)])).set_index("method")
    assert found["cosine"].to_dict() == pytest.approx(means)
    assert found.loc[list(METHODS), "features"].tolist() == [3, 3.5, 4]
    assert np.isnan(found["features"][START])
    assert found["gain"].tolist() == [2, 6, 1, 1]
