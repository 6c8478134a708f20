"""Planted backdoors: whether the classifier sees the trigger, how often it succeeds, and whether patterns hold it."""

import math
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from omegaconf import DictConfig
from torch import Tensor

from datamodules.base import ImageDataModule
from datamodules.poison import Poison, apply_trigger
from datamodules.views.poisoned import PoisonedImages, without_poison
from lightning_modules.finiteness import check_finite
from lightning_modules.image_test import ImageTest
from lightning_modules.per_image_results import PerImageResults
from methods.class_patterns.patterns import Array, Patterns, pixel_count
from networks.classifier import Classifier, freeze
from stats.proportion import wilson_interval
from study import classifiers
from study.artifact import Artifact, settings_of
from study.folder import study_folder
from study.step import Result, Step, Table, read_metrics
from study.trainer import accelerate, make_trainer

ACCURACY, SUCCESS, WITHOUT = "clean accuracy", "attack success", "predicted as target without trigger"
TRIGGER_COLUMNS = ["class", "kind", "number", "seed", "target", "pixels", "overlap", "recall"]


class BackdoorPredictions(ImageTest):
    """The predictions on clean and on triggered images; ``result`` holds them after the test.

    Args:
        classifier: From images in [0, 1] to logits; frozen here.
        poison: The trigger.
        images: Number of images in the test split.
        complete: Whether every image must be seen; otherwise missing images are left out of the result.

    Attributes:
        result: For each image its label, the prediction on it, and the prediction on it with the trigger; ``(N, 3)``.
    """

    result: Array

    def __init__(self, classifier: Classifier, poison: Poison, images: int, *, complete: bool) -> None:
        super().__init__()
        self.classifier, self.poison = freeze(classifier), poison
        self.rows = PerImageResults(images, complete, row=((3,), torch.int64))

    def measure(self, images: Tensor, labels: Tensor, index: Tensor) -> None:
        """Keep the predictions on one batch."""
        pixels = (images * 255).round().to(torch.uint8)  # as the data holds them
        columns = [labels]
        for shown in (images, apply_trigger(pixels, self.poison, index.tolist()).to(images.dtype) / 255):
            logits = self.classifier(shown)
            check_finite(logits, index, "the output of the classifier")
            columns.append(logits.argmax(dim=1))
        self.rows.update(index, row=torch.stack(columns, dim=1))

    def on_test_epoch_end(self) -> None:
        """Put the predictions of all ranks together."""
        self.result = self.rows.compute()[1]["row"]


def check(config: DictConfig, data: ImageDataModule) -> None:
    """Refuse a patch that a classifier would not see, because it crops images to their centre.

    Args:
        config: The classifier's configuration.
        data: Its training images; clean images are never refused.
    """
    if not isinstance(data, PoisonedImages) or data.poison.trigger != "patch":
        return
    side = data.smallest_side
    hidden = math.ceil((side - classifiers.preprocessing(config).field_of_view(side)) / 2)
    if data.poison.margin < hidden:
        raise ValueError(
            f"classifier {config.name} does not see the {hidden} outer pixels of images of {side} pixels, where the "
            f"patch is: use classifier.poison.margin={hidden} or more (data.poison.margin if all are poisoned)"
        )


def measure(cfg: DictConfig, config: DictConfig, data: PoisonedImages) -> float:
    """Write how often the trigger succeeds on test images, and the clean accuracy; returns the success.

    Args:
        cfg: The configuration that the classifier was trained with.
        config: The classifier's configuration.
        data: Its training images.
    """
    folder = study_folder(cfg)
    path = folder.root / "backdoors" / f"{config.name}.csv"
    inputs = {"images": data.fingerprint(), "classifier": classifiers.weights_fingerprint(cfg, config)}
    artifact = Artifact([path], path.with_suffix(".json"), settings_of(cfg, "classifier"), inputs, precious=False)
    job = folder.job("train_classifier", config.name)
    return Step(artifact, job).run(lambda: predict(cfg, config, data, job))


