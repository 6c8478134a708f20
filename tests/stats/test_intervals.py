"""Intervals against a literal bootstrap, against SciPy, and against the truth of simulated studies."""

from itertools import product
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats  # type: ignore[import-untyped]

from stats import bootstrap
from stats.bootstrap import (
    acceleration,
    bca_interval,
    means_of_all,
    percentile_interval,
    resample_counts,
    resampled_means,
    weighted_means,
)
from stats.intervals import (
    Resampling,
    Sample,
    accuracy_intervals,
    finite_tables,
    nmi_intervals,
    paired_differences,
    rates_of,
    rrc_by_seed,
    rrc_intervals,
)
from stats.order import relative_rates
from stats.order_certainty import order_certainty
from stats.tables import accuracy_table, mean_over_seeds, nmi_table
from tests.stats.drawn import HOW, NAMES, drawn_predictions

TRUTH = np.array([[0.85, 0.6], [0.7, 0.8], [0.5, 0.55]])  # A_a, A_b, A_S on classifiers a and b


def simulated_studies(seed: int, truth: np.ndarray, studies: int, images: int = 400) -> np.ndarray:
    """Predictions ``(images, studies, 3, 2)`` with known accuracies."""
    generator = np.random.default_rng(seed)
    difficulty = generator.normal(size=(images, studies, 1, 1)) + generator.normal(size=(images, studies, *truth.shape))
    return np.asarray(difficulty < stats.norm.ppf(truth) * np.sqrt(2))


def reported(accuracy: np.ndarray) -> np.ndarray:
    """Accuracies, the two rates of change that are not 1, own A_i minus A_S: ``(..., 10)`` of ``(..., 3, 2)``."""
    rrc = relative_rates(accuracy[..., :2, :])
    differences = accuracy[..., [0, 1], [0, 1]] - accuracy[..., 2, [0, 1]]
    flat = accuracy.reshape(*accuracy.shape[:-2], 6)
    return np.concatenate([flat, rrc[..., [0, 1], [1, 0]], differences], axis=-1)


def coverages(seed: int, truth: np.ndarray, studies: int = 1000) -> np.ndarray:
    """For each reported number, the share of simulated studies with 95 % intervals that hold the truth."""
    predictions = simulated_studies(seed, truth, studies)
    estimate = reported(means_of_all(predictions))
    resampled = reported(resampled_means(predictions, 1000, seed))
    interval = bca_interval(resampled, estimate, acceleration(predictions, reported), 0.95)
    known = reported(truth)
    return np.asarray(((interval.lower <= known + 1e-9) & (known - 1e-9 <= interval.upper)).mean(axis=0))


@pytest.mark.parametrize(
    "truth",
    [TRUTH, np.array([[0.8, 0.6], [0.7, 0.8], [0.5, 0.55]]), np.array([[0.3, 0.05], [0.1, 0.2], [0.1, 0.1]])],
    ids=["different", "equally good", "poor"],
)
def test_intervals_cover_the_truth(truth: np.ndarray) -> None:
    coverage = coverages(10, truth)
    assert (coverage > 0.93).all(), coverage
    assert (coverage < 0.97).all(), coverage


def test_resampled_means_equal_a_literal_bootstrap() -> None:
    predictions = drawn_predictions()
    sample = Sample(predictions.top1, predictions.sources, HOW)
    counts = np.concatenate(list(resample_counts(120, HOW.resamples, HOW.seed)))
    rrc = finite_tables(rates_of(predictions, sample)(sample.resampled))
    for number in range(0, HOW.resamples, 29):
        images = np.repeat(np.arange(120), counts[number])
        table = accuracy_table(predictions.top1[images], predictions.rows, predictions.columns)
        table = mean_over_seeds(table, predictions.sources)
        np.testing.assert_allclose(sample.resampled[number], table.loc[sample.sources], atol=1e-12)
        expected = relative_rates(table.loc[NAMES, NAMES].to_numpy())
        np.testing.assert_allclose(rrc[number], expected, atol=1e-12)


def test_resampled_nmi_equals_a_literal_bootstrap() -> None:
    predictions = drawn_predictions()
    sample = Sample(predictions.nmi_inter, predictions.sources, HOW)
    counts = np.concatenate(list(resample_counts(60, HOW.resamples, HOW.seed)))
    pairs = np.repeat(np.arange(60), counts[7])
    expected = nmi_table(predictions.nmi_intra, predictions.nmi_inter[pairs], predictions.rows)["inter_mean"]
    expected = expected.groupby(pd.Index(predictions.sources), sort=False).mean()
    np.testing.assert_allclose(sample.resampled[7], expected, atol=1e-12)


