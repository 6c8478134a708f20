"""What a classifier's concepts are set against: rows of one table."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from methods.concepts import tables
from methods.concepts.activations import Activations
from methods.concepts.controls import LAYER, OWN, PERMUTED, UNTRAINED, kmeans_factor, pca_factor
from methods.concepts.files import PIXELS
from methods.concepts.fits import PRESETS, Floats, Method, factorize, project
from methods.concepts.job import ConceptJob

PLAIN = {"kmeans": kmeans_factor, "pca": pca_factor}
Row = dict[str, Any]


def controls_table(job: ConceptJob) -> pd.DataFrame:
    """The network's own concepts, and below them what they are set against.

    Labels permuted; the same of a network with random weights; some of the blocks alone; k-means and PCA with as many
    components; the published algorithm.

    Args:
        job: The classifier's.
    """
    own, labels = job.own.scaled()[0], job.fitted.labels
    rows = [row(job, OWN, own, job.fitted, tables.held(job.file), job.own.error)]
    if not job.options.controls:
        return pd.DataFrame(rows)
    shuffled = np.random.default_rng(job.cfg.seed).permutation(labels)
    permuted = row(job, PERMUTED, own, job.fitted, None, job.own.error, shuffled)
    rows.append(permuted | above(rows[0], permuted["class_entropy"]))
    untrained, further = (job.collected(images, untrained=True) for images in job.images)
    untrained = untrained.not_empty()
    layers = [layer for layer in job.layers if layer != PIXELS]
    rows.append(factorized(job, UNTRAINED, untrained, further))
    parts = {"pixels": [PIXELS], "activations": layers} if PIXELS in job.layers and layers else {}
    parts |= {f"{LAYER}{layer}": [layer] for layer in layers}
    rows += [factorized(job, name, job.fitted.of(some), job.heldout) for name, some in parts.items()]
    rows += [
        factorized(job, f"{UNTRAINED} {LAYER}{layer}", untrained.of([layer]), further)
        for layer in layers
        if layer in untrained.names
    ]
    rows += plain(job)
    published = replace(PRESETS["published"], seed=job.cfg.seed)
    rows.append(factorized(job, "published", job.fitted, job.heldout, published))
    return pd.DataFrame(rows)


def above(own: Row, permuted: float) -> Row:
    """By how much permuted labels raise the class entropy, with the middle 95 % of permutations."""
    ends = {"": permuted, "_lower": own["null_lower"], "_upper": own["null_upper"]}
    return {f"difference{end}": value - own["class_entropy"] for end, value in ends.items()} | {
        f"cluster_difference{end}": float("nan") for end in ends
    }


def factorized(
    job: ConceptJob, name: str, fitted: Activations, heldout: Activations, method: Method | None = None
) -> Row:
    """A row of another factorisation, of no more concepts than its columns allow.

    Args:
        job: The classifier's.
        name: Of the row.
        fitted: The blocks.
        heldout: Blocks of the images held out, these among them.
        method: How; by default as the network's own.
    """
    method = method or job.method
    if isinstance(method.weights, Mapping):
        factors = {key: part for key, part in method.weights.items() if key in fitted.names}
        left_out = len(factors) == len(fitted.names) and not any(factors.values())
        method = replace(method, weights="balanced" if left_out else factors)
    columns = sum(matrix.shape[1] for matrix in fitted.matrices)
    found = factorize(job.cfg, fitted, min(int(job.options.k), columns), method)
    others = heldout.of(fitted.names)
    projected, _ = project(found, others, method.penalties, job.options.chunk)
    held = (projected * found.norms(), others.labels, others.predicted)
    return row(job, name, found.scaled()[0], fitted, held, found.error)


def plain(job: ConceptJob) -> list[Row]:
    """Rows of k-means and PCA, on the blocks side by side."""
    fitted, heldout = (part.stacked(job.own.weights) for part in (job.fitted, job.heldout))
    rows = []
    for name, grouping in PLAIN.items():
        made, further = grouping(fitted, int(job.options.k), job.cfg.seed, heldout)
        held = (further, job.heldout.labels, job.heldout.predicted)
        rows.append(row(job, name, made, job.fitted, held, float("nan")))
    return rows


def row(
    job: ConceptJob,
    name: str,
    factor: Floats,
    images: Activations,
    held: tables.Held | None,
    error: float,
    labels: Any = None,
) -> Row:
    """How far an image factor keeps to the classes, beside the network's own concepts.

    Args:
        job: The classifier's.
        name: Of the row.
        factor: ``(N, k)``.
        images: Their labels and what the classifier says of them.
        held: Of the images held out.
        error: Relative squared error, mean over the blocks.
        labels: Instead of the images' own.
    """
    labels = images.labels if labels is None else labels
    seed, permutations = job.cfg.seed, job.options.permutations
    summary = tables.summary_row(factor, labels, images.predicted, job.superclasses, held, seed, permutations)
    return (
        {"control": name}
        | summary
        | tables.difference_columns(factor, job.own.scaled()[0], labels, seed=seed)
        | {"error": error}
    )
