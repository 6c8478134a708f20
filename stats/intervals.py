"""Intervals for everything that a study reports, from its per-image predictions.

Seeds of one A_i are averaged first, as in the study's own tables. The intervals tell what other images of the same kind
could have changed; how much other seeds change is told beside them, as spread.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from stats.accuracy_csv import FloatArray, check_accuracies
from stats.bootstrap import Interval, Statistic, Values, acceleration, bca_interval, means_of_all, resampled_means
from stats.order_stability import relative_rates, usable
from stats.predictions import Predictions


@dataclass(frozen=True)
class Resampling:
    """How the bootstrap is done.

    Attributes:
        resamples: Number of resamples.
        level: Coverage of the intervals.
        seed: Of the resamples.
    """

    resamples: int = 1000
    level: float = 0.95
    seed: int = 0


class Sample:
    """Per-image values of a study, averaged over seeds, with their means in every resample.

    Args:
        values: Predictions or nMI, ``(N, R, ...)``, a row for each autoencoder and seed.
        sources: Of each row its name without the seed.
        how: How the bootstrap is done. Samples of the same N images share their resamples.

    Attributes:
        sources: The S sources, each once.
        means: Of the images as they are, ``(S, ...)``.
        resampled: Of every resample, ``(resamples, S, ...)``.

    Raises:
        ValueError: If there are no images.
    """

    def __init__(self, values: Values, sources: Sequence[str], how: Resampling) -> None:
        if not len(values):
            raise ValueError("no images: a study's intervals need predictions; run task=cross_evaluate again")
        self.level = how.level
        self.sources = list(dict.fromkeys(sources))
        rows = {source: [row for row, name in enumerate(sources) if name == source] for source in self.sources}
        whole = values.dtype == np.bool_
        # whole numbers of right seeds keep sums exact
        self._sums = np.stack(
            [values[:, found].sum(axis=1, dtype=np.int16 if whole else None) for found in rows.values()], axis=1
        )
        seeds = np.array([len(found) for found in rows.values()])
        self._seeds = seeds.reshape(-1, *[1] * (values.ndim - 2))
        self.means = means_of_all(self._sums) / self._seeds
        self.resampled = resampled_means(self._sums, how.resamples, how.seed) / self._seeds

    def interval(self, statistic: Statistic | None = None) -> Interval:
        """The interval (BCa) of numbers computed from the means ``(..., S, ...)``; of the means themselves if ``None``.

        Resamples in which a number is not finite are left out.
        """
        compute = statistic or (lambda means: means)
        resampled = compute(self.resampled)
        finite = np.isfinite(resampled).all(axis=tuple(range(1, resampled.ndim)))
        if not finite.any():
            raise ValueError("in no resample can these numbers be computed: there are too few images")
        accelerations = acceleration(self._sums, lambda sums: compute(sums / self._seeds))
        return bca_interval(resampled[finite], compute(self.means), accelerations, self.level)

    def places(self, names: Sequence[str]) -> list[int]:
        """Where sources are.

        Raises:
            ValueError: If one is not there.
        """
        missing = [name for name in names if name not in self.sources]
        if missing:
            raise ValueError(
                f"no row of the autoencoder of {', '.join(missing)}: run task=finetune classifier={missing[0]}, then "
                "task=cross_evaluate"
            )
        return [self.sources.index(name) for name in names]


def accuracy_intervals(predictions: Predictions, sample: Sample, correct: Values) -> pd.DataFrame:
    """Every accuracy with its interval, and its spread over seeds.

    Args:
        predictions: The study's.
        sample: Of ``correct``.
        correct: ``predictions.top1`` or ``predictions.top5``.

    Returns:
        Columns ``autoencoder``, ``classifier``, ``estimate``, ``lower``, ``upper``, ``seeds``, ``seed_std``,
        ``seed_min``, ``seed_max``; the last three are NaN where there is one seed.
    """
    table = long_table(sample.interval(), sample.sources, predictions.columns)
    by_row = correct.mean(axis=0)
    by_seed = {source: by_row[predictions.rows_of(source)] for source in sample.sources}
    return with_spread(table, by_seed, predictions.columns)


def rrc_intervals(predictions: Predictions, sample: Sample) -> pd.DataFrame:
    """Every relative rate of change with its interval, and its spread over the seeds that all classifiers have.

    Resamples in which a classifier was never right on its own images are left out.

    Returns:
        Columns as ``accuracy_intervals``.

    Raises:
        ValueError: If a classifier is never right on its own images, or has no autoencoder.
    """
    names, rrc = predictions.classifiers, rates_of(predictions, sample)
    table = long_table(sample.interval(rrc), names, names)
    by_seed = rrc_by_seed(predictions)
    rates = np.stack(list(by_seed.values())) if len(by_seed) > 1 else rrc(sample.means)[None]
    return with_spread(table, {name: rates[:, row] for row, name in enumerate(names)}, names)


def rates_of(predictions: Predictions, sample: Sample) -> Statistic:
    """The statistic from a study's accuracies ``(..., S, C)`` to relative rates of change ``(..., n, n)``.

    Raises:
        ValueError: If a classifier is never right on its own images, or has no autoencoder.
    """
    names = predictions.classifiers
    rows, columns = sample.places(names), [predictions.columns.index(name) for name in names]
    square = np.ix_(rows, columns)
    check_accuracies(sample.means[square], names, source="the cross evaluation")
    return lambda accuracy: relative_rates(accuracy[..., square[0], square[1]])


def usable_rates(predictions: Predictions, sample: Sample) -> FloatArray:
    """The relative rates of change of every resample in which they can be computed, ``(usable resamples, n, n)``."""
    rrc = rates_of(predictions, sample)(sample.resampled)
    return rrc[usable(rrc)]


def paired_differences(
    predictions: Predictions, sample: Sample, pairs: Sequence[tuple[str, str, str]] | None = None
) -> pd.DataFrame:
    """How much better a classifier reads one source of images than another, the same images under both.

    Args:
        predictions: The study's.
        sample: Of its ``top1`` or ``top5``.
        pairs: ``(source a, source b, classifier)``, for accuracy on a minus accuracy on b; ``None``: each classifier's
            own A_i minus every baseline: originals, A_S and controls.

    Returns:
        Columns ``autoencoder``, ``minus``, ``classifier``, ``estimate``, ``lower``, ``upper``.
    """
    if pairs is None:
        baselines = [source for source in predictions.baselines if source not in predictions.columns]
        pairs = [(name, baseline, name) for baseline in baselines for name in predictions.classifiers]
    first, second = (sample.places([pair[side] for pair in pairs]) for side in (0, 1))
    columns = [predictions.columns.index(name) for _, _, name in pairs]
    found = sample.interval(lambda accuracy: accuracy[..., first, columns] - accuracy[..., second, columns])
    names = pd.DataFrame(list(pairs), columns=["autoencoder", "minus", "classifier"])
    return names.assign(estimate=found.estimate, lower=found.lower, upper=found.upper)


def nmi_intervals(predictions: Predictions, how: Resampling) -> pd.DataFrame:
    """The mean nMI of every source of images with its interval: within images, and between the images of a pair.

    Returns:
        Columns ``autoencoder``, ``kind`` (``intra`` or ``inter``), ``estimate``, ``lower``, ``upper``; no ``inter``
        where there is no pair.
    """
    tables = []
    for kind, values in (("intra", predictions.nmi_intra), ("inter", predictions.nmi_inter)):
        if len(values):
            sample = Sample(values, predictions.sources, how)
            found = sample.interval()
            ends = {"estimate": found.estimate, "lower": found.lower, "upper": found.upper}
            tables.append(pd.DataFrame({"autoencoder": sample.sources, "kind": kind} | ends))
    return pd.concat(tables, ignore_index=True)


def long_table(interval: Interval, rows: Sequence[str], columns: Sequence[str]) -> pd.DataFrame:
    """A matrix of intervals as a table with a line for each cell."""
    index = pd.MultiIndex.from_product([rows, columns], names=["autoencoder", "classifier"])
    ends = {"estimate": interval.estimate, "lower": interval.lower, "upper": interval.upper}
    return pd.DataFrame({name: values.ravel() for name, values in ends.items()}, index=index).reset_index()


def with_spread(table: pd.DataFrame, by_seed: Mapping[str, FloatArray], columns: Sequence[str]) -> pd.DataFrame:
    """Add to each cell of a long table how much it differs between seeds.

    Args:
        table: Result of ``long_table``.
        by_seed: For each row the values with each seed, ``(seeds, columns)``.
        columns: Names of the columns.
    """
    lines = []
    for values in by_seed.values():
        several = len(values) > 1
        spread = (values.std(axis=0, ddof=1), values.min(axis=0), values.max(axis=0)) if several else ()
        for column in range(len(columns)):
            lines.append([len(values), *(float(part[column]) for part in spread), *([np.nan] * (0 if several else 3))])
    spreads = pd.DataFrame(lines, columns=["seeds", "seed_std", "seed_min", "seed_max"])
    return table.join(spreads)


def seeds_of(predictions: Predictions, source: str) -> dict[int, int]:
    """The row of each seed of a source; rows are named ``<source>`` for seed 0, else ``<source>-seed<k>``."""
    pattern = re.compile(re.escape(source) + r"(?:-seed(\d+))?")
    found = {row: pattern.fullmatch(predictions.rows[row]) for row in predictions.rows_of(source)}
    return {int(match.group(1) or 0): row for row, match in found.items() if match}


def rrc_by_seed(predictions: Predictions) -> dict[int, FloatArray]:
    """Relative rates of change ``(n, n)`` with each seed that every classifier's autoencoder was trained with.

    Seeds with which a classifier is never right on its own images are left out. Autoencoders of one seed share the
    order of their training images and nothing else: which seed of one meets which seed of another is chance.
    """
    names = predictions.classifiers
    rows = [seeds_of(predictions, name) for name in names]
    columns = [predictions.columns.index(name) for name in names]
    accuracy = predictions.top1.mean(axis=0)
    common = sorted(set.intersection(*(set(found) for found in rows))) if rows else []
    rates = {seed: relative_rates(accuracy[np.ix_([found[seed] for found in rows], columns)]) for seed in common}
    return {seed: rrc for seed, rrc in rates.items() if np.isfinite(rrc).all()}
