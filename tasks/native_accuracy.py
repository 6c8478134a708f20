"""``task=native_accuracy``: the originals as each classifier's authors evaluated it, beside the published accuracy."""

import pandas as pd
from omegaconf import DictConfig

from datamodules import ImageFolder
from datamodules.native import NativeView
from datamodules.poisoned import without_poison
from lightning_modules.native_accuracy import NativeAccuracy
from study import classifiers
from study.artifact import Artifact, settings_of
from study.console import is_first_rank, say_made, say_skipped, say_skipped_images, show_table
from study.data import make_data
from study.folder import study_folder
from study.trainer import accelerate, make_trainer

COLUMNS = ("top1", "top5", "published_top1", "published_top5")


def run(cfg: DictConfig) -> float:
    """Write the accuracy of every classifier on the test images in its native view, and return their mean top-1."""
    folder, data = study_folder(cfg), without_poison(make_data(cfg, cfg.native_accuracy.batch_size))
    if not isinstance(data, ImageFolder):
        raise ValueError("the native view needs image files: use data=imagenet or data=folder")
    configs = classifiers.study_classifiers(cfg)
    weights = {name: classifiers.weights_fingerprint(cfg, config) for name, config in configs.items()}
    path = folder.native_accuracy
    settings = settings_of(cfg) | {"classifiers": list(configs)}
    inputs = {"images": data.fingerprint()} | weights
    artifact = Artifact([path], path.with_suffix(".json"), settings, inputs, precious=False)
    if artifact.exists():
        return say_skipped(path, artifact.objective())
    rows = {name: accuracies(cfg, config, data) for name, config in configs.items()}
    table = pd.DataFrame.from_dict(rows, orient="index", columns=list(COLUMNS)).rename_axis("classifier")
    mean = float(table["top1"].mean())
    if is_first_rank():
        with artifact.making(mean) as temporary:
            table.to_csv(temporary[path])
    cells = [[name, *("–" if pd.isna(value) else f"{value:.2%}" for value in row)] for name, row in rows.items()]
    show_table("originals, in each classifier's native view", ["", *COLUMNS], cells)
    say_skipped_images(data.unreadable(), folder.job("native_accuracy"))
    say_made(path)
    return mean


def accuracies(cfg: DictConfig, config: DictConfig, data: ImageFolder) -> list[float]:
    """Measured and published top-1 and top-5 accuracy of one classifier."""
    classifier = classifiers.load_classifier(cfg, config, data)
    if classifier.preprocessing.size is None:
        raise ValueError(f"classifier {config.name} takes images as they are: it has no native view")
    accelerate(cfg, classifier)
    module = NativeAccuracy(classifier, len(data.classes))
    trainer = make_trainer(cfg)
    [measured] = trainer.test(module, datamodule=NativeView(data, classifier.preprocessing), verbose=False)
    published = classifiers.published_accuracy(config) or (float("nan"), float("nan"))
    return [measured["test/top1"], measured["test/top5"], *published]
