"""Tables of a factorisation; nothing in them depends on the scale or the order of its components."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import false_discovery_control  # type: ignore[import-untyped]

from methods.concepts.class_entropy import (
    EntropyNull,
    class_entropy,
    class_mass,
    cluster_entropy,
    cluster_entropy_difference,
    entropy_difference,
    live,
    mean_of_live,
    permutation_null,
)
from methods.concepts.clusters import (
    NEIGHBOURS,
    error_auroc,
    image_clusters,
    impurity,
    impurity_bins,
    label_agreement,
    layer_profile,
    neighbour_accuracy,
    neighbour_votes,
    neuron_clusters,
)
from methods.concepts.record import Array, ConceptRecord, row_norms
from methods.concepts.superclasses import superclass_labels

UNKNOWN = float("nan")
HeldOut = tuple[Array, Array, Array]
"""Images that were not factorised: scaled image factor ``(N', k)``, labels ``(N',)``, predictions ``(N',)``."""


def concepts_table(
    record: ConceptRecord, superclasses: Sequence[str] | None, seed: int, permutations: int
) -> pd.DataFrame:
    """A row for each concept.

    Args:
        record: The factorisation.
        superclasses: The super-class of each class, if there are any.
        seed: Decides the permutations.
        permutations: Permutations of the labels, for the null.

    Returns:
        ``concept``; ``mass``, its share of the scaled image factor; ``images``, of which it is the strongest concept;
        ``top_class``, where most of its mass is, and ``top_class_mass``, its share there; ``class_entropy`` in [0, 1];
        ``null_mean`` and ``p`` of permuted labels, and ``q``, which is p adjusted for the number of concepts (false
        discovery rate); ``superclass_entropy`` and ``top_superclass`` (NaN and empty without super-classes); ``dead``.
        A dead concept has NaN and empty names.
    """
    factor, _ = record.scaled()
    shares, present = class_mass(factor, record.labels)
    null = permutation_null(factor, record.labels, permutations, seed)
    alive, clusters = live(factor), image_clusters(factor)
    coarse_entropy, coarse_top = coarse_columns(factor, record.labels, superclasses)
    q = np.full(len(alive), np.nan)
    if alive.any() and np.isfinite(null.p[alive]).all():  # with a single class there is no p
        q[alive] = false_discovery_control(null.p[alive])
    total = factor.sum()
    return pd.DataFrame({
        "concept": range(len(alive)),
        "mass": factor.sum(axis=0) / total if total else 0.0,
        "images": np.bincount(clusters[clusters >= 0], minlength=len(alive)),
        "top_class": np.where(alive, record.classes[present[shares.argmax(axis=1)]].astype(object), ""),
        "top_class_mass": np.where(alive, shares.max(axis=1), np.nan),
        "class_entropy": null.entropy, "null_mean": null.null_mean, "p": null.p, "q": q,
        "superclass_entropy": coarse_entropy, "top_superclass": np.where(alive, coarse_top, ""), "dead": ~alive,
    })  # fmt: skip


def coarse_columns(factor: Array, labels: Array, superclasses: Sequence[str] | None) -> tuple[Array, Array]:
    """The entropy of each concept over the super-classes, and that with most of its mass; NaN and empty without any."""
    if superclasses is None:
        return np.full(factor.shape[1], np.nan), np.full(factor.shape[1], "", dtype=object)
    coarse, names = superclass_labels(labels, superclasses)
    shares, present = class_mass(factor, coarse)
    return class_entropy(factor, coarse), np.array(names, dtype=object)[present[shares.argmax(axis=1)]]


def profile_table(record: ConceptRecord) -> pd.DataFrame:
    """How each concept is spread over the blocks: ``concept``, ``block``, ``share``."""
    return long(layer_profile(record.scaled()[1]), [str(block) for block in record.blocks], "block")


def classes_table(record: ConceptRecord, superclasses: Sequence[str] | None) -> pd.DataFrame:
    """How the mass of each concept is spread over the classes that occur.

    Args:
        record: The factorisation.
        superclasses: The super-class of each class, if there are any.

    Returns:
        ``concept``, ``class`` in the order of the labels, ``share``; with super-classes also ``superclass``.
    """
    shares, present = class_mass(record.scaled()[0], record.labels)
    table = long(shares, [str(name) for name in record.classes[present]], "class")
    if superclasses is not None:
        table["superclass"] = [superclasses[label] for label in present] * len(shares)
    return table


def neurons_table(record: ConceptRecord) -> pd.DataFrame:
    """The strongest concept of every neuron.

    Returns:
        ``block``, ``neuron`` (its number in the block, which counts channels, then rows, then columns), ``concept``
        (-1: none), ``selectivity``.
    """
    tables = []
    for block, factor in zip(record.blocks, record.block_factors, strict=True):
        concepts, selectivity = neuron_clusters(factor, record.image_factor)
        columns = {"neuron": range(len(concepts)), "concept": concepts, "selectivity": selectivity}
        tables.append(pd.DataFrame(columns).assign(block=str(block)))
    return pd.concat(tables, ignore_index=True)[["block", "neuron", "concept", "selectivity"]]


def long(shares: Array, names: Sequence[str], column: str) -> pd.DataFrame:
    """A matrix ``(k, len(names))`` with a row for each value."""
    concepts = np.repeat(np.arange(len(shares)), len(names))
    return pd.DataFrame({"concept": concepts, column: list(names) * len(shares), "share": shares.ravel()})


def held_out(record: ConceptRecord) -> HeldOut:
    """The images that were not factorised, with their image factor in the scale of :meth:`ConceptRecord.scaled`."""
    norms = row_norms(record.weights, record.block_factors)
    return record.heldout_image_factor * norms, record.heldout_labels, record.heldout_predicted


def summary_row(
    image_factor: Array,
    labels: Array,
    predicted: Array,
    superclasses: Sequence[str] | None,
    heldout: HeldOut | None,
    seed: int,
    permutations: int,
) -> dict[str, Any]:
    """How well a factorisation, or any grouping of the same kind, keeps to the classes.

    Args:
        image_factor: At least 0, ``(N, k)``; the scaled one of a factorisation.
        labels: ``(N,)``.
        predicted: Predictions of the classifier, ``(N,)``.
        superclasses: The super-class of each class, if there are any.
        heldout: The images whose nearest neighbours among the factorised images are counted; ``None``: the factorised
            images themselves, each without itself.
        seed: Decides the permutations.
        permutations: Permutations of the labels, for the null.

    Returns:
        ``concepts`` (live ones), ``class_entropy`` (their mean), ``null_mean``, ``null_lower`` and ``null_upper`` (the
        middle 95 % of permuted labels), ``p``; of the clusters by strongest concept ``cluster_entropy``, ``purity``,
        ``nmi``, ``ari``; ``superclass_entropy`` and ``superclass_nmi``; of the nearest neighbours
        ``knn_impurity_auroc`` and ``knn_accuracy``; NaN where something is not defined.
    """
    clusters = image_clusters(image_factor)
    queries, right, decisions = heldout if heldout is not None else (None, labels, predicted)
    votes, present = neighbour_votes(image_factor, labels, queries, NEIGHBOURS)
    return {
        "concepts": int(live(image_factor).sum()),
        **null_columns(permutation_null(image_factor, labels, permutations, seed)),
        "cluster_entropy": cluster_entropy(clusters, labels),
        **label_agreement(clusters, labels),
        **coarse_numbers(image_factor, clusters, labels, superclasses),
        "knn_impurity_auroc": error_auroc(impurity(votes, present, right), right, decisions),
        "knn_accuracy": neighbour_accuracy(votes, present, right),
    }


def coarse_numbers(
    image_factor: Array, clusters: Array, labels: Array, superclasses: Sequence[str] | None
) -> dict[str, float]:
    """How well concepts and clusters keep to super-classes, as columns; NaN without any."""
    if superclasses is None:
        return {"superclass_entropy": UNKNOWN, "superclass_nmi": UNKNOWN}
    coarse, _ = superclass_labels(labels, superclasses)
    mean = float(mean_of_live(class_entropy(image_factor, coarse)))
    return {"superclass_entropy": mean, "superclass_nmi": label_agreement(clusters, coarse)["nmi"]}


def null_columns(null: EntropyNull) -> dict[str, float]:
    """The mean class entropy beside that of permuted labels, as columns."""
    lower, upper = np.quantile(null.means, [0.025, 0.975])
    return {
        "class_entropy": null.mean,
        "null_mean": float(null.means.mean()),
        "null_lower": float(lower),
        "null_upper": float(upper),
        "p": null.mean_p,
    }


def difference_columns(control: Array, concepts: Array, labels: Array, resamples: int, seed: int) -> dict[str, float]:
    """The mean class entropy of a control minus that of the network's concepts.

    Args:
        control: Image factor ``(N, k')``; the scaled one of a factorisation.
        concepts: Image factor of the network's concepts for the same images, ``(N, k)``.
        labels: ``(N,)``.
        resamples: Resamples of the images.
        seed: Decides the resamples.

    Returns:
        ``difference`` and the ends of its 95 % interval, ``difference_lower`` and ``difference_upper``; and for the
        :func:`methods.concepts.class_entropy.cluster_entropy` ``cluster_difference`` and its ends, which are the fair
        comparison where only one of the two overlaps.
    """
    clusters = image_clusters(control), image_clusters(concepts)
    intervals = {
        "difference": entropy_difference(control, concepts, labels, resamples, seed),
        "cluster_difference": cluster_entropy_difference(*clusters, labels, resamples, seed),
    }
    return {
        f"{name}{end}": float(value)
        for name, interval in intervals.items()
        for end, value in (("", interval.estimate), ("_lower", interval.lower), ("_upper", interval.upper))
    }


def impurity_table(record: ConceptRecord) -> pd.DataFrame:
    """The accuracy of the classifier by impurity.

    Returns:
        ``images`` (``fitted``, or ``heldout``, whose neighbours are fitted ones), and the columns of
        :func:`methods.concepts.clusters.impurity_bins`.
    """
    factor = record.scaled()[0]
    images = {"fitted": (None, record.labels, record.predicted), "heldout": held_out(record)}
    tables = []
    for name, (queries, labels, predicted) in images.items():
        votes, present = neighbour_votes(factor, record.labels, queries, NEIGHBOURS)
        tables.append(impurity_bins(impurity(votes, present, labels), labels, predicted).assign(images=name))
    return pd.concat(tables, ignore_index=True)[["images", "low", "high", "count", "accuracy", "lower", "upper"]]
