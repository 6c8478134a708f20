"""Controls: the rows of one table, of which the first is the network's concepts."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA

from methods.concepts import tables
from methods.concepts.activations import Activations
from methods.concepts.class_entropy import RESAMPLES
from methods.concepts.fits import Method, factorize, project, published_method
from methods.concepts.job import ConceptJob
from methods.concepts.record import PIXELS, Array, Floats, row_norms

STARTS = 4  # of k-means; the best is kept
CONCEPTS = "concepts"  # no control: the concepts of the network, in every table the first row of each classifier
PERMUTED = "permuted"  # the concepts of the network with shuffled labels
UNTRAINED = "untrained"  # a network with random weights
LAYER = "layer:"  # before the name of the one layer whose activations were factorised
Row = dict[str, Any]


def controls_table(job: ConceptJob) -> pd.DataFrame:
    """The concepts of the network, and below them the controls.

    Permuted labels; a network with random weights; the pixels, all layers and each layer alone, of both networks;
    k-means and PCA with as many components; the published method.

    Args:
        job: The job of the classifier.
    """
    concepts, labels = job.concepts.scaled()[0], job.fitted.labels
    rows = [row(job, CONCEPTS, concepts, job.fitted, tables.held_out(job.record), job.concepts.error)]
    if not job.settings.controls:
        return pd.DataFrame(rows)
    shuffled = np.random.default_rng(job.cfg.seed).permutation(labels)
    permuted = row(job, PERMUTED, concepts, job.fitted, None, job.concepts.error, shuffled)
    rows.append(permuted | null_difference(rows[0], permuted["class_entropy"]))
    untrained, untrained_heldout = (job.collected(images, untrained=True) for images in job.images)
    untrained = untrained.not_empty()
    layers = [layer for layer in job.layers if layer != PIXELS]
    rows.append(factorized(job, UNTRAINED, untrained, untrained_heldout))
    parts = {"pixels": [PIXELS], "activations": layers} if PIXELS in job.layers and layers else {}
    parts |= {f"{LAYER}{layer}": [layer] for layer in layers}
    rows += [factorized(job, name, job.fitted.of(blocks), job.heldout) for name, blocks in parts.items()]
    rows += [
        factorized(job, f"{UNTRAINED} {LAYER}{layer}", untrained.of([layer]), untrained_heldout)
        for layer in layers
        if layer in untrained.names
    ]
    rows += grouped(job)
    rows.append(factorized(job, "published", job.fitted, job.heldout, published_method(job.cfg.seed)))
    return pd.DataFrame(rows)


def null_difference(concepts: Row, permuted: float) -> Row:
    """By how much permuted labels raise the class entropy, with the middle 95 % of permutations."""
    ends = {"": permuted, "_lower": concepts["null_lower"], "_upper": concepts["null_upper"]}
    return {f"difference{end}": value - concepts["class_entropy"] for end, value in ends.items()} | {
        f"cluster_difference{end}": float("nan") for end in ends
    }


def factorized(
    job: ConceptJob, name: str, fitted: Activations, heldout: Activations, method: Method | None = None
) -> Row:
    """A row of another factorisation, with fewer concepts where the blocks have fewer columns.

    Args:
        job: The job of the classifier.
        name: Name of the row.
        fitted: The blocks.
        heldout: Blocks of the images held out, these among them.
        method: ``None``: that of the network's concepts.
    """
    method = method or job.method
    if isinstance(method.weights, Mapping):
        factors = {key: factor for key, factor in method.weights.items() if key in fitted.names}
        all_zero = len(factors) == len(fitted.names) and not any(factors.values())
        method = replace(method, weights="balanced" if all_zero else factors)
    columns = sum(matrix.shape[1] for matrix in fitted.matrices)
    concepts = factorize(job.cfg, fitted, min(job.settings.k, columns), method)
    others = heldout.of(fitted.names)
    projected, _ = project(concepts, others, method.penalties, job.settings.chunk)
    held_out = (projected * row_norms(concepts.weights, concepts.factors), others.labels, others.predicted)
    return row(job, name, concepts.scaled()[0], fitted, held_out, concepts.error)


def grouped(job: ConceptJob) -> list[Row]:
    """Rows of k-means and PCA, on the blocks side by side."""
    fitted, heldout = (part.stacked(job.concepts.weights) for part in (job.fitted, job.heldout))
    rows = []
    for name, make in {"kmeans": kmeans_factor, "pca": pca_factor}.items():
        factor, further = make(fitted, job.settings.k, job.cfg.seed, heldout)
        held_out = (further, job.heldout.labels, job.heldout.predicted)
        rows.append(row(job, name, factor, job.fitted, held_out, float("nan")))
    return rows


def row(
    job: ConceptJob,
    name: str,
    factor: Floats,
    images: Activations,
    held_out: tables.HeldOut | None,
    error: float,
    labels: Array | None = None,
) -> Row:
    """How far an image factor keeps to the classes, beside the concepts of the network.

    Args:
        job: The job of the classifier.
        name: Name of the row.
        factor: ``(N, k)``.
        images: The images, for their labels and predictions.
        held_out: The images held out.
        error: Relative squared error, mean over the blocks.
        labels: Instead of the labels of the images.
    """
    labels = images.labels if labels is None else labels
    seed, permutations = job.cfg.seed, job.settings.permutations
    summary = tables.summary_row(factor, labels, images.predicted, job.superclasses, held_out, seed, permutations)
    difference = tables.difference_columns(factor, job.concepts.scaled()[0], labels, RESAMPLES, seed)
    return {"control": name} | summary | difference | {"error": error}


def kmeans_factor(matrix: Array, components: int, seed: int, heldout: Array) -> tuple[Array, Array]:
    """An image factor from k-means: 1 where the image is in the cluster, else 0.

    Args:
        matrix: All blocks side by side, each times √a_b, ``(N, M)``.
        components: Clusters, k.
        seed: Decides the starts.
        heldout: Further images, ``(N', M)``, each put into the nearest cluster.

    Returns:
        Of 0 and 1, ``(N, k)`` and ``(N', k)``.
    """
    model = KMeans(components, n_init=STARTS, random_state=seed).fit(matrix)
    ones = np.eye(components)
    return ones[model.labels_], ones[model.predict(heldout)]


def pca_factor(matrix: Array, components: int, seed: int, heldout: Array) -> tuple[Array, Array]:
    """An image factor from PCA: the absolute scores, for a component has two ends.

    Args:
        matrix: All blocks side by side, each times √a_b, ``(N, M)``.
        components: Components with the largest variance, k.
        seed: Decides what the solver draws, if it does.
        heldout: Further images, ``(N', M)``.

    Returns:
        ``(N, k)`` and ``(N', k)``.
    """
    model = PCA(components, random_state=seed)
    scores = model.fit_transform(matrix)
    return np.abs(scores), np.abs(model.transform(heldout))
