"""How often patterns succeed: the predictions of a classifier on images with patterns, and the tables of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from lightning_modules.finiteness import check_finite
from lightning_modules.image_test import ImageTest
from lightning_modules.per_image_results import PerImageResults
from methods.class_patterns.patterns import HARD, SEARCHED, SOFT, Array, Planned, paste
from methods.class_patterns.search_module import check_targets
from networks.classifier import freeze
from stats.proportion import wilson_interval

TABLES = ("success", "by_source", "transfer", "simplicity", "class_anomaly", "triggers")  # of single patterns, as CSV
SUCCESS = [
    "classifier", "class", "pair", "kind", "number", "source", "method", "budget", "pixels", "seed", "success", "lower",
    "upper", "images", "clean", "overall", "soft", "gap",
]  # fmt: skip
TRANSFER = ["source", "class", "pair", "kind", "budget", "seed", "success", "lower", "upper", "images", "target"]
BY_SOURCE = ["class", "source", "method", "budget", "success", "images"]


@dataclass(frozen=True)
class PatternPredictions:
    """Results of N images for R patterns.

    Attributes:
        index: Index of each image in its split, ``(N,)``.
        labels: The label of each image, ``(N,)``.
        clean: The prediction on each image without a pattern, ``(N,)``.
        hits: 1 where the prediction on the image with the pattern is the pattern's target class, uint8 ``(N, R)``.
    """

    index: np.ndarray
    labels: np.ndarray
    clean: np.ndarray
    hits: np.ndarray


class PatternSuccess(ImageTest):
    """One pass over test images, each with every pattern pasted on it in turn.

    After ``trainer.test`` the predictions are in ``result``, the same for any number of ranks.

    Args:
        classifier: From images in [0, 1] to logits.
        planned: The R masks with their canvases and target classes.
        index: Indices of the test images in their split, ascending.
        complete: Whether every image must be seen; otherwise missing images are left out of the result.
        chunk: Images of a forward pass.

    Raises:
        ValueError: If the classifier has no logit for a target; in ``measure`` when an output is not finite.
    """

    result: PatternPredictions

    def __init__(
        self, classifier: nn.Module, planned: Sequence[Planned], index: Sequence[int], *, complete: bool, chunk: int
    ) -> None:
        super().__init__()
        self.classifier, self.planned, self.chunk = freeze(classifier), planned, chunk
        self.targets = torch.tensor([int(entry.row["target"]) for entry in planned])
        check_targets(classifier, self.targets, planned[0].mask.shape)
        self.results = PerImageResults(
            index, complete, labels=((), torch.long), clean=((), torch.long), hits=((len(planned),), torch.uint8)
        )

    def measure(self, images: Tensor, labels: Tensor, index: Tensor) -> None:
        """Predict one batch without a pattern and with every pattern."""
        clean = self.predictions(images, index)
        together = max(1, self.chunk // len(images))
        starts = range(0, len(self.planned), together)
        hits = [self.hits_of(slice(start, start + together), images, index) for start in starts]
        self.results.update(index, labels=labels, clean=clean, hits=torch.cat(hits, dim=1))

    def hits_of(self, patterns: slice, images: Tensor, index: Tensor) -> Tensor:
        """1 where the prediction on an image with a pattern is its target, uint8 ``(B, patterns)``."""
        masks = torch.stack([entry.mask.to(images) for entry in self.planned[patterns]])
        canvases = torch.stack([entry.canvas for entry in self.planned[patterns]]).to(images) / 255
        pasted = paste(images[:, None], canvases[None], masks[None]).flatten(0, 1)
        predictions = self.predictions(pasted, index.repeat_interleave(len(masks))).reshape(len(images), -1)
        return (predictions == self.targets[patterns].to(predictions.device)).to(torch.uint8)

    def predictions(self, images: Tensor, index: Tensor) -> Tensor:
        """The prediction on each image, ``(B,)``."""
        logits = torch.cat([self.classifier(part) for part in images.split(self.chunk)])
        check_finite(logits, index, "the output of a classifier, shown patterns,")
        return logits.argmax(dim=1)

    def on_test_epoch_end(self) -> None:
        """Put the predictions of all ranks together."""
        index, values = self.results.compute()
        self.result = PatternPredictions(index, **values)


def success_tables(
    name: str, predictions: PatternPredictions, rows: pd.DataFrame, classes: Sequence[str]
) -> dict[str, pd.DataFrame]:
    """The rows of one classifier in ``success.csv``, ``by_source.csv`` and ``transfer.csv``.

    Args:
        name: Name of the classifier.
        predictions: Its predictions, R patterns.
        rows: What each pattern is, R rows.
        classes: Names of the classes.
    """
    rates = success_rates(predictions.hits, predictions.clean, rows["target"].to_numpy())
    table = rows.join(rates).assign(**{"class": [classes[target] for target in rows["target"]]})
    own = table[table["origin"] == name]
    transfer = table[table["shown"]].drop(columns="source").rename(columns={"origin": "source"})
    return {
        "success": success_table(own).assign(classifier=name)[SUCCESS],
        "by_source": success_by_source(predictions, own, classes),
        "transfer": transfer.assign(target=name)[TRANSFER],
    }


def success_rates(hits: Array, clean: Array, targets: Array) -> pd.DataFrame:
    """How often each pattern turns the prediction into its target class, where it is not the target class already.

    Args:
        hits: 1 where the prediction on an image with the pattern is the pattern's target class, shape ``(N, R)``.
        clean: The prediction on each image without a pattern, ``(N,)``.
        targets: The target class of each pattern, ``(R,)``.

    Returns:
        A row for each pattern: ``success``, ``lower``, ``upper`` (Wilson, 95 %) and ``images``, of images whose clean
        prediction is another class (NaN, 0 and 1 where there are none); ``clean``, the share of all images predicted as
        the target without the pattern; ``overall``, the share of all images predicted as the target with it.
    """
    free = clean[:, None] != targets[None, :]
    images = free.sum(axis=0)
    share = np.where(images > 0, (hits.astype(bool) & free).sum(axis=0) / np.maximum(images, 1), np.nan)
    lower, upper = wilson_interval(np.nan_to_num(share), images)
    columns = {"success": share, "lower": lower, "upper": upper, "images": images}
    overall = hits.mean(axis=0, dtype=np.float64)
    return pd.DataFrame(columns | {"clean": 1 - free.mean(axis=0), "overall": overall})


def success_table(table: pd.DataFrame) -> pd.DataFrame:
    """The rates of hard patterns; for searched ones, beside those of their soft masks.

    Args:
        table: What each pattern is: ``pair``, ``method``, ``mask``, ``budget``, ``seed`` and further columns; and its
            rates, as :func:`success_rates` gives them.

    Returns:
        The hard rows, ``soft`` (the success of the soft mask) and ``gap`` (soft minus hard; NaN for controls).
    """
    keys = ["pair", "method", "seed"]
    soft = table[table["mask"] == SOFT].set_index(keys)["success"].rename("soft")
    hard = table[table["mask"] == HARD].join(soft, on=keys)
    return hard.assign(gap=hard["soft"] - hard["success"]).reset_index(drop=True)


def success_by_source(predictions: PatternPredictions, rows: pd.DataFrame, classes: Sequence[str]) -> pd.DataFrame:
    """The mean success of each class's patterns on the images of every class.

    Args:
        predictions: Of R patterns.
        rows: What some of these are, numbered by their position among the R; the hard ones that were searched are used.
        classes: Names of the classes.

    Returns:
        Columns ``BY_SOURCE``; ``success`` is the mean over canvases and seeds.
    """
    searched = rows[(rows["mask"] == HARD) & rows["method"].isin(SEARCHED)]
    sources, source_of = np.unique(predictions.labels, return_inverse=True)
    by_label = np.argsort(source_of, kind="stable")
    groups: Any = searched.groupby(["target", "method", "budget"], sort=False)
    keys, means, counts = [], [np.zeros((0, len(sources)))], [np.zeros((0, len(sources)), dtype=int)]
    for key, part in groups:
        shares = predictions.hits[:, part.index].mean(axis=1, dtype=np.float64)
        used = by_label[predictions.clean[by_label] != key[0]]
        keys.append(key)
        counts.append(np.bincount(source_of[used], minlength=len(sources))[None])
        means.append(means_of_runs(shares[used], counts[-1][0])[None])
    success, images = np.concatenate(means), np.concatenate(counts)
    group, source = np.nonzero(images)
    names, targets = np.array(classes, dtype=object), np.array([key[0] for key in keys], dtype=int)
    columns = {
        "class": names[targets[group]],
        "source": names[sources[source]],
        "method": np.array([key[1] for key in keys], dtype=object)[group],
        "budget": np.array([key[2] for key in keys], dtype=float)[group],
        "success": success[group, source],
        "images": images[group, source],
    }
    return pd.DataFrame(columns)[BY_SOURCE]


def means_of_runs(values: Array, counts: Array) -> Array:
    """The means of neighbouring runs of values.

    Args:
        values: Shape ``(sum of counts,)``.
        counts: Length of each run, ``(S,)``.

    Returns:
        Shape ``(S,)``; NaN for an empty run.
    """
    starts, means = np.cumsum(counts) - counts, np.full(len(counts), np.nan)
    for count in np.unique(counts[counts > 0]).tolist():  # runs of one length at once
        runs = np.flatnonzero(counts == count)
        means[runs] = values[starts[runs][:, None] + np.arange(count)].mean(axis=1)
    return means
