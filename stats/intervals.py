"""Intervals for every number that a study reports, from its per-image predictions.

Seeds of one A_i are averaged first, as in the study's own tables. The intervals tell what other images of the same kind
could have changed; how much other seeds change is in columns of its own, as spread.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from stats.accuracy_table import check_accuracies
from stats.arrays import FloatArray, Values
from stats.bootstrap import Interval, Statistic, acceleration, bca_interval, means_of_all, resampled_means
from stats.order import relative_rates
from stats.predictions import Predictions, ReconstructionPredictions


@dataclass(frozen=True)
class Resampling:
    """How the bootstrap is done.

    Attributes:
        resamples: Number of resamples.
        level: Coverage of the intervals, such as 0.95.
        seed: Seed of the resamples.

    Example:
        >>> Resampling(resamples=1000, level=0.95, seed=0).resamples
        1000
    """

    resamples: int
    level: float
    seed: int


class Sample:
    """Per-image values of a study, averaged over seeds, with their means in every resample.

    Args:
        values: Predictions or nMI, ``(N, R, ...)``, a row for each autoencoder and seed.
        sources: Name of each row without its seed.
        how: How the bootstrap is done. Samples of the same N images share their resamples.

    Attributes:
        sources: The S sources, each once.
        means: Means over the images as they are, ``(S, ...)``.
        resampled: Means over the images of every resample, ``(resamples, S, ...)``.

    Raises:
        ValueError: If there are no images.

    Example:
        >>> right = np.array([[[1, 1], [0, 1]], [[0, 1], [1, 1]]], dtype=bool)  # two images, two seeds of one A_i
        >>> sample = Sample(right, ["a", "a"], Resampling(resamples=20, level=0.95, seed=0))
        >>> sample.means.tolist(), sample.interval().lower.tolist()
        ([[0.5, 1.0]], [[0.5, 1.0]])
    """

    def __init__(self, values: Values, sources: Sequence[str], how: Resampling) -> None:
        if not len(values):
            raise ValueError("no images: a study's intervals need predictions; run task=cross_evaluate again")
        self.level = how.level
        self.sources = list(dict.fromkeys(sources))
        rows = [[row for row, name in enumerate(sources) if name == source] for source in self.sources]
        dtype = np.int16 if values.dtype == np.bool_ else None  # whole numbers of correct seeds keep the sums exact
        self._sums = np.stack([values[:, of_source].sum(axis=1, dtype=dtype) for of_source in rows], axis=1)
        seeds = np.array([len(of_source) for of_source in rows])
        self._seeds = seeds.reshape(-1, *[1] * (values.ndim - 2))
        self.means = means_of_all(self._sums) / self._seeds
        self.resampled = resampled_means(self._sums, how.resamples, how.seed) / self._seeds

    def interval(self, statistic: Statistic | None = None) -> Interval:
        """The interval (BCa) of numbers computed from the means ``(..., S, ...)``; of the means themselves if ``None``.

        Resamples in which a number is not finite are left out.

        Raises:
            ValueError: If that leaves no resample.
        """
        compute = statistic or (lambda means: means)
        resampled = compute(self.resampled)
        finite = np.isfinite(resampled).all(axis=tuple(range(1, resampled.ndim)))
        if not finite.any():
            raise ValueError("in no resample can these numbers be computed: there are too few images")
        accelerations = acceleration(self._sums, lambda sums: compute(sums / self._seeds))
        return bca_interval(resampled[finite], compute(self.means), accelerations, self.level)

    def positions(self, names: Sequence[str]) -> list[int]:
        """Positions of some sources among all sources.

        Raises:
            ValueError: If one is missing.
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

    Example:
        >>> from tests.stats.example import example_predictions, example_sample
        >>> predictions, sample = example_predictions(), example_sample()
        >>> accuracy_intervals(predictions, sample, predictions.top1)["estimate"].round(2).tolist()
        [0.83, 0.83, 0.67, 1.0, 0.67, 0.83, 0.83, 1.0, 0.67, 0.67, 0.67, 1.0]
    """
    table = _long_table(sample.interval(), sample.sources, predictions.columns)
    by_row = correct.mean(axis=0)
    return _with_spread(table, [by_row[predictions.rows_of(source)] for source in sample.sources])


def rrc_intervals(predictions: Predictions, sample: Sample) -> pd.DataFrame:
    """Every relative rate of change with its interval, and its spread over the seeds that all classifiers have.

    Resamples in which a classifier was never right on the images of its own autoencoder are left out.

    Args:
        predictions: The study's.
        sample: Of its ``top1``.

    Returns:
        Columns as :func:`accuracy_intervals`.

    Raises:
        ValueError: If a classifier is never right on the images of its own autoencoder, or has no autoencoder.

    Example:
        >>> from tests.stats.example import example_predictions, example_sample
        >>> predictions, sample = example_predictions(), example_sample()
        >>> table = rrc_intervals(predictions, sample)[["autoencoder", "classifier", "estimate"]]
        >>> table.head(3).round(2).to_numpy().tolist()
        [['a', 'a', 1.0], ['a', 'b', 0.67], ['a', 'c', 0.83]]
    """
    names, rates = predictions.classifiers, rates_of(predictions, sample)
    table = _long_table(sample.interval(rates), names, names)
    by_seed = rrc_by_seed(predictions)
    rrc = np.stack(list(by_seed.values())) if len(by_seed) > 1 else rates(sample.means)[None]
    return _with_spread(table, list(rrc.swapaxes(0, 1)))


def rates_of(predictions: Predictions, sample: Sample) -> Statistic:
    """The statistic from a study's accuracies ``(..., S, C)`` to relative rates of change ``(..., n, n)``.

    Args:
        predictions: The study's.
        sample: Of its ``top1`` or ``top5``.

    Raises:
        ValueError: If a classifier is never right on the images of its own autoencoder, or has no autoencoder.

    Example:
        >>> from tests.stats.example import example_predictions, example_sample
        >>> predictions, sample = example_predictions(), example_sample()
        >>> rates_of(predictions, sample)(sample.means).round(2).tolist()
        [[1.0, 0.67, 0.83], [0.83, 1.0, 0.67], [0.67, 0.67, 1.0]]
    """
    names = predictions.classifiers
    square = np.ix_(sample.positions(names), predictions.classifier_columns)
    check_accuracies(sample.means[square], names, source="the cross evaluation")
    return lambda accuracy: relative_rates(accuracy[..., square[0], square[1]])


def finite_tables(tables: FloatArray) -> FloatArray:
    """The tables ``(k, n, n)`` of ``(resamples, n, n)`` that hold no NaN and no infinity.

    Example:
        >>> finite_tables(np.array([[[1.0]], [[np.nan]]])).tolist()
        [[[1.0]]]
    """
    return tables[np.isfinite(tables).all(axis=(-2, -1))]


def paired_differences(
    predictions: Predictions, sample: Sample, pairs: Sequence[tuple[str, str, str]] | None = None
) -> pd.DataFrame:
    r"""How much more accurate a classifier is on one source of images than on another, for the same images.

    .. math:: \mathrm{acc}_{aj} - \mathrm{acc}_{bj}

    where :math:`\mathrm{acc}_{aj}` is the accuracy of classifier :math:`j` on the images of source :math:`a`.

    Args:
        predictions: The study's.
        sample: Of its ``top1`` or ``top5``.
        pairs: ``(source a, source b, classifier)``, for accuracy on a minus accuracy on b; ``None``: each classifier's
            own A_i minus every baseline: originals, A_S and controls.

    Returns:
        Columns ``autoencoder``, ``minus``, ``classifier``, ``estimate``, ``lower``, ``upper``.

    Example:
        >>> from tests.stats.example import example_predictions, example_sample
        >>> predictions, sample = example_predictions(), example_sample()
        >>> table = paired_differences(predictions, sample)
        >>> table[["autoencoder", "minus", "classifier", "estimate"]].round(2).to_numpy().tolist()
        [['a', 'original', 'a', 0.17], ['b', 'original', 'b', 0.17], ['c', 'original', 'c', 0.33]]
    """
    if pairs is None:
        baselines = [source for source in predictions.baselines if source not in predictions.columns]
        pairs = [(name, baseline, name) for baseline in baselines for name in predictions.classifiers]
    first, second = (sample.positions([pair[side] for pair in pairs]) for side in (0, 1))
    columns = [predictions.column(name) for _, _, name in pairs]
    interval = sample.interval(lambda accuracy: accuracy[..., first, columns] - accuracy[..., second, columns])
    return pd.DataFrame(list(pairs), columns=["autoencoder", "minus", "classifier"]).assign(**interval.columns())


def nmi_intervals(predictions: ReconstructionPredictions, how: Resampling) -> pd.DataFrame:
    r"""The mean nMI of every source of images with its interval: within images, and between the images of a pair.

    .. math:: \frac{1}{N} \sum_{n=1}^{N} \mathrm{nMI}_n

    where :math:`\mathrm{nMI}_n` is that of image, or pair, number :math:`n` of :math:`N`.

    Args:
        predictions: The study's.
        how: How the bootstrap is done.

    Returns:
        Columns ``autoencoder``, ``kind`` (``intra`` or ``inter``), ``estimate``, ``lower``, ``upper``; no ``inter``
        where there is no pair.

    Example:
        >>> from tests.stats.example import example_predictions
        >>> table = nmi_intervals(example_predictions(), Resampling(resamples=50, level=0.9, seed=0))
        >>> table[["autoencoder", "kind", "estimate"]].round(2).to_numpy().tolist()[3:5]
        [['c', 'intra', 0.14], ['original', 'inter', 0.05]]
    """
    tables = []
    for kind, values in (("intra", predictions.nmi_intra), ("inter", predictions.nmi_inter)):
        if len(values):
            sample = Sample(values, predictions.sources, how)
            columns = {"autoencoder": sample.sources, "kind": kind} | sample.interval().columns()
            tables.append(pd.DataFrame(columns))
    return pd.concat(tables, ignore_index=True)


def rrc_by_seed(predictions: Predictions) -> dict[int, FloatArray]:
    r"""Relative rates of change ``(n, n)`` with each seed that every classifier's autoencoder was trained with.

    .. math:: \mathrm{RRC}_{ijs} = \frac{\mathrm{acc}_{ijs}}{\min(\mathrm{acc}_{iis}, \mathrm{acc}_{jjs})}

    where :math:`\mathrm{acc}_{ijs}` is the accuracy of classifier :math:`j` on the reconstructions of :math:`A_i`, with
    seed :math:`s`.

    Seeds with which a classifier is never right on the images of its own autoencoder are left out. Autoencoders of one
    seed share the order of their training images and nothing else, so it is arbitrary which seeds are combined.

    Args:
        predictions: The study's; rows are named ``<source>`` for seed 0, else ``<source>-seed<k>``.

    Example:
        >>> from tests.stats.example import example_predictions
        >>> {seed: rrc.round(2).tolist() for seed, rrc in rrc_by_seed(example_predictions()).items()}
        {0: [[1.0, 0.67, 0.83], [0.83, 1.0, 0.67], [0.67, 0.67, 1.0]]}
    """
    rows = [_rows_by_seed(predictions, name) for name in predictions.classifiers]
    accuracy = predictions.top1.mean(axis=0)
    common = sorted(set.intersection(*map(set, rows))) if rows else []
    rates = {
        seed: relative_rates(accuracy[np.ix_([of_name[seed] for of_name in rows], predictions.classifier_columns)])
        for seed in common
    }
    return {seed: rrc for seed, rrc in rates.items() if np.isfinite(rrc).all()}


def _rows_by_seed(predictions: Predictions, source: str) -> dict[int, int]:
    """The row of each seed of a source."""
    rows = predictions.rows_of(source)
    return {int(predictions.rows[row].removeprefix(source).removeprefix("-seed") or 0): row for row in rows}


def _long_table(interval: Interval, rows: Sequence[str], columns: Sequence[str]) -> pd.DataFrame:
    """A matrix of intervals as a table with a line for each cell."""
    index = pd.MultiIndex.from_product([rows, columns], names=["autoencoder", "classifier"])
    return pd.DataFrame(interval.columns(), index=index).reset_index()


def _with_spread(table: pd.DataFrame, by_seed: Sequence[FloatArray]) -> pd.DataFrame:
    """Add to each cell of a long table how much it differs between seeds: for each row values ``(seeds, columns)``."""
    spreads = []
    for values in by_seed:
        spread = np.full((3, values.shape[1]), np.nan)
        if len(values) > 1:
            spread = np.stack([values.std(axis=0, ddof=1), values.min(axis=0), values.max(axis=0)])
        columns = dict(zip(("seed_std", "seed_min", "seed_max"), spread, strict=True))
        spreads.append(pd.DataFrame({"seeds": len(values), **columns}))
    return table.join(pd.concat(spreads, ignore_index=True))
