"""Where it is known which cue each classifier uses: the pairs that share it, and how much their autoencoders keep."""

import pandas as pd

from stats.cue_retention import ENDS, pairs_by_labels, separation
from stats.intervals import Sample, rates_of
from stats.predictions import Predictions

SAME, OTHER = "same cue", "other cue"


def cue_tables(predictions: Predictions, sample: Sample) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Cue retention and the pairs behind it; both are empty in a study that has no such pairs.

    Args:
        predictions: The study's.
        sample: Of ``predictions.top1``.

    Returns:
        As :func:`separation`, with the column ``number``; and columns ``autoencoder``, ``classifier``, ``cue`` (``same
        cue`` or ``other cue``), ``rrc``.

    Example:
        >>> from dataclasses import replace
        >>> from stats.example import example_predictions, example_sample
        >>> predictions = replace(example_predictions(), label_sets=["colour", "colour", "shape"])
        >>> cue_tables(predictions, example_sample())[1].round(2).to_numpy().tolist()[:3]
        [['a', 'b', 'same cue', 0.67], ['a', 'c', 'other cue', 0.83], ['b', 'a', 'same cue', 0.83]]
    """
    names = predictions.classifiers
    same, apart = pairs_by_labels([predictions.label_sets[column] for column in predictions.classifier_columns])
    columns = ["autoencoder", "classifier", "cue", "rrc"]
    if not same.any() or not apart.any():
        return pd.DataFrame(columns=["number", *ENDS]), pd.DataFrame(columns=columns)
    rrc = rates_of(predictions, sample)(sample.means)
    rows = [
        (one, other, SAME if same[i, j] else OTHER, rrc[i, j])
        for i, one in enumerate(names)
        for j, other in enumerate(names)
        if same[i, j] or apart[i, j]
    ]
    return separation(predictions, sample).reset_index(), pd.DataFrame(rows, columns=columns)
