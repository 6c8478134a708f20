"""Agreement of two orders, against SciPy."""

import numpy as np
import pytest
from scipy.stats import spearmanr  # type: ignore[import-untyped]

from stats.order_agreement import law_agreement, order_agreement

OFF = ~np.eye(5, dtype=bool)


def tables(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """A table of five networks, and 200 resamples of it, rounded so that some values are equal."""
    random = np.random.default_rng(seed)
    table = random.uniform(size=(5, 5))
    np.fill_diagonal(table, 1)
    return table.round(1), (table + 0.1 * random.standard_normal((200, 5, 5))).round(1)


@pytest.mark.parametrize("seed", range(5))
def test_the_correlations_of_two_tables_are_those_of_scipy(seed: int) -> None:
    (one, ones), (other, others) = tables(seed), tables(seed + 10)
    found = order_agreement(one, ones, other, others, level=0.9)
    measures = {"positions": lambda table: table.mean(axis=0), "pairs": lambda table: table[OFF]}
    for name, measure in measures.items():
        assert found[name]["spearman"] == pytest.approx(spearmanr(measure(one), measure(other)).statistic)
        resampled = [
            spearmanr(measure(left), measure(right)).statistic for left, right in zip(ones, others, strict=True)
        ]
        lower, upper = np.quantile(resampled, [0.05, 0.95])
        assert found[name]["lower_images"] == pytest.approx(lower, abs=1e-9)
        assert found[name]["upper_images"] == pytest.approx(upper, abs=1e-9)
    assert found["positions"]["lower"] <= found["positions"]["lower_images"]  # other classifiers, too: wider
    assert found["positions"]["upper"] >= found["positions"]["upper_images"]


@pytest.mark.parametrize("seed", range(5))
def test_the_correlation_of_a_law_is_that_of_scipy(seed: int) -> None:
    predicted, (measured, resampled) = np.random.default_rng(seed).uniform(size=(5, 5)), tables(seed)
    found = law_agreement(predicted, measured, resampled, level=0.9)
    assert found["spearman"] == pytest.approx(spearmanr(predicted[OFF], measured[OFF]).statistic)
    of_resamples = [spearmanr(predicted[OFF], table[OFF]).statistic for table in resampled]
    assert [found["lower_images"], found["upper_images"]] == pytest.approx(np.quantile(of_resamples, [0.05, 0.95]))


def test_the_diagonal_and_the_scale_decide_nothing() -> None:
    (one, ones), (other, others) = tables(0), tables(1)
    found = law_agreement(other, one, ones, level=0.95)
    changed, resampled = one.copy(), ones.copy()
    np.fill_diagonal(changed, 9)
    resampled[:, range(5), range(5)] = 9
    assert law_agreement(2 * other + 1, changed**3, resampled**3, level=0.95) == found
    same = order_agreement(one, ones, one, ones, level=0.95)
    assert same["pairs"] == {
        "spearman": pytest.approx(1),
        "lower_images": pytest.approx(1),
        "upper_images": pytest.approx(1),
    }
    assert len(others) == 200


def test_values_that_are_all_equal_have_no_correlation() -> None:
    one, ones = tables(0)
    flat = np.ones((5, 5))
    found = order_agreement(one, ones, flat, np.stack([flat] * 200), level=0.95)
    assert found["pairs"] == {"spearman": None, "lower_images": None, "upper_images": None}
    assert set(found["positions"].values()) == {None}
    assert law_agreement(flat, one, ones, level=0.95)["spearman"] is None
