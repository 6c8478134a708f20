"""How certain a study's order is: one JSON-ready document from its predictions."""

from typing import Any

import pandas as pd

from stats.arrays import FloatArray
from stats.correlations import order_correlations
from stats.intervals import Sample, finite_tables, rates_of, rrc_by_seed
from stats.names import ORIGINAL
from stats.order import ThresholdInterval, threshold_intervals, widest_chain
from stats.order_stability import chain_shares, neighbour_shares, same_order_share, seed_consensus
from stats.predictions import Predictions


def order_certainty(predictions: Predictions, sample: Sample, covariates: pd.DataFrame | None = None) -> dict[str, Any]:
    """Would other images, or other seeds, order the classifiers in the same way?

    Args:
        predictions: The study's.
        sample: Of its ``top1``.
        covariates: What else is known about the classifiers (rows): columns of numbers, beside their accuracy on the
            originals.

    Returns:
        ``images``; ``resamples`` and how many of them were ``left_out`` (those with a classifier that is never right on
        the images of its own autoencoder);
        ``thresholds``: for each range its ``from``, ``to``, whether the estimate is a ``chain``, and the
        ``chain_share`` of resamples that are; ``widest``: the order of the widest chain, the ``threshold`` in its
        middle, its ``chain_share``, the ``same_order_share`` and the ``neighbours``; ``correlations``; ``seeds``.
        ``widest`` is None where there is no chain, ``seeds`` where there is one seed.

    Raises:
        ValueError: If a classifier is never right on the images of its own autoencoder, or has no autoencoder or no
            covariates.

    Example:
        >>> from tests.stats.example import example_predictions, example_sample
        >>> predictions, sample = example_predictions(), example_sample()
        >>> document = order_certainty(predictions, sample)
        >>> [(round(row["to"], 2), row["chain"]) for row in document["thresholds"]], document["widest"]["order"]
        ([(0.67, True), (0.83, False), (1.0, False)], [['a', 'b', 'c']])
    """
    names = predictions.classifiers
    rates = rates_of(predictions, sample)
    rrc, resampled = rates(sample.means), finite_tables(rates(sample.resampled))
    intervals = threshold_intervals(rrc, count=False)
    shares = chain_shares(resampled, intervals)
    chain = widest_chain(intervals)
    threshold = None if chain is None else chain.middle
    known = _covariate_table(predictions, sample, covariates)
    correlations = order_correlations(rrc, resampled, known, threshold, sample.level)
    by_seed = rrc_by_seed(predictions)
    return {
        "images": len(predictions.index),
        "resamples": len(sample.resampled),
        "left_out": len(sample.resampled) - len(resampled),
        "level": sample.level,
        "thresholds": [
            {"from": i.lower, "to": i.upper, "chain": i.chain, "chain_share": float(share)}
            for i, share in zip(intervals, shares, strict=True)
        ],
        "widest": None if chain is None else _widest_document(resampled, chain, shares[intervals.index(chain)], names),
        # JSON has no NaN
        "correlations": correlations.astype(object).where(correlations.notna(), None).to_dict("records"),
        "seeds": seed_consensus(by_seed, names, threshold) if len(by_seed) > 1 else None,
    }


def _widest_document(
    resampled: FloatArray, chain: ThresholdInterval, chain_share: float, names: list[str]
) -> dict[str, Any]:
    """The order at the widest chain, with the shares of resamples that agree with it and with its parts."""
    assert chain.order is not None
    return {
        "from": chain.lower,
        "to": chain.upper,
        "threshold": chain.middle,
        "order": [[names[j] for j in group] for group in chain.order],
        "chain_share": float(chain_share),
        "same_order_share": same_order_share(resampled, chain),
        "neighbours": neighbour_shares(resampled, chain, names),
    }


def _covariate_table(predictions: Predictions, sample: Sample, covariates: pd.DataFrame | None) -> pd.DataFrame:
    """What is known about each classifier of the order: its accuracy on the originals, and the given covariates."""
    names = predictions.classifiers
    table = pd.DataFrame(index=pd.Index(names))
    if ORIGINAL in sample.sources:
        table["accuracy on originals"] = sample.means[sample.sources.index(ORIGINAL), predictions.classifier_columns]
    if covariates is None:
        return table
    missing = [name for name in names if name not in covariates.index]
    if missing:
        raise ValueError(f"the covariates have no row for {', '.join(missing)}: give one row for each classifier")
    return table.join(covariates.loc[names].astype(float))
