"""How sure a study's order is: one JSON-ready document from its predictions."""

import math
from typing import Any

import numpy as np
import pandas as pd

from stats.accuracy_csv import ORIGINAL, FloatArray
from stats.correlations import order_correlations
from stats.intervals import Sample, rates_of, rrc_by_seed, usable_rates
from stats.order import ThresholdInterval, threshold_intervals, widest_chain
from stats.order_stability import Consensus, chain_shares, consensus_order, middle, neighbour_shares, same_order_share
from stats.predictions import Predictions


def order_certainty(predictions: Predictions, sample: Sample, covariates: pd.DataFrame | None = None) -> dict[str, Any]:
    """Would other images, or other seeds, order the classifiers alike?

    Args:
        predictions: The study's.
        sample: Of its ``top1``.
        covariates: What else is known of the classifiers (rows): columns of numbers, beside their accuracy on the
            originals.

    Returns:
        ``images``; ``resamples`` and how many of them were ``left_out`` (a classifier never right on its own images);
        ``thresholds``: for each range its ``from``, ``to``, whether the estimate is a ``chain``, and the
        ``chain_share`` of resamples that are; ``widest``: the order of the widest chain, the ``threshold`` in its
        middle, its ``chain_share``, the ``same_order_share`` and the ``neighbours``; ``correlations``; ``seeds``.
        ``widest`` is None where there is no chain, ``seeds`` where there is one seed.

    Raises:
        ValueError: If a classifier is never right on its own images, has no autoencoder, or has no covariates.
    """
    names = predictions.classifiers
    rrc, resampled = rates_of(predictions, sample)(sample.means), usable_rates(predictions, sample)
    intervals = threshold_intervals(rrc)
    shares = chain_shares(resampled, intervals)
    chain = widest_chain(intervals)
    threshold = None if chain is None else middle(chain)
    known = covariate_table(predictions, sample, covariates)
    correlations = order_correlations(rrc, resampled, known, threshold, sample.level)
    return {
        "images": len(predictions.index),
        "resamples": len(sample.resampled),
        "left_out": len(sample.resampled) - len(resampled),
        "level": sample.level,
        "thresholds": [
            {"from": i.lower, "to": i.upper, "chain": i.chain, "chain_share": float(share)}
            for i, share in zip(intervals, shares, strict=True)
        ],
        "widest": None if chain is None else widest_document(resampled, chain, shares[intervals.index(chain)], names),
        "correlations": [
            {key: None if isinstance(value, float) and math.isnan(value) else value for key, value in row.items()}
            for row in correlations.to_dict("records")
        ],
        "seeds": consensus_document(predictions, threshold),
    }


def widest_document(
    resampled: FloatArray, chain: ThresholdInterval, chain_share: float, names: list[str]
) -> dict[str, Any]:
    """The order at the widest chain, and how many resamples agree with it, with its parts, and with its being one."""
    assert chain.order is not None
    return {
        "from": chain.lower,
        "to": chain.upper,
        "threshold": middle(chain),
        "order": [[names[j] for j in group] for group in chain.order],
        "chain_share": float(chain_share),
        "same_order_share": same_order_share(resampled, chain),
        "neighbours": [
            {
                "first": names[pair.first],
                "relation": "=" if pair.equal else "<",
                "second": names[pair.second],
                "share": pair.share,
            }
            for pair in neighbour_shares(resampled, chain)
        ],
    }


def consensus_document(predictions: Predictions, threshold: float | None) -> dict[str, Any] | None:
    """The order that the seeds have in common; None where fewer than two seeds have autoencoders of all classifiers."""
    by_seed = rrc_by_seed(predictions)
    if len(by_seed) < 2:
        return None
    found: Consensus = consensus_order(
        np.stack(list(by_seed.values())), predictions.classifiers, list(by_seed), threshold
    )
    return {
        "seeds": list(found.seeds),
        "threshold": threshold,
        "mean_rank": found.mean_rank.to_dict(),
        "ranks": {str(seed): row.to_dict() for seed, row in found.ranks.iterrows()},
        "kendall_w": None if math.isnan(found.agreement) else found.agreement,
    }


def covariate_table(predictions: Predictions, sample: Sample, covariates: pd.DataFrame | None) -> pd.DataFrame:
    """What is known of each classifier of the order: accuracy on the originals, and what was given."""
    names = predictions.classifiers
    table = pd.DataFrame(index=pd.Index(names))
    if ORIGINAL in sample.sources:
        columns = [predictions.columns.index(name) for name in names]
        table["accuracy on originals"] = sample.means[sample.sources.index(ORIGINAL), columns]
    if covariates is None:
        return table
    missing = [name for name in names if name not in covariates.index]
    if missing:
        raise ValueError(f"the covariates have no row for {', '.join(missing)}: give one row for each classifier")
    return table.join(covariates.loc[names].astype(float))