def predict(cfg: DictConfig, config: DictConfig, data: PoisonedImages, job: Path) -> Result:
    """Show a classifier the test images with and without the trigger."""
    classifier = classifiers.load_classifier(cfg, config, data)
    accelerate(cfg, classifier)
    clean = without_poison(data)
    module = BackdoorPredictions(classifier, data.poison, len(clean.split("test")), complete=clean.on_error != "skip")
    make_trainer(cfg).test(module, datamodule=clean, verbose=False)
    labels, without_trigger, triggered = module.result.T
    table = backdoor_rates(labels, without_trigger, triggered, data.poison.target)
    numbers = read_metrics(job)  # of the training: the others are added to them
    rows = []
    for name, share, lower, upper, images in table.itertuples(index=False):
        numbers[f"test/{name.replace(' ', '_')}"] = share
        rows.append([name, f"{share:.1%}", f"{lower:.1%} to {upper:.1%}", str(images)])
    title = f"backdoor of {config.name}: the trigger's target is {data.classes[data.poison.target]}"
    shown = Table(title, ["", "share", "95 % interval", "test images"], rows)
    success = float(table.set_index("measure")["share"][SUCCESS])
    return Result(success, {f"{config.name}.csv": table}, numbers, [shown], data.unreadable())


def backdoor_rates(labels: Array, clean: Array, triggered: Array, target: int) -> pd.DataFrame:
    """Clean accuracy, attack success, and the share of images predicted as the target without the trigger.

    Args:
        labels: The label of each image, ``(N,)``.
        clean: The prediction on each image.
        triggered: The prediction on each image with the trigger.
        target: The target class of the trigger; both rates of it are over the images of all other classes.

    Returns:
        A row for each of the three: ``measure``, ``share`` in [0, 1] (NaN of no images), the ends ``lower`` and
        ``upper`` of its 95 % interval, ``images``.
    """
    others = labels != target
    hits = {ACCURACY: clean == labels, SUCCESS: triggered[others] == target, WITHOUT: clean[others] == target}
    images = [len(values) for values in hits.values()]
    shares = [float(values.mean()) if len(values) else float("nan") for values in hits.values()]
    lower, upper = wilson_interval(shares, images)
    return pd.DataFrame({"measure": list(hits), "share": shares, "lower": lower, "upper": upper, "images": images})


def trigger_overlap(patterns: Array, trigger: Array) -> tuple[Array, Array]:
    r"""Intersection over union of patterns and the true trigger, and recall of the trigger's pixels.

    A random pattern of k of N pixels has a recall of k / N on average; no pattern of k pixels can have a higher recall
    than k / T, nor a higher intersection over union than min(k, T) / max(k, T), for a trigger of T pixels.

    Args:
        patterns: The pixels of each pattern, shape ``(P, H, W)``; a pattern may be empty.
        trigger: The pixels of the trigger, shape ``(H, W)``; at least one.

    Returns:
        Intersection over union, and recall, both ``(P,)`` in [0, 1].

    Raises:
        ValueError: If the shapes differ, an array is not bool, or the trigger has no pixel.
    """
    if patterns.dtype != np.bool_ or trigger.dtype != np.bool_:
        raise ValueError(f"patterns are {patterns.dtype} and the trigger {trigger.dtype}; expected bool")
    if patterns.ndim != 3 or patterns.shape[1:] != trigger.shape:
        raise ValueError(f"patterns {patterns.shape} and trigger {trigger.shape}; expected (P, H, W) and (H, W)")
    if not trigger.any():
        raise ValueError("the trigger has no pixel: there is nothing to find")
    both = (patterns & trigger).sum(axis=(1, 2))
    return both / (patterns | trigger).sum(axis=(1, 2)), both / trigger.sum()


def trigger_table(patterns: Patterns, trigger: Array, target: int, budgets: Iterable[float], seed: int) -> pd.DataFrame:
    """The overlap of the patterns of a backdoored network with the true trigger.

    Args:
        patterns: The patterns.
        trigger: The pixels of the trigger, ``(H, W)``.
        target: The target class of the trigger; patterns of other classes show the overlap by chance.
        budgets: Shares of the pixels; the size of the trigger itself is added.
        seed: Seed of the search.

    Returns:
        A row for each pattern and budget: ``class``, ``kind``, ``number``, ``seed``, ``target`` (whether it is of the
        trigger's target class), ``pixels``, ``overlap`` (intersection over union), ``recall``.
    """
    tables = []
    for pixels in sorted({int(trigger.sum()), *(pixel_count(budget, trigger.size) for budget in budgets)} - {0}):
        chosen = np.stack([patterns.pixels(pair, pixels, seed) for pair in range(len(patterns.targets))])
        overlap, recall = trigger_overlap(chosen, trigger)
        columns = {"target": patterns.targets == target, "pixels": pixels, "overlap": overlap, "recall": recall}
        tables.append(patterns.table(seed).assign(**columns))
    return pd.concat(tables, ignore_index=True)
