"""How sure an order is: against literal counts, against SciPy, and against the truth of simulations."""

from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats  # type: ignore[import-untyped]

from stats.concept_lattice import is_chain
from stats.correlations import order_correlations, population_interval, spearman
from stats.intervals import Sample, finite_tables, rates_of
from stats.order import threshold_intervals, widest_chain
from stats.order_certainty import order_certainty
from stats.order_stability import (
    are_chains,
    chain_shares,
    kendalls_w,
    neighbour_shares,
    same_order_share,
    seed_consensus,
)
from study.predictions import read_predictions
from tests.stats.drawn import HOW, NAMES, drawn_predictions


def test_chains_are_those_of_the_concept_lattice() -> None:
    contexts = [np.array(bits).reshape(3, 3) for bits in product([False, True], repeat=9)]
    assert are_chains(np.stack(contexts)).tolist() == [is_chain(context.T) for context in contexts]
    generator = np.random.default_rng(0)
    need, keep = generator.random((2, 400, 1, 24))
    contexts = (keep.swapaxes(1, 2) + generator.normal(0, 0.015, (400, 24, 24))) > need
    expected = [is_chain(context.T) for context in contexts]
    assert 20 < sum(expected) < 380
    assert are_chains(contexts).tolist() == expected


def test_shares_of_the_order_equal_a_literal_count() -> None:
    predictions = drawn_predictions(images=60, controls=())
    sample = Sample(predictions.top1, predictions.sources, HOW)
    rrc, resampled = (
        rates_of(predictions, sample)(sample.means),
        finite_tables(rates_of(predictions, sample)(sample.resampled)),
    )
    intervals = threshold_intervals(rrc)
    shares = chain_shares(resampled, intervals)
    expected = [np.mean([is_chain((table >= i.middle).T) for table in resampled]) for i in intervals]
    np.testing.assert_allclose(shares, expected)
    chain = widest_chain(intervals)
    assert chain is not None
    assert chain.order is not None
    groups = {j: number for number, group in enumerate(chain.order) for j in group}
    same = 0
    for table in resampled:
        matching = [i for i in threshold_intervals(table) if i.lower < chain.middle <= i.upper]
        same += bool(matching) and matching[0].order == chain.order
    assert same_order_share(resampled, chain) == same / len(resampled)
    for pair in neighbour_shares(resampled, chain, NAMES):
        first, second = NAMES.index(pair["first"]), NAMES.index(pair["second"])
        counts = [[(table[:, j] >= chain.middle).sum() for j in (first, second)] for table in resampled]
        equal = groups[first] == groups[second]
        assert pair["relation"] == ("=" if equal else "<")
        assert pair["share"] == np.mean([(a == b) if equal else (a < b) for a, b in counts])


def test_between_groups_the_closest_classifiers_are_compared() -> None:
    table = np.array([[1, 1, 0.2], [1, 1, 0.2], [1, 1, 1.0]])  # c is served by itself, a and b by all
    other = np.array([[1, 0.2, 0.2], [1, 1, 0.2], [1, 1, 1.0]])  # here b by one less
    [chain] = [interval for interval in threshold_intervals(table) if interval.order == ((2,), (0, 1))]
    pairs = neighbour_shares(np.stack([table, table, table, other]), chain, ["a", "b", "c"])
    assert [tuple(pair.values()) for pair in pairs] == [("c", "<", "b", 1), ("b", "=", "a", 0.75)]


def test_kendalls_w_is_friedmans_statistic() -> None:
    generator = np.random.default_rng(0)
    for ties in (100, 4):
        values = generator.integers(0, ties, size=(5, 7)).astype(float)
        expected = stats.friedmanchisquare(*values.T).statistic / (5 * 6)
        assert kendalls_w(stats.rankdata(values, axis=-1)) == pytest.approx(expected)
    assert kendalls_w(stats.rankdata(np.tile(np.arange(4.0), (3, 1)), axis=-1)) == pytest.approx(1)
    assert np.isnan(kendalls_w(np.full((3, 4), 2.5)))


