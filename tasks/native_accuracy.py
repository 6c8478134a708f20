"""``task=native_accuracy``: accuracy on the originals as the authors of each classifier evaluated it, as published."""

import pandas as pd
from omegaconf import DictConfig

from datamodules import ImageFolder
from datamodules.views.native import NativeView
from datamodules.views.poisoned import without_poison
from lightning_modules.native_accuracy import NativeAccuracy
from study.artifact import Artifact, settings_of
from study.classifiers import classifier_inputs, load_classifier, published_accuracy, study_classifiers
from study.data import make_data
from study.folder import study_folder
from study.step import Result, Step, Table
from study.trainer import accelerate, make_trainer

COLUMNS = ("top1", "top5", "published_top1", "published_top5")


def run(cfg: DictConfig) -> float:
    """Write the accuracy of every classifier on the test images in its native view, and return their mean top-1."""
    folder, configs = study_folder(cfg), study_classifiers(cfg)
    data = without_poison(make_data(cfg, cfg.native_accuracy.batch_size))
    if not isinstance(data, ImageFolder):
        raise ValueError("the native view needs image files: use data=imagenet or data=folder")
    path, settings = folder.native_accuracy, settings_of(cfg) | {"classifiers": list(configs)}
    inputs = {"images": data.fingerprint()} | classifier_inputs(cfg, configs)
    artifact = Artifact([path], path.with_suffix(".json"), settings, inputs, precious=False)

    def make() -> Result:
        rows = {name: accuracies(cfg, config, data) for name, config in configs.items()}
        table = pd.DataFrame.from_dict(rows, orient="index", columns=list(COLUMNS)).rename_axis("classifier")
        cells = [[name, *("–" if pd.isna(value) else f"{value:.2%}" for value in row)] for name, row in rows.items()]
        shown = Table("originals, in the native view of each classifier", ["", *COLUMNS], cells)
        return Result(float(table["top1"].mean()), {path.name: table}, tables=[shown], unreadable=data.unreadable())

    return Step(artifact, folder.job("native_accuracy")).run(make)


def accuracies(cfg: DictConfig, config: DictConfig, data: ImageFolder) -> list[float]:
    """Measured and published top-1 and top-5 accuracy of one classifier."""
    classifier = load_classifier(cfg, config, data)
    if classifier.preprocessing.size is None:
        raise ValueError(f"classifier {config.name} takes images as they are: it has no native view")
    accelerate(cfg, classifier)
    view = NativeView(data, classifier.preprocessing)
    module = NativeAccuracy(classifier, len(data.classes))
    [measured] = make_trainer(cfg).test(module, datamodule=view, verbose=False)
    published = published_accuracy(config) or (float("nan"), float("nan"))
    return [measured["test/top1"], measured["test/top5"], *published]
