"""A study of random predictions, for tests of what is computed from them."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from scipy.stats import norm  # type: ignore[import-untyped]

from stats.intervals import Resampling
from stats.predictions import ReconstructionPredictions

NAMES = ["a", "b", "c"]
HOW = Resampling(200, 0.95, seed=3)
LABEL_SETS = ["colour", "colour", "shape", "colour × shape"]


def drawn_predictions(
    images: int = 120, seeds: int = 2, controls: Sequence[str] = ("control",), names: Sequence[str] = NAMES
) -> ReconstructionPredictions:
    """A study in which some images are difficult for all classifiers; the last column is a control classifier."""
    generator = np.random.default_rng(5)
    sources = ["original", "pretrained", *controls, *(name for name in names for _ in range(seeds))]
    own = [name if seed == 0 else f"{name}-seed{seed}" for name in names for seed in range(seeds)]
    columns = [*names, *controls]
    chance = generator.uniform(0.3, 0.9, size=(len(sources), len(columns)))
    difficulty = generator.normal(size=(images, 1, 1)) + generator.normal(size=(images, *chance.shape))
    top1 = difficulty < norm.ppf(chance) * np.sqrt(2)
    return ReconstructionPredictions(
        rows=["original", "pretrained", *controls, *own],
        sources=sources,
        columns=columns,
        controls=list(controls),
        label_sets=["label"] * len(columns),
        index=np.arange(images),
        labels=np.zeros((images, len(columns)), dtype=np.int64),
        predicted=np.zeros((images, *chance.shape), dtype=np.int64),
        top1=top1,
        top5=top1 | (generator.random(top1.shape) < 0.5),
        nmi_intra=generator.random((images, len(sources))),
        nmi_inter=generator.random((images // 2, len(sources))),
    )


def planted_cues(seeds: int = 2) -> ReconstructionPredictions:
    """A study of four classifiers with the labels of ``LABEL_SETS``, and a control."""
    predictions = drawn_predictions(seeds=seeds, names=list("abcd"))
    labels = np.arange(120)[:, None] % 4 + np.zeros((1, 5), dtype=np.int64)
    return replace(predictions, label_sets=[*LABEL_SETS, "label"], labels=labels)
