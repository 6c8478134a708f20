"""``task=class_patterns``: the few pixels that make each classifier predict each class, and how often they do."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from omegaconf import DictConfig

from datamodules.poison import trigger_mask
from datamodules.views.poisoned import without_poison
from methods.class_patterns.class_anomaly import class_anomaly_table
from methods.class_patterns.job import Searches, check_data, evaluate
from methods.class_patterns.patterns import PATTERN
from methods.class_patterns.planted_backdoor import TRIGGER_COLUMNS, trigger_table
from methods.class_patterns.simplicity import simplicity_table
from methods.class_patterns.success import TABLES, PatternPredictions, success_tables
from methods.class_patterns.summaries import SUMMARIES
from study import classifiers
from study.artifact import Artifact, settings_of, without
from study.console import say
from study.data import make_data
from study.folder import study_folder
from study.labels import classifiers_by_labels, poison_of, with_labels_of
from study.step import Result, Step, Table


def run(cfg: DictConfig) -> float:
    """Search and evaluate patterns of every classifier; returns their mean success at the budget shown."""
    configs = classifiers.study_classifiers(cfg)
    images = without_poison(make_data(cfg))
    for config in classifiers_by_labels(configs).values():
        check_data(cfg.class_patterns, without_poison(make_data(with_labels_of(cfg, config))))
    folder = study_folder(cfg).root / "class_patterns"
    # raises an error with the command for weights that do not exist
    inputs = {"images": images.fingerprint()} | classifiers.classifier_inputs(cfg, configs)
    settings = without(settings_of(cfg, "class_patterns"), {"chunk"})
    files = [folder / f"{name}.csv" for name in TABLES] + [folder / "summary" / f"{name}.csv" for name in SUMMARIES]
    artifact = Artifact(files, folder / "success.json", settings, inputs, precious=False)
    return Step(artifact, study_folder(cfg).job("class_patterns"), cfg.seed).run(lambda: make(cfg, configs))


def make(cfg: DictConfig, configs: Mapping[str, DictConfig]) -> Result:
    """Search patterns of every classifier, then evaluate all of them on each."""
    shown = float(cfg.class_patterns.shown)
    everyone = {name: Searches(name, with_labels_of(cfg, config), config) for name, config in configs.items()}
    for name, searches in everyone.items():
        for seed in searches.seeds:
            say(f"[bold]patterns[/bold] of {name}, seed {seed}")
            searches.search(seed)
    parts = []
    for name, searches in everyone.items():
        say(f"[bold]success[/bold] of patterns on {name}")
        parts.append(tables_of(searches, *evaluate(searches, everyone)))
    tables = {name: stacked([part[name] for part in parts]) for name in TABLES}
    at_budget = tables["success"][tables["success"]["budget"] == shown]
    mean = float(at_budget[at_budget["method"] == PATTERN]["success"].mean())
    summaries = {name: summarise(tables, shown) for name, summarise in SUMMARIES.items()}
    files = {f"{name}.csv": table for name, table in (tables | summaries).items()}
    return Result(mean, files, {"mean success of patterns": mean}, [success_of_methods(at_budget, shown)])


def tables_of(searches: Searches, predictions: PatternPredictions, rows: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """The rows of one classifier in each of ``TABLES``.

    Args:
        searches: The searches of the classifier.
        predictions: Its predictions, R patterns.
        rows: What each pattern is, R rows.
    """
    options, poison = searches.cfg.class_patterns, poison_of(searches.cfg, searches.config)
    by_seed, classes = searches.by_seed(), searches.data.classes
    height, width = next(iter(by_seed.values())).masks.shape[1:]
    tables = success_tables(searches.name, predictions, rows, classes)
    simple = [simplicity_table(patterns, options.shown, seed) for seed, patterns in by_seed.items()]
    tables["simplicity"] = pd.concat(simple, ignore_index=True)
    anomaly = class_anomaly_table(tables["success"], classes, height * width)
    tables["class_anomaly"] = anomaly.assign(planted=poison is not None and anomaly["label"] == poison.target)
    triggers = [pd.DataFrame(columns=TRIGGER_COLUMNS)]
    if poison is not None and poison.trigger == "patch" and poison.position != "random":
        trigger = trigger_mask(poison, height, width).numpy()
        budgets, target = options.budgets, poison.target
        triggers = [trigger_table(patterns, trigger, target, budgets, seed) for seed, patterns in by_seed.items()]
    tables["triggers"] = pd.concat(triggers, ignore_index=True)
    for name in ("by_source", "simplicity", "class_anomaly", "triggers"):  # the other two name it already
        tables[name].insert(0, "classifier", searches.name)
    return tables


def stacked(tables: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Tables below each other; if all are empty, only their columns."""
    return pd.concat([table for table in tables if len(table)] or tables[:1], ignore_index=True)


def success_of_methods(table: pd.DataFrame, budget: float) -> Table:
    """The mean success of every method at one budget, a column for each classifier."""
    wide = table.pivot_table(index="method", columns="classifier", values="success", sort=False)
    rows = [[str(method), *(f"{value:.1%}" for value in wide.loc[method])] for method in wide.index]
    images = int(np.ceil(table["images"].mean()))
    return Table(f"success of {budget:.0%} of the pixels, about {images} images each", ["", *wide.columns], rows)
