"""What an autoencoder changes for the classifier that it was fine-tuned through, averaged for the page."""

import pandas as pd

from stats.names import ORIGINAL, PRETRAINED

OWN = "own"


def mean_gains(differences: pd.DataFrame) -> pd.DataFrame:
    """How much more accurate classifiers are on the images of their A_i than on each baseline, averaged over them.

    Args:
        differences: As from ``paired_differences``: columns ``minus``, ``estimate``, ``lower``, ``upper``.

    Returns:
        Columns ``minus`` (the baseline), ``classifiers``, ``mean`` and ``clear`` (how many of the intervals do not
        contain 0).

    Example:
        >>> from stats.example import example_predictions, example_sample
        >>> from stats.intervals import paired_differences
        >>> mean_gains(paired_differences(example_predictions(), example_sample())).round(2).to_numpy().tolist()
        [['original', 3, 0.22, 1]]
    """
    clear = (differences["lower"] > 0) | (differences["upper"] < 0)
    grouped = differences.assign(clear=clear).groupby("minus", sort=False)
    table = grouped.agg(classifiers=("estimate", "size"), mean=("estimate", "mean"), clear=("clear", "sum"))
    return table.reset_index()


def noise_means(table: pd.DataFrame) -> pd.DataFrame:
    """The accuracy of each classifier under noise, averaged over all strengths above 0.

    Args:
        table: As from ``accuracy_under_noise``: columns ``source``, ``classifier``, ``epsilon``, ``accuracy``.

    Returns:
        Columns ``classifier``, ``original``, ``pretrained`` and ``own`` (its A_i); NaN where one was not measured.

    Example:
        >>> rows = [("original", "a", 0.0, 0.9), ("original", "a", 0.5, 0.4), ("a", "a", 0.5, 0.6)]
        >>> noise_means(pd.DataFrame(rows, columns=["source", "classifier", "epsilon", "accuracy"])).to_dict("records")
        [{'classifier': 'a', 'original': 0.4, 'pretrained': nan, 'own': 0.6}]
    """
    source = table["source"].where(table["source"] != table["classifier"], OWN)
    noisy = table.assign(source=source)[table["epsilon"] > 0]
    wide = noisy.pivot_table("accuracy", "classifier", "source", sort=False)
    return wide.reindex(columns=[ORIGINAL, PRETRAINED, OWN]).reset_index().rename_axis(columns=None)