def test_tables_hold_the_studys_own_estimates() -> None:
    predictions = drawn_predictions()
    sample = Sample(predictions.top1, predictions.sources, HOW)
    accuracy: Any = accuracy_intervals(predictions, sample, predictions.top1)
    own = mean_over_seeds(accuracy_table(predictions.top1, predictions.rows, predictions.columns), predictions.sources)
    wide: Any = accuracy.pivot(index="autoencoder", columns="classifier", values="estimate")
    np.testing.assert_allclose(wide.loc[own.index, own.columns], own, atol=1e-12)
    nmi: Any = nmi_intervals(predictions, HOW).set_index(["kind", "autoencoder"])["estimate"]
    table = mean_over_seeds(
        nmi_table(predictions.nmi_intra, predictions.nmi_inter, predictions.rows), predictions.sources
    )
    np.testing.assert_allclose(nmi.loc["intra"], table["intra_mean"], atol=1e-12)
    np.testing.assert_allclose(nmi.loc["inter"], table["inter_mean"], atol=1e-12)
    assert set(rrc_intervals(predictions, sample)["classifier"]) == set(NAMES)  # a control has no part in the order


def test_counts_do_not_depend_on_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = np.concatenate(list(resample_counts(50, 40, seed=2)))
    monkeypatch.setattr(bootstrap, "COUNTS_AT_ONCE", 350)
    blocks = list(resample_counts(50, 40, seed=2))
    assert len(blocks) == 6
    np.testing.assert_array_equal(np.concatenate(blocks), whole)
    assert (whole.sum(axis=1) == 50).all()
    assert abs(whole.var() - 49 / 50) < 0.1  # of draws with replacement


def test_permuting_images_and_their_counts_changes_nothing() -> None:
    predictions = drawn_predictions().top1
    [counts] = resample_counts(120, 50, seed=1)
    order = np.random.default_rng(0).permutation(120)
    np.testing.assert_array_equal(
        weighted_means(predictions[order], counts[:, order]), weighted_means(predictions, counts)
    )


@pytest.mark.parametrize("statistic", ["accuracy", "rrc", "difference"])
def test_bca_equals_scipy(statistic: str) -> None:
    predictions = simulated_studies(4, TRUTH, studies=1, images=80)[:, 0]
    which: Any = {"accuracy": 0, "rrc": 6, "difference": 8}[statistic]
    resampled = reported(resampled_means(predictions, 999, seed=0))
    interval = bca_interval(resampled, reported(means_of_all(predictions)), acceleration(predictions, reported), 0.9)

    def compute(images: np.ndarray, axis: int = -1) -> np.ndarray:
        return np.asarray(reported(predictions[images].mean(axis=images.ndim - 1))[..., which])

    # those of SciPy that equal the estimate must do so to the last bit
    distribution = np.round(resampled[:, which], 12)
    expected = stats.bootstrap(
        (np.arange(80),),
        lambda images, axis=-1: np.round(compute(images, axis), 12),
        n_resamples=0,
        vectorized=True,
        method="BCa",
        confidence_level=0.9,
        bootstrap_result=type("Result", (), {"bootstrap_distribution": distribution})(),
    ).confidence_interval
    assert interval.lower[which] == pytest.approx(expected.low, abs=1e-9)
    assert interval.upper[which] == pytest.approx(expected.high, abs=1e-9)


def test_percentiles_equal_scipy() -> None:
    predictions = simulated_studies(4, TRUTH, studies=1, images=80)[:, 0, 0, 0]
    resampled = resampled_means(predictions, 500, seed=0)
    interval = percentile_interval(resampled, means_of_all(predictions), 0.9)
    result = type("Result", (), {"bootstrap_distribution": resampled})()
    expected = stats.bootstrap(
        (predictions,), np.mean, n_resamples=0, method="percentile", confidence_level=0.9, bootstrap_result=result
    ).confidence_interval
    assert (interval.lower, interval.upper) == pytest.approx((expected.low, expected.high), abs=1e-12)


def test_classifiers_with_the_same_predictions_have_a_rate_of_exactly_1() -> None:
    predictions = drawn_predictions()
    predictions.top1[:, :, 1] = predictions.top1[:, :, 0]
    for seed in range(2):
        predictions.top1[:, 5 + seed] = predictions.top1[:, 3 + seed]  # A_b is A_a
    table: Any = rrc_intervals(predictions, Sample(predictions.top1, predictions.sources, HOW)).set_index(
        ["autoencoder", "classifier"]
    )
    for cell in product("ab", "ab"):
        assert table.loc[cell, ["estimate", "lower", "upper"]].tolist() == [1, 1, 1]


