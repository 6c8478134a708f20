"""``task=class_patterns``: the few pixels that make each classifier say each class, and how often they do."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytorch_lightning as pl
from omegaconf import DictConfig

from datamodules.base import ImageDataModule
from datamodules.poison import trigger_mask
from datamodules.poisoned import without_poison
from methods.class_patterns.class_anomaly import TRIGGERS, simplicity_table, suspicion_table, triggers_table
from methods.class_patterns.evaluation_plan import PATTERN
from methods.class_patterns.evaluations import evaluate, predictions_artifact, read_predictions
from methods.class_patterns.searches import PatternJobs, check_options
from methods.class_patterns.success import success_by_source, success_rates, success_table
from study import classifiers
from study.artifact import Artifact, settings_of, without
from study.console import is_first_rank, say, say_made, say_skipped, show_table
from study.data import make_data
from study.distributed import wait_for_ranks
from study.folder import study_folder
from study.labels import own_labels, poison_of
from study.results import write_results

FILES = ("success.csv", "by_source.csv", "transfer.csv", "simplicity.csv", "suspicion.csv", "triggers.csv")
FIRST = ["classifier", "class", "pair", "kind", "number", "source"]  # columns of success.csv
UNDECISIVE = {"chunk"}


def run(cfg: DictConfig) -> float:
    """Search and test patterns of every classifier; returns the mean success of found pixels at the budget shown."""
    folder, options = study_folder(cfg), cfg.class_patterns
    configs = classifiers.study_classifiers(cfg)
    images = without_poison(make_data(cfg))
    check_options(options, images)
    place = folder.root / "class_patterns"
    summary = tables_artifact(cfg, place, configs, images)
    if summary.exists():
        return say_skipped(summary.files[0], summary.objective())
    pl.seed_everything(cfg.seed, workers=True, verbose=False)
    jobs = {name: PatternJobs(cfg, config, place) for name, config in configs.items()}
    for name, job in jobs.items():
        for seed in options.seeds:
            say(f"[bold]patterns[/bold] of {name}, seed {seed}")
            job.search(int(seed))
    tables = []
    for name, job in jobs.items():
        artifact = predictions_artifact(job, jobs)
        if not artifact.exists():
            say(f"[bold]success[/bold] of patterns on {name}")
            evaluate(job, jobs, artifact)
        predictions = tabulate(name, artifact.files[0], images.classes)
        tables.append([*predictions, *look_into(job, predictions[0])])
    made = [stacked(parts) for parts in zip(*tables, strict=True)]
    success = made[0]
    shown = success[success["budget"] == options.shown]
    mean = float(shown[shown["method"] == PATTERN]["success"].mean())
    if is_first_rank():
        with summary.making(mean) as temporary:
            for path, table in zip(summary.files, made, strict=True):
                table.to_csv(temporary[path], index=False)
        write_results(folder.job("class_patterns"), {"mean success of patterns": mean})
        show(shown, options.shown)
    wait_for_ranks()
    say_made(summary.files[0])
    return mean


def tables_artifact(
    cfg: DictConfig, place: Path, configs: Mapping[str, DictConfig], images: ImageDataModule
) -> Artifact:
    """The tables of all classifiers; says which command makes the weights of one that has none."""
    inputs = {"images": images.fingerprint()} | {
        f"classifier {name}": classifiers.weights_fingerprint(cfg, config) for name, config in configs.items()
    }
    inputs |= {f"question to {name}": str(asked) for name, asked in own_labels(configs).items()}
    settings = without(settings_of(cfg, "class_patterns"), UNDECISIVE)
    return Artifact([place / name for name in FILES], place / "success.json", settings, inputs, precious=False)


def tabulate(name: str, path: Path, classes: Sequence[str]) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """The tables of one classifier: success, success by source, and success of others' patterns on it.

    Args:
        name: Of the classifier.
        path: Its predictions.
        classes: Names of the classes.
    """
    predictions, rows = read_predictions(path)
    targets = rows["target"].to_numpy()
    rates = success_rates(predictions.hits, predictions.clean, targets)
    named = rows.assign(**{"class": [classes[target] for target in targets]}).drop(columns="target")
    own = (rows["origin"] == name).to_numpy()
    success = success_table(named[own], rates[own].reset_index(drop=True))
    success = success.assign(classifier=name)[[*FIRST, *success.columns.drop([*FIRST[1:], "origin", "shown"])]]
    by_source = success_by_source(
        predictions.hits[:, own],
        predictions.clean,
        predictions.labels,
        rows[own].reset_index(drop=True),
        targets[own],
        classes,
    )
    by_source.insert(0, "classifier", name)
    shown = rows["shown"].to_numpy(dtype=bool)
    columns = ["success", "lower", "upper", "images"]
    transfer = named[shown][["origin", "class", "pair", "kind", "budget", "seed"]].join(rates[columns])
    transfer = transfer.rename(columns={"origin": "source"}).assign(target=name)
    return success, by_source, transfer


def look_into(job: PatternJobs, success: pd.DataFrame) -> list[pd.DataFrame]:
    """How simple a classifier's patterns are, which class gives itself away, and how much of a trigger was found.

    Args:
        job: The classifier's.
        success: Its rows of ``success.csv``.
    """
    options = job.cfg.class_patterns
    found = {int(seed): job.read(int(seed)) for seed in options.seeds}
    some = next(iter(found.values()))
    height, width = some.masks.shape[1:]
    simple = [simplicity_table(part, float(options.shown), seed) for seed, part in found.items()]
    suspicion = suspicion_table(success, list(some.classes), height * width)
    poison = poison_of(job.cfg, job.config)
    triggers = [pd.DataFrame(columns=TRIGGERS)]
    if poison is not None and poison.trigger == "patch" and poison.position != "random":
        trigger, budgets = trigger_mask(poison, height, width).numpy(), [float(share) for share in options.budgets]
        triggers = [triggers_table(part, trigger, poison.target, budgets, seed) for seed, part in found.items()]
    suspicion["planted"] = (suspicion["label"] == poison.target) if poison is not None else False
    tables = [pd.concat(simple, ignore_index=True), suspicion, pd.concat(triggers, ignore_index=True)]
    for table in tables:
        table.insert(0, "classifier", job.name)
    return tables


def stacked(tables: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Tables below each other; empty ones give their columns only if all are empty."""
    return pd.concat([table for table in tables if len(table)] or tables[:1], ignore_index=True)


def show(table: pd.DataFrame, budget: float) -> None:
    """Print the mean success of every method at one budget, a column for each classifier."""
    wide = table.pivot_table(index="method", columns="classifier", values="success", sort=False)
    rows = [[str(method), *(f"{value:.1%}" for value in wide.loc[method])] for method in wide.index]
    images = int(np.ceil(table["images"].mean()))
    show_table(f"success of {budget:.0%} of the pixels, about {images} images each", ["", *wide.columns], rows)
