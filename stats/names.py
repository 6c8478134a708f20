"""Names of the sources of images that every study has, as its tables write them."""

ORIGINAL = "original"
"""The untouched images."""
PRETRAINED = "pretrained"
"""The reconstructions of A_S, the autoencoder before fine-tuning."""
OWN = "own A_i"
"""For each classifier, the reconstructions of the autoencoder that was fine-tuned through it."""
ACCURACY, RETENTION = "accuracy", "retention"  # share of right predictions: of given labels, or of own decisions


def in_measure(name: str, measure: str) -> str:
    """The name of a file or column about accuracy, for a study that measures ``measure``.

    Example:
        >>> in_measure("accuracy_top5.csv", "retention")
        'retention_top5.csv'
    """
    return name.replace(ACCURACY, measure)
