"""What a factorisation says, as tables; nothing in them depends on the scale or the order of its components."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from methods.concepts.agreement import label_agreement
from methods.concepts.classes import (
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
from methods.concepts.clusters import image_clusters, layer_profile, neuron_clusters
from methods.concepts.files import Array, ConceptFile, row_norms
from methods.concepts.neighbours import (
    NEIGHBOURS,
    error_auroc,
    impurity,
    impurity_bins,
    neighbour_accuracy,
    neighbour_votes,
)
from methods.concepts.superclasses import superclass_labels

UNKNOWN = float("nan")
Held = tuple[Array, Array, Array]
"""Of images that were not factorised: scaled image factor ``(N', k)``, labels ``(N',)``, predictions ``(N',)``."""


def concepts_table(
    file: ConceptFile, superclasses: Sequence[str] | None = None, seed: int = 0, permutations: int = 1000
) -> pd.DataFrame:
    """What each concept is.

    Args:
        file: The factorisation.
        superclasses: The super-class of each class, if there are any.
        seed: Of the permutations.
        permutations: Of the labels, for the null.

    Returns:
        A row for each: ``concept``; ``mass``, its share of the scaled image factor; ``images``, how many have most of
        it; ``top_class`` and ``top_class_mass``, its share there; ``class_entropy`` in [0, 1]; ``null_mean`` and ``p``
        of permuted labels; ``superclass_entropy`` and ``top_superclass`` (NaN and empty without super-classes);
        ``dead``. A dead concept has NaN and empty names.
    """
    factor, _ = file.scaled()
    shares, present = class_mass(factor, file.labels)
    null = permutation_null(factor, file.labels, permutations, seed)
    alive, clusters = live(factor), image_clusters(factor)
    coarse_entropy, coarse_top = coarse_columns(factor, file.labels, superclasses)
    total = factor.sum()
    return pd.DataFrame({
        "concept": range(len(alive)),
        "mass": factor.sum(axis=0) / total if total else 0.0,
        "images": np.bincount(clusters[clusters >= 0], minlength=len(alive)),
        "top_class": np.where(alive, file.classes[present[shares.argmax(axis=1)]].astype(object), ""),
        "top_class_mass": np.where(alive, shares.max(axis=1), np.nan),
        "class_entropy": null.entropy, "null_mean": null.null_mean, "p": null.p,
        "superclass_entropy": coarse_entropy, "top_superclass": np.where(alive, coarse_top, ""), "dead": ~alive,
    })  # fmt: skip


def coarse_columns(factor: Array, labels: Array, superclasses: Sequence[str] | None) -> tuple[Array, Array]:
    """The entropy of each concept over the super-classes, and the one it has most of; NaN and empty without any."""
    if superclasses is None:
        return np.full(factor.shape[1], np.nan), np.full(factor.shape[1], "", dtype=object)
    coarse, names = superclass_labels(labels, superclasses)
    shares, present = class_mass(factor, coarse)
    return class_entropy(factor, coarse), np.array(names, dtype=object)[present[shares.argmax(axis=1)]]


def profile_table(file: ConceptFile) -> pd.DataFrame:
    """How each concept is spread over the blocks: ``concept``, ``block``, ``share``."""
    shares = layer_profile(file.scaled()[1])
    return long(shares, [str(block) for block in file.blocks], "block")


def classes_table(file: ConceptFile, superclasses: Sequence[str] | None = None) -> pd.DataFrame:
    """How each concept's mass is spread over the classes that there are.

    Args:
        file: The factorisation.
        superclasses: The super-class of each class, if there are any.

    Returns:
        ``concept``, ``class`` in the order of the labels, ``share``; with super-classes also ``superclass``.
    """
    shares, present = class_mass(file.scaled()[0], file.labels)
    table = long(shares, [str(name) for name in file.classes[present]], "class")
    if superclasses is not None:
        table["superclass"] = [superclasses[label] for label in present] * len(shares)
    return table


def neurons_table(file: ConceptFile) -> pd.DataFrame:
    """The concept of every neuron.

    Returns:
        ``block``, ``neuron`` (its place in the block, which runs through channels, then rows, then columns),
        ``concept`` (-1: none), ``selectivity``.
    """
    tables = []
    for block, factor in zip(file.blocks, file.factors, strict=True):
        concepts, selectivity = neuron_clusters(factor, file.image_factor)
        columns = {"neuron": range(len(concepts)), "concept": concepts, "selectivity": selectivity}
        tables.append(pd.DataFrame(columns).assign(block=str(block)))
    return pd.concat(tables, ignore_index=True)[["block", "neuron", "concept", "selectivity"]]


def long(shares: Array, names: Sequence[str], column: str) -> pd.DataFrame:
    """A matrix ``(k, len(names))`` with a row for each value."""
    concepts = np.repeat(np.arange(len(shares)), len(names))
    return pd.DataFrame({"concept": concepts, column: list(names) * len(shares), "share": shares.ravel()})


def held(file: ConceptFile) -> Held | None:
    """The images that were not factorised, if there are any; their image factor in the scale of :meth:`scaled`."""
    if not len(file.heldout_labels):
        return None
    norms = row_norms(file.weights, file.factors)
    return file.heldout_image_factor * norms, file.heldout_labels, file.heldout_predicted


def summary_row(
    image_factor: Array,
    labels: Array,
    predicted: Array,
    superclasses: Sequence[str] | None = None,
    heldout: Held | None = None,
    seed: int = 0,
    permutations: int = 1000,
    neighbours: int = NEIGHBOURS,
) -> dict[str, Any]:
    """How well a factorisation, or any grouping of the same kind, keeps to the classes.

    Args:
        image_factor: At least 0, ``(N, k)``; of a factorisation, the scaled one.
        labels: ``(N,)``.
        predicted: What the classifier says, ``(N,)``.
        superclasses: The super-class of each class, if there are any.
        heldout: Images that were not factorised. If given, neighbours are counted for them, among the factorised ones;
            else for the factorised ones, each without itself.
        seed: Of the permutations.
        permutations: Of the labels, for the null.
        neighbours: Nearest neighbours, by the cosine of their concepts.

    Returns:
        ``concepts`` (live ones), ``class_entropy`` (their mean), ``null_mean``, ``null_lower`` and ``null_upper`` (the
        middle 95 % of permuted labels), ``p``, ``superclass_entropy``; of the clusters ``cluster_entropy``, ``purity``,
        ``nmi``, ``ari``, ``superclass_nmi``; of neighbours ``knn_impurity_auroc`` and ``knn_accuracy``; NaN where
        something is not defined.
    """
    clusters = image_clusters(image_factor)
    queries, asked, said = heldout if heldout is not None else (None, labels, predicted)
    votes, present = neighbour_votes(image_factor, labels, queries, neighbours)
    return {
        "concepts": int(live(image_factor).sum()),
        **null_columns(permutation_null(image_factor, labels, permutations, seed)),
        "cluster_entropy": cluster_entropy(clusters, labels),
        **label_agreement(clusters, labels),
        **coarse_numbers(image_factor, clusters, labels, superclasses),
        "knn_impurity_auroc": error_auroc(impurity(votes, present, asked), asked, said),
        "knn_accuracy": neighbour_accuracy(votes, present, asked),
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
    known = bool(np.isfinite(null.means).all())
    lower, upper = np.quantile(null.means, [0.025, 0.975]) if known else (UNKNOWN, UNKNOWN)
    return {
        "class_entropy": null.mean,
        "null_mean": float(null.means.mean()),
        "null_lower": float(lower),
        "null_upper": float(upper),
        "p": null.mean_p,
    }


def difference_columns(
    control: Array, own: Array, labels: Array, resamples: int = 2000, seed: int = 0
) -> dict[str, float]:
    """The mean class entropy of a control minus that of the network's own concepts.

    Args:
        control: Image factor ``(N, k')``; of a factorisation, the scaled one.
        own: Likewise of the same images, ``(N, k)``.
        labels: ``(N,)``.
        resamples: Of the images.
        seed: Of the resamples.

    Returns:
        ``difference`` and the ends of its 95 % interval, ``difference_lower`` and ``difference_upper``; and the same of
        their :func:`methods.concepts.classes.cluster_entropy`, ``cluster_difference`` and its ends, which is the fair
        one where only one of the two overlaps.
    """
    clusters = image_clusters(control), image_clusters(own)
    found = {
        "difference": entropy_difference(control, own, labels, resamples, seed),
        "cluster_difference": cluster_entropy_difference(*clusters, labels, resamples, seed),
    }
    return {
        f"{name}{end}": float(value)
        for name, interval in found.items()
        for end, value in (("", interval.estimate), ("_lower", interval.lower), ("_upper", interval.upper))
    }


def impurity_table(file: ConceptFile, neighbours: int = NEIGHBOURS) -> pd.DataFrame:
    """The classifier's accuracy by impurity.

    Args:
        file: The factorisation.
        neighbours: Nearest neighbours, by the cosine of their concepts.

    Returns:
        ``images`` (``fitted``, or ``heldout``, whose neighbours are fitted ones), and the columns of
        :func:`methods.concepts.neighbours.impurity_bins`.
    """
    factor, further = file.scaled()[0], held(file)
    asked = {"fitted": (None, file.labels, file.predicted)} | ({"heldout": further} if further is not None else {})
    tables = []
    for name, (queries, labels, predicted) in asked.items():
        votes, present = neighbour_votes(factor, file.labels, queries, neighbours)
        tables.append(impurity_bins(impurity(votes, present, labels), labels, predicted).assign(images=name))
    return pd.concat(tables, ignore_index=True)[["images", "low", "high", "count", "accuracy"]]