def test_differences_are_paired() -> None:
    predictions = drawn_predictions(seeds=1)
    sample = Sample(predictions.top1, predictions.sources, HOW)
    pairs = [("a", "pretrained", "a"), ("pretrained", "a", "a"), ("a", "a", "b")]
    differences: Any = paired_differences(predictions, sample, pairs)
    difference = predictions.top1[:, 3, 0].astype(float) - predictions.top1[:, 1, 0]
    resampled = resampled_means(difference, HOW.resamples, HOW.seed)
    skew = acceleration(difference, lambda means: means)
    expected = bca_interval(resampled, means_of_all(difference), skew, HOW.level)
    assert differences.loc[0, ["lower", "upper"]].tolist() == pytest.approx([expected.lower, expected.upper], abs=1e-12)
    assert differences.loc[1, "estimate"] == -differences.loc[0, "estimate"]
    assert differences.loc[2, ["estimate", "lower", "upper"]].tolist() == [0, 0, 0]
    standard = paired_differences(predictions, sample)
    assert list(standard["minus"].unique()) == ["original", "pretrained"]  # the control is a classifier here


def test_spread_over_seeds_is_that_of_the_rows() -> None:
    predictions = drawn_predictions(seeds=3)
    sample = Sample(predictions.top1, predictions.sources, HOW)
    table: Any = accuracy_intervals(predictions, sample, predictions.top1).set_index(["autoencoder", "classifier"])
    values = predictions.top1[:, predictions.rows_of("b"), 2].mean(axis=0)
    row = table.loc[("b", "c")]
    assert (row["seeds"], row["seed_min"], row["seed_max"]) == (3, values.min(), values.max())
    assert row["seed_std"] == pytest.approx(np.std(values, ddof=1))
    assert table.loc["original", ["seed_std", "seed_min"]].isna().all(axis=None)
    by_seed = rrc_by_seed(predictions)
    rows = [predictions.rows.index(f"{name}-seed2") for name in NAMES]
    expected = relative_rates(predictions.top1.mean(axis=0)[np.ix_(rows, [0, 1, 2])])
    np.testing.assert_allclose(by_seed[2], expected)
    rrc: Any = rrc_intervals(predictions, sample).set_index(["autoencoder", "classifier"])
    assert rrc.loc[("a", "b"), "seed_max"] == max(by_seed[seed][0, 1] for seed in range(3))


def test_one_seed_has_no_spread_and_no_consensus() -> None:
    predictions = drawn_predictions(seeds=1)
    sample = Sample(predictions.top1, predictions.sources, HOW)
    assert rrc_intervals(predictions, sample)["seed_std"].isna().all()
    assert order_certainty(predictions, sample)["seeds"] is None


def test_all_right_gives_no_width_and_all_wrong_an_error() -> None:
    predictions = drawn_predictions()
    predictions.top1[:] = True
    sample = Sample(predictions.top1, predictions.sources, HOW)
    for table in (rrc_intervals(predictions, sample), accuracy_intervals(predictions, sample, predictions.top1)):
        assert (table[["estimate", "lower", "upper"]] == 1).all(axis=None)
    predictions.top1[:, predictions.rows_of("b"), 1] = False
    sample = Sample(predictions.top1, predictions.sources, HOW)
    with pytest.raises(ValueError, match="accuracy of 'b' on its own autoencoder is 0"):
        rrc_intervals(predictions, sample)
    assert np.isfinite(accuracy_intervals(predictions, sample, predictions.top1)["upper"]).all()
    with pytest.raises(ValueError, match="no images"):
        Sample(predictions.top1[:0], predictions.sources, HOW)


def test_resamples_without_an_own_accuracy_are_left_out_and_counted() -> None:
    predictions = drawn_predictions(images=30)
    predictions.top1[:, predictions.rows_of("b"), 1] = False
    predictions.top1[:2, predictions.rows_of("b"), 1] = True  # absent from exp(-2) of the resamples
    sample = Sample(predictions.top1, predictions.sources, Resampling(2000, 0.95, seed=0))
    table: Any = rrc_intervals(predictions, sample)
    assert np.isfinite(table[["estimate", "lower", "upper"]]).all(axis=None)
    counts = np.concatenate(list(resample_counts(30, 2000, 0)))
    certainty = order_certainty(predictions, sample)
    assert certainty["left_out"] == (counts[:, :2].sum(axis=1) == 0).sum() > 0


def test_a_classifier_without_its_autoencoder_is_an_error() -> None:
    predictions = drawn_predictions(seeds=1)
    sample = Sample(predictions.top1[:, :-1], predictions.sources[:-1], HOW)
    with pytest.raises(ValueError, match="no row of the autoencoder of c: run task=finetune classifier=c"):
        rrc_intervals(predictions, sample)
