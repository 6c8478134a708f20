"""A file of predictions of compressed classifiers: without controls, with the same labels for all."""

from pathlib import Path

import numpy as np

PARENTS = {"vgg_pruned": "vgg", "vgg_int8": "vgg", "resnet_pruned": "resnet"}
COLUMNS = ["vgg", "resnet", *PARENTS]


def write_predictions(path: Path, seed: int = 0, images: int = 60, classes: int = 7, agree: float = 0.6) -> None:
    """Predictions of classifiers that often see the right class, with two seeds of one autoencoder."""
    random = np.random.default_rng(seed)
    sources = ["original", "pretrained", *COLUMNS, "vgg_pruned"]
    labels = random.integers(0, classes, images)
    shape = (images, len(sources), len(COLUMNS))
    right = random.random(shape) < agree
    predicted = np.where(right, labels[:, None, None], random.integers(0, classes, shape))
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(
        path,
        rows=np.array([*sources[:-1], "vgg_pruned-seed1"]),
        sources=np.array(sources),
        columns=np.array(COLUMNS),
        controls=np.array([], dtype=str),
        label_sets=np.array(["label"] * len(COLUMNS)),
        index=np.arange(images) * 2,
        labels=np.repeat(labels[:, None], len(COLUMNS), axis=1),
        predicted=predicted,
        top1=predicted == labels[:, None, None],
        top5=np.ones(shape, dtype=bool),
        nmi_intra=np.ones(shape[:2]),
        nmi_inter=np.ones((images // 2, len(sources))),
    )
