"""Kinds of files of a study, read by the cheapest task that takes them."""

import shutil
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf, open_dict

import run
from stats.sweeps import sweep_table
from study.jobs import recorded
from tasks.sweep_table import read_jobs
from tests.fuzz.engine import Subject
from tests.studies import compose

CLASSIFIERS = ("vgg_compact", "resnet_compact")
ORDER = ("order/rrc.csv", "order/order.json", "order/lattice.json")


def copy_of(finished: Path, folder: Path) -> Path:
    """The finished study, in a folder of its own."""
    shutil.copytree(finished, folder / "studies")
    return folder / "studies"


def runs(studies: Path, task: str, *overrides: str) -> Callable[[], float]:
    """What runs a task; returns its objective."""
    cfg = compose(studies, f"task={task}", *overrides)
    return lambda: run.run(cfg.copy())


def every(studies: Path, *patterns: str) -> list[Path]:
    """The files of the study that match."""
    return [path for pattern in patterns for path in sorted((studies / "smoke").glob(pattern))]


def pairs(files: Iterable[Path], *readers: Callable[[], Any]) -> list[tuple[Path, Callable[[], Any]]]:
    """Each file with each reader."""
    return [(path, read) for path in files for read in readers]


def tables(finished: Path, folder: Path) -> Subject:
    """Tables and documents: read for the order, the intervals and the page."""
    studies = copy_of(finished, folder)
    order, report = runs(studies, "order"), runs(studies, "report")
    matrix = every(studies, "cross_evaluation/accuracy.csv")
    shown = every(studies, "cross_evaluation/*.csv", "order/*.*", "intervals/*.csv", "intervals/order.json")
    shown = [path for path in shown if path.name != "provenance.json"]
    remade = every(studies, *ORDER)
    return Subject(studies, pairs(matrix * 3, order) + pairs(remade, order) + pairs(shown, report))


def predictions(finished: Path, folder: Path) -> Subject:
    """Arrays: read for the intervals, the order and the page."""
    studies = copy_of(finished, folder)
    readers = [runs(studies, task) for task in ("intervals", "order", "signal_statistics", "report")]
    return Subject(studies, pairs(every(studies, "cross_evaluation/predictions.npz"), *readers))


def trusted_predictions(finished: Path, folder: Path) -> Subject:
    """Arrays that a user wants to have used as they are: read for the intervals and the order."""
    studies = copy_of(finished, folder)
    shutil.rmtree(studies / "smoke" / "intervals")  # its tables are made with other settings
    intervals = runs(studies, "intervals", "inputs.trusted=true", "intervals.resamples=20")
    readers = (intervals, runs(studies, "order", "inputs.trusted=true"))
    return Subject(studies, pairs(every(studies, "cross_evaluation/predictions.npz"), *readers), given=True)


def weights(finished: Path, folder: Path) -> Subject:
    """Weights of autoencoders and classifiers: read for the cross evaluation, and where they would be trained."""
    studies = copy_of(finished, folder)
    readers = pairs(every(studies, "autoencoders/*.safetensors"), runs(studies, "cross_evaluate"))
    readers += pairs(every(studies, "classifiers/*.safetensors"), runs(studies, "cross_evaluate"))
    return Subject(studies, readers + trained(studies, ".safetensors"))


def trained(studies: Path, suffix: str) -> list[tuple[Path, Callable[[], Any]]]:
    """Weights or their records, with the task that would train them."""
    root = studies / "smoke"
    readers = pairs([root / "autoencoders" / f"pretrained{suffix}"], runs(studies, "pretrain"))
    for name in CLASSIFIERS:
        of_classifier = root / "classifiers" / f"{name}{suffix}"
        readers += pairs([of_classifier], runs(studies, "train_classifier", f"classifier={name}"))
        finetune = runs(studies, "finetune", f"classifier={name}")
        readers += pairs([of_classifier, root / "autoencoders" / f"{name}{suffix}"], finetune)
    return readers


def records(finished: Path, folder: Path) -> Subject:
    """Provenance: read by the step itself, by the steps that follow and by the page."""
    studies = copy_of(finished, folder)
    readers = trained(studies, ".json")
    readers += pairs(every(studies, "autoencoders/*.json", "classifiers/*.json"), runs(studies, "cross_evaluate"))
    readers += pairs(every(studies, "cross_evaluation/*.json"), runs(studies, "order"), runs(studies, "intervals"))
    readers += pairs(every(studies, "order/provenance.json"), runs(studies, "order"))
    readers += pairs(every(studies, "intervals/provenance.json"), runs(studies, "intervals"))
    pages = every(studies, "*/provenance.json", "cross_evaluation/*.json", "autoencoders/*.json")
    return Subject(studies, readers + pairs(pages, runs(studies, "report")))


def jobs(finished: Path, folder: Path) -> Subject:
    """Records, numbers and configurations of jobs: read for the table of a sweep and by launchers."""
    studies = copy_of(finished, folder)
    found = [job_of(studies, "finetune", name) for name in CLASSIFIERS]
    found.append(job_of(studies, "pretrain", CLASSIFIERS[0]))

    def table() -> str:
        return sweep_table(read_jobs(studies / "smoke")).to_json()

    def there() -> list[float]:
        return [job.objective if job.is_there() else -1.0 for job in found]

    files = every(studies, *(f"jobs/{job.folder.name}/{name}" for job in found for name in ("job.json", "config.yaml")))
    metrics = every(studies, *(f"jobs/{job.folder.name}/metrics.json" for job in found))
    return Subject(studies, pairs(files, table, there) + pairs(metrics, table), absent={table}, again={there: -1.0})


def job_of(studies: Path, task: str, classifier: str) -> Any:
    """A finished job of a sweep, as a launcher sees it."""
    from hydra_plugins.like_to_see_launchers import SweepJob

    cfg = compose(studies, f"task={task}", f"classifier={classifier}")
    folder = studies / "smoke" / "jobs" / run.job_name(cfg)
    overrides = [f"task={task}", f"classifier={classifier}"]
    with recorded(folder, overrides, OmegaConf.to_yaml(cfg), run.EXPLAIN) as outcome:
        outcome["objective"] = 0.5
    return SweepJob(overrides, with_hydra(cfg), folder)


def with_hydra(cfg: DictConfig) -> DictConfig:
    """The configuration with a node of Hydra, as a launcher has it."""
    config = cfg.copy()
    with open_dict(config):
        config.hydra = {"mode": "RUN"}
    return config


STUDIES = {
    "tables": tables,
    "predictions": predictions,
    "trusted predictions": trusted_predictions,
    "weights": weights,
    "records": records,
    "jobs": jobs,
}