def test_consensus_is_the_mean_rank() -> None:
    easy, hard = np.full(3, 0.9), np.array([1, 0.3, 0.3])
    rrc = np.stack([np.stack([hard, easy, easy], axis=1), np.stack([easy, hard, easy], axis=1)])
    consensus = seed_consensus(dict(enumerate(rrc)), NAMES, threshold=0.5)
    assert consensus["mean_rank"] == {"a": 1.75, "b": 1.75, "c": 2.5}
    assert seed_consensus({0: rrc[0]}, NAMES, None)["ranks"] == {"0": {"a": 1, "b": 2.5, "c": 2.5}}


def test_spearman_equals_scipy() -> None:
    generator = np.random.default_rng(0)
    first, second = generator.integers(0, 6, size=(2, 10, 8)).astype(float)
    expected = [stats.spearmanr(a, b).statistic for a, b in zip(first, second, strict=True)]
    np.testing.assert_allclose(spearman(first, second), expected)
    assert np.isnan(spearman(first[0], np.ones(8)))


@pytest.mark.parametrize("correlation", [0.0, 0.6, 0.9])
@pytest.mark.parametrize("classifiers", [4, 8, 24])
def test_intervals_of_correlations_cover_the_truth(classifiers: int, correlation: float) -> None:
    generator = np.random.default_rng(1)
    first, other = generator.normal(size=(2, 600, classifiers))
    second = correlation * first + np.sqrt(1 - correlation**2) * other
    truth = 6 / np.pi * np.arcsin(correlation / 2)
    ends = [population_interval(np.array([one]), classifiers, 0.95) for one in spearman(first, second)]
    covered = np.mean([lower <= truth <= upper for lower, upper in ends])
    assert covered > 0.925


def test_correlations_of_four_classifiers_are_never_certain() -> None:
    rrc = np.array([[1, 0.9, 0.8, 0.7]] * 4)
    covariates = pd.DataFrame({"parameters": [1.0, 2, 3, 4], "same": 1.0}, index=list("abcd"))
    table: Any = order_correlations(rrc, np.stack([rrc] * 50), covariates, threshold=0.75, level=0.95).set_index(
        ["covariate", "position"]
    )
    row = table.loc[("parameters", "mean RRC")]
    assert row["spearman"] == pytest.approx(-1)
    assert row["lower_images"] == row["upper_images"] == pytest.approx(-1)
    assert row["lower"] < -0.99
    assert row["upper"] > 0.5
    assert np.isnan(table.loc[("same", "mean RRC"), "spearman"])
    assert table.loc[("parameters", "sufficient autoencoders"), "spearman"] == pytest.approx(-np.sqrt(0.6))
    with pytest.raises(ValueError, match="'parameters' of 'c' is no finite number"):
        order_correlations(rrc, rrc[None], covariates.replace(3.0, np.nan), None, 0.95)


def test_older_predictions_without_controls_are_read(tmp_path: Path) -> None:
    predictions = drawn_predictions(seeds=1, controls=())
    parts: Any = {
        name: getattr(predictions, name) for name in ("index", "predicted", "top1", "top5", "nmi_intra", "nmi_inter")
    }
    names: Any = {"rows": np.array(predictions.rows), "columns": np.array(predictions.columns)}
    np.savez(tmp_path / "predictions.npz", labels=predictions.labels[:, 0], **names, **parts)
    again = read_predictions(tmp_path / "predictions.npz")
    certainty_again, expected = (
        order_certainty(study, Sample(study.top1, study.sources, HOW)) for study in (again, predictions)
    )  # fmt: skip
    assert certainty_again == expected


def test_covariates_need_every_classifier() -> None:
    predictions = drawn_predictions()
    sample = Sample(predictions.top1, predictions.sources, HOW)
    with pytest.raises(ValueError, match="no row for c"):
        order_certainty(predictions, sample, pd.DataFrame({"parameters": [1, 2]}, index=["a", "b"]))
    certainty = order_certainty(predictions, sample, pd.DataFrame({"parameters": [3, 1, 2]}, index=["c", "a", "b"]))
    [row] = [r for r in certainty["correlations"] if (r["covariate"], r["position"]) == ("parameters", "mean RRC")]
    received = rates_of(predictions, sample)(sample.means).mean(axis=0)
    assert row["spearman"] == pytest.approx(stats.spearmanr(received, [1, 2, 3]).statistic)
