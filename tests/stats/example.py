"""A small study for the examples in docstrings, so that every number in them can be checked by hand."""

import numpy as np

from stats.intervals import Resampling, Sample
from stats.predictions import ReconstructionPredictions

PREDICTED = """
000011 000111 001111 001011
000011 000001 000111 100101
000001 001111 110111 000111
"""
"""A line for each classifier, in it a word for each source: the class that it predicts for each of the six images."""


def example_predictions() -> ReconstructionPredictions:
    """Predictions of classifiers ``a``, ``b``, ``c`` for six images of two classes (0 0 0 1 1 1).

    The sources of images are the originals and the reconstructions of each classifier's autoencoder.

    Example:
        >>> predictions = example_predictions()
        >>> predictions.top1.mean(axis=0).round(2).tolist()
        [[0.83, 0.83, 0.67], [1.0, 0.67, 0.83], [0.83, 1.0, 0.67], [0.67, 0.67, 1.0]]
    """
    words = [line.split() for line in PREDICTED.split("\n") if line]
    predicted = np.array([[list(map(int, word)) for word in line] for line in words]).transpose(2, 1, 0)
    labels = np.repeat([0, 1], 3)
    return ReconstructionPredictions(
        rows=["original", "a", "b", "c"],
        sources=["original", "a", "b", "c"],
        columns=["a", "b", "c"],
        controls=[],
        label_sets=["label"] * 3,
        index=np.arange(6),
        labels=np.repeat(labels[:, None], 3, axis=1),
        predicted=predicted,
        top1=predicted == labels[:, None, None],
        top5=np.ones((6, 4, 3), dtype=bool),
        nmi_intra=np.linspace(0.01, 0.24, 24).reshape(6, 4),
        nmi_inter=np.linspace(0.01, 0.12, 12).reshape(3, 4),
    )


def example_sample() -> Sample:
    """The accuracies of :func:`example_predictions`, with 50 resamples.

    Example:
        >>> example_sample().resampled.shape
        (50, 4, 3)
    """
    predictions = example_predictions()
    return Sample(predictions.top1, predictions.sources, Resampling(resamples=50, level=0.9, seed=0))
