"""A classifier that was trained on poisoned images: whether it can see the trigger, and whether the backdoor works."""

import json
import math

from omegaconf import DictConfig

from datamodules.base import ImageDataModule
from datamodules.poison import apply_trigger
from datamodules.poisoned import PoisonedImages, without_poison
from methods.class_patterns.backdoor_predictions import BackdoorAnswers
from methods.class_patterns.backdoor_rates import SUCCESS, backdoor_rates
from study import classifiers
from study.artifact import Artifact, settings_of
from study.console import say_made, say_skipped, say_skipped_images, show_table
from study.folder import study_folder
from study.results import write_results
from study.trainer import accelerate, make_trainer


def check(config: DictConfig, data: ImageDataModule) -> None:
    """Refuse a patch that a classifier would not see, because it looks at the middle of an image only.

    Args:
        config: The classifier's.
        data: What it is to be trained on; clean images are never refused.
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
    """Write and show how often the trigger succeeds, and the clean accuracy, on the test images; returns the success.

    Args:
        cfg: The configuration that the classifier was trained with.
        config: The classifier's.
        data: What it was trained on.
    """
    folder = study_folder(cfg)
    path = folder.root / "backdoors" / f"{config.name}.csv"
    inputs = {"images": data.fingerprint(), "classifier": classifiers.weights_fingerprint(cfg, config)}
    settings = settings_of(cfg, "classifier")
    artifact = Artifact([path], path.with_suffix(".json"), settings, inputs, precious=False)
    if artifact.exists():
        return say_skipped(path, artifact.objective())
    classifier = classifiers.load_classifier(cfg, config, data)
    accelerate(cfg, classifier)
    poison, clean = data.poison, without_poison(data)
    module = BackdoorAnswers(
        classifier,
        lambda images, index: apply_trigger(images, poison, index),
        len(clean.split("test")),
        complete=clean.on_error != "skip",
    )
    trainer = make_trainer(cfg)
    trainer.test(module, datamodule=clean, verbose=False)
    labels, answers, triggered = module.result.T
    table = backdoor_rates(labels, answers, triggered, poison.target)
    shares = dict(zip(table["measure"], table["share"], strict=True))
    job = folder.job("train_classifier", config.name)
    if trainer.is_global_zero:
        with artifact.making(shares[SUCCESS]) as temporary:
            table.to_csv(temporary[path], index=False)
        metrics = job / "metrics.json"
        before = json.loads(metrics.read_text(encoding="utf-8")) if metrics.exists() else {}
        write_results(job, before | {f"test/{name.replace(' ', '_')}": share for name, share in shares.items()})
        rows = [
            [str(row.measure), f"{row.share:.1%}", f"{row.lower:.1%} to {row.upper:.1%}", str(row.images)]
            for row in table.itertuples()
        ]
        title = f"backdoor of {config.name}: the trigger stands for {data.classes[poison.target]}"
        show_table(title, ["", "share", "95 % interval", "test images"], rows)
    trainer.strategy.barrier()
    say_skipped_images(data.unreadable(), job)
    say_made(path)
    return float(shares[SUCCESS])
