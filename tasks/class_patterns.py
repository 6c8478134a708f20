"""``task=class_patterns``: the few pixels that make each classifier predict each class, and how often they do."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from omegaconf import DictConfig

from datamodules.base import ImageDataModule
from datamodules.poison import trigger_mask
from datamodules.poisoned import without_poison
from methods.class_patterns import summaries
from methods.class_patterns.class_anomaly import class_anomaly_table
from methods.class_patterns.evaluation_plan import PATTERN
from methods.class_patterns.evaluations import evaluate, read_predictions
from methods.class_patterns.planted_backdoor import TRIGGER_COLUMNS, trigger_table
from methods.class_patterns.searches import Searches, check_data
from methods.class_patterns.simplicity import simplicity_table
from methods.class_patterns.success import success_tables
from study import classifiers
from study.artifact import Artifact, settings_of, without
from study.console import say
from study.data import make_data
from study.folder import study_folder
from study.labels import own_labels, poison_of, with_labels_of
from study.step import Result, Step, Table

TABLES = ("success", "by_source", "transfer", "simplicity", "class_anomaly", "triggers")
SUMMARIES = (
    "curves", "margins", "soft_masks", "transfer_means", "transfer_summary", "simplicity_means", "trigger_means"
)  # fmt: skip


def run(cfg: DictConfig) -> float:
    """Search and evaluate patterns of every classifier; returns their mean success at the budget shown."""
    configs = classifiers.study_classifiers(cfg)
    images = without_poison(make_data(cfg))
    check_data(cfg.class_patterns, images)
    step = Step(tables_artifact(cfg, configs, images), study_folder(cfg).job("class_patterns"), cfg.seed)
    return step.run(lambda: make(cfg, configs))


def tables_artifact(cfg: DictConfig, configs: Mapping[str, DictConfig], images: ImageDataModule) -> Artifact:
    """The tables of all classifiers; raises an error with the command for weights that do not exist."""
    folder = study_folder(cfg).root / "class_patterns"
    inputs = {"images": images.fingerprint()} | {
        f"classifier {name}": classifiers.weights_fingerprint(cfg, config) for name, config in configs.items()
    }
    inputs |= {f"labels of {name}": str(labels) for name, labels in own_labels(configs).items()}
    settings = without(settings_of(cfg, "class_patterns"), {"chunk"})
    files = [folder / f"{name}.csv" for name in TABLES] + [folder / "summary" / f"{name}.csv" for name in SUMMARIES]
    return Artifact(files, folder / "success.json", settings, inputs, precious=False)


def make(cfg: DictConfig, configs: Mapping[str, DictConfig]) -> Result:
    """Search patterns of every classifier, then evaluate all of them on each."""
    shown = float(cfg.class_patterns.shown)
    everyone = {name: Searches(with_labels_of(cfg, config), config) for name, config in configs.items()}
    for name, searches in everyone.items():
        for seed in cfg.class_patterns.seeds:
            say(f"[bold]patterns[/bold] of {name}, seed {seed}")
            searches.search(int(seed))
    parts = []
    for name, searches in everyone.items():
        say(f"[bold]success[/bold] of patterns on {name}")
        predictions, rows = read_predictions(evaluate(searches, everyone))
        success, *others = success_tables(name, predictions, rows, searches.data.classes)
        parts.append([success, *others, *tables_of(searches, success)])
    tables = dict(zip(TABLES, map(stacked, zip(*parts, strict=True)), strict=True))
    at_budget = tables["success"][tables["success"]["budget"] == shown]
    mean = float(at_budget[at_budget["method"] == PATTERN]["success"].mean())
    files = {f"{name}.csv": table for name, table in (tables | summaries_of(tables, shown)).items()}
    return Result(mean, files, {"mean success of patterns": mean}, [success_of_methods(at_budget, shown)])


def tables_of(searches: Searches, success: pd.DataFrame) -> list[pd.DataFrame]:
    """Shapes of a classifier's patterns, the costs of its classes, and the overlap with the trigger of a backdoor.

    Args:
        searches: The searches of the classifier.
        success: Its rows of ``success.csv``.
    """
    options, poison = searches.cfg.class_patterns, poison_of(searches.cfg, searches.config)
    by_seed = {int(seed): searches.read(int(seed)) for seed in options.seeds}
    first = next(iter(by_seed.values()))
    height, width = first.masks.shape[1:]
    simple = [simplicity_table(patterns, float(options.shown), seed) for seed, patterns in by_seed.items()]
    anomaly = class_anomaly_table(success, list(first.classes), height * width)
    anomaly["planted"] = (anomaly["label"] == poison.target) if poison is not None else False
    triggers = [pd.DataFrame(columns=TRIGGER_COLUMNS)]
    if poison is not None and poison.trigger == "patch" and poison.position != "random":
        trigger, budgets = trigger_mask(poison, height, width).numpy(), [float(share) for share in options.budgets]
        triggers = [trigger_table(part, trigger, poison.target, budgets, seed) for seed, part in by_seed.items()]
    tables = [pd.concat(simple, ignore_index=True), anomaly, pd.concat(triggers, ignore_index=True)]
    for table in tables:
        table.insert(0, "classifier", searches.name)
    return tables


def summaries_of(tables: Mapping[str, pd.DataFrame], shown: float) -> dict[str, pd.DataFrame]:
    """The tables of ``SUMMARIES``."""
    success, transfer = tables["success"], summaries.transfer_means(tables["transfer"])
    made = (
        summaries.curves(success),
        summaries.margins(success, shown),
        summaries.soft_masks(success, shown),
        transfer,
        summaries.transfer_summary(transfer),
        summaries.simplicity_means(tables["simplicity"]),
        summaries.trigger_means(tables["triggers"]),
    )
    return dict(zip(SUMMARIES, made, strict=True))


def stacked(tables: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Tables below each other; if all are empty, only their columns."""
    return pd.concat([table for table in tables if len(table)] or tables[:1], ignore_index=True)


def success_of_methods(table: pd.DataFrame, budget: float) -> Table:
    """The mean success of every method at one budget, a column for each classifier."""
    wide = table.pivot_table(index="method", columns="classifier", values="success", sort=False)
    rows = [[str(method), *(f"{value:.1%}" for value in wide.loc[method])] for method in wide.index]
    images = int(np.ceil(table["images"].mean()))
    return Table(f"success of {budget:.0%} of the pixels, about {images} images each", ["", *wide.columns], rows)
