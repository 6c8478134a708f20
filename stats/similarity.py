"""How similar two classifiers are by three measures, and how far the measures agree."""

from collections.abc import Sequence
from itertools import combinations

import numpy as np
import pandas as pd

from stats.names import ORIGINAL
from stats.order import relative_rates
from stats.predictions import Predictions

MEASURES = ("kappa", "cka", "rrc")


def similarity_pairs(predictions: Predictions, kappa: pd.DataFrame, cka: pd.DataFrame) -> pd.DataFrame:
    """Every pair of classifiers with its similarity on the originals.

    Args:
        predictions: The study's.
        kappa: Columns ``source``, ``classifier``, ``other``, ``kappa``.
        cka: Columns ``source``, ``classifier``, ``other_source``, ``other``, ``cka``.

    Returns:
        Columns ``classifier``, ``other``, ``kappa``, ``cka`` and ``rrc`` (mean of both directions; of controls it is
        not given); NaN where a pair was not measured.

    Example:
        >>> from tests.stats.example import example_predictions
        >>> kappa = pd.DataFrame([("original", "a", "b", 0.5)], columns=["source", "classifier", "other", "kappa"])
        >>> cka = kappa.assign(other_source="original").rename(columns={"kappa": "cka"})
        >>> similarity_pairs(example_predictions(), kappa, cka).round(2).to_numpy().tolist()
        [['a', 'b', 0.5, 0.5, 0.75], ['a', 'c', nan, nan, 0.75], ['b', 'c', nan, nan, 0.67]]
    """
    keys = ["classifier", "other"]
    names = predictions.columns
    pairs = pd.DataFrame(list(combinations(names, 2)), columns=keys)
    kappa = kappa[kappa["source"] == ORIGINAL][[*keys, "kappa"]]
    cka = cka[(cka["source"] == ORIGINAL) & (cka["other_source"] == ORIGINAL)][[*keys, "cka"]]
    return pairs.merge(kappa, how="left").merge(cka, how="left").merge(mutual_rates(predictions), how="left")


def mutual_rates(predictions: Predictions) -> pd.DataFrame:
    """The relative rate of change between every two classifiers of the order, mean of both directions.

    Returns:
        Columns ``classifier``, ``other``, ``rrc``.

    Example:
        >>> from tests.stats.example import example_predictions
        >>> mutual_rates(example_predictions()).round(2).to_numpy().tolist()
        [['a', 'b', 0.75], ['a', 'c', 0.75], ['b', 'c', 0.67]]
    """
    names = predictions.classifiers
    by_row = predictions.top1.mean(axis=0)[:, predictions.classifier_columns]
    accuracy = np.stack([by_row[predictions.rows_of(name)].mean(axis=0) for name in names])
    rrc = relative_rates(accuracy)
    rows = [(names[i], names[j], (rrc[i, j] + rrc[j, i]) / 2) for i, j in combinations(range(len(names)), 2)]
    return pd.DataFrame(rows, columns=["classifier", "other", "rrc"])


def measure_correlations(pairs: pd.DataFrame, measures: Sequence[str] = MEASURES) -> pd.DataFrame:
    """How far two measures of similarity go together over the pairs that have both.

    Args:
        pairs: As from :func:`similarity_pairs`.
        measures: Its columns.

    Returns:
        Columns ``first``, ``second``, ``pairs``, ``spearman`` and ``pearson``; only measures with at least three pairs.

    Example:
        >>> pairs = pd.DataFrame({"kappa": [0.1, 0.2, 0.4], "cka": [0.3, 0.5, 0.6], "rrc": [1.0, np.nan, 1.0]})
        >>> measure_correlations(pairs).round(2).to_numpy().tolist()
        [['kappa', 'cka', 3, 1.0, 0.93]]
    """
    rows = []
    for first, second in combinations(measures, 2):
        both = pairs[[first, second]].dropna()
        if len(both) > 2:
            spearman, pearson = both.rank().corr().iloc[0, 1], both.corr().iloc[0, 1]
            rows.append((first, second, len(both), spearman, pearson))
    return pd.DataFrame(rows, columns=["first", "second", "pairs", "spearman", "pearson"])
