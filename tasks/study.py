"""``task=study``: every step that is missing, in order."""

import gc
from collections.abc import Sequence
from itertools import product

from omegaconf import DictConfig

from methods.class_patterns import planted_backdoor
from study import adversaries, classifiers
from study.autoencoders import has_autoencoders, require_autoencoders
from study.console import is_first_rank, say
from study.data import make_data
from study.folder import study_folder
from study.labels import with_given_labels_of, with_training_labels_of, without_decisions
from study.preflight.faults import FaultList
from study.preflight.networks import check_classifier
from tasks import band_tolerance
from tasks.registry import ANALYSIS, MEASUREMENT, TASKS, load, nearest, run_task, with_changes


def run(cfg: DictConfig) -> float:
    """Run all steps; each skips what exists already.

    Returns:
        The objective of the last result before the page: with autoencoders, how sure the order is.
    """
    steps = [with_changes(cfg, classifier=config) for config in classifiers.every_classifier(cfg).values()]
    check(cfg, steps)
    train_classifiers(steps)
    objective = 0.0
    if any(step.classifier.get("decisions") for step in steps):
        announce_and_run(cfg, "decisions")
    if has_autoencoders(cfg):
        make_autoencoders(cfg, steps)
        announce_and_run(cfg, "cross_evaluate", *cfg.measurements)
    objective = announce_and_run(cfg, *possible_analyses(cfg))
    if not is_first_rank():
        return 0.0  # the rest needs no ranks
    if has_autoencoders(cfg):
        objective = announce_and_run(cfg, "order")
        compressed = any(classifiers.compression(step.classifier) is not None for step in steps)
        announce_and_run(cfg, *(["disagreement"] if compressed else []), "intervals")
    announce_and_run(cfg, "report")
    return objective


def check(cfg: DictConfig, steps: Sequence[DictConfig]) -> None:
    """Find errors before any step runs; several are reported together."""
    faults = FaultList()
    with faults.noted():
        make_data(without_decisions(cfg))
    for step in [] if faults.errors else steps:  # nothing of a classifier can be checked without images
        with faults.noted():
            check_options(step)
    with faults.noted():
        check_names(cfg)
    for check_more in (lambda: sibling_steps(steps), lambda: check_images(cfg), lambda: check_page(cfg)):
        with faults.noted():
            check_more()
    if not faults.errors and not (study_folder(cfg).report / "index.html").exists():
        for step in steps:
            check_classifier(step, step.classifier, faults)
    faults.report()


def check_names(cfg: DictConfig) -> None:
    """Refuse measurements and analyses that do not exist, or need autoencoders in a study without."""
    further = [task for task in TASKS if task.group in (MEASUREMENT, ANALYSIS)]
    names = {
        "measurements": [task.name for task in further],
        "analyses": [task.name for task in further if not task.needs_autoencoders],
    }
    for key, known in names.items():
        for name in cfg[key]:
            if name not in known:
                raise ValueError(f"{key}: there is no {name}; did you mean {nearest(name, known)}?")
    controls = [control for control in classifiers.CONTROL_STEPS if control in cfg.controls]
    for key, wanted in {"measurements": cfg.measurements, "controls": controls, "seeds": cfg.seeds}.items():
        if wanted:
            require_autoencoders(cfg, f"{key}={list(wanted)}")


def check_images(cfg: DictConfig) -> None:
    """Refuse options that do not fit the images, and other images for A_S that are not there."""
    if "band_tolerance" in cfg.analyses:
        band_tolerance.check_options(without_decisions(cfg))
    if "pretrain_data" in cfg and has_autoencoders(cfg):
        make_data(cfg, node="pretrain_data")


def check_page(cfg: DictConfig) -> None:
    """Refuse other studies for the page that do not exist."""
    if cfg.report.further_studies:
        load("tasks.report:check_further")(cfg)  # imported only here: drawing takes long to load


def check_options(step: DictConfig) -> None:
    """Find errors in the configuration of one classifier."""
    cfg, config = without_decisions(step), step.classifier
    classifiers.check(cfg, config)
    with_given_labels_of(cfg, config)
    adversaries.check(cfg, config)
    if config.get("poison") is not None:
        planted_backdoor.check(config, make_data(with_training_labels_of(cfg, config)))


def train_classifiers(steps: Sequence[DictConfig]) -> None:
    """Make the weights of every classifier that has none, of parents before those compressed from them."""
    parents_first = sorted(steps, key=lambda step: classifiers.training_task(step.classifier) == "compress")
    for number, step in enumerate(parents_first, start=1):
        if not step.classifier.weights:
            task = classifiers.training_task(step.classifier)
            say(f"[bold]{task}[/bold] {step.classifier.name} ({number} of {len(steps)})")
            run_task(step, task=task)


def make_autoencoders(cfg: DictConfig, steps: Sequence[DictConfig]) -> None:
    """Make A_S, the controls and the A_i of every classifier, and the siblings that some A_i are trained through."""
    for step in sibling_steps(steps):
        say(f"[bold]train_classifier[/bold] {step.classifier.name}")
        run_task(step, task="train_classifier")
    announce_and_run(cfg, "pretrain")
    for control, task in classifiers.CONTROL_STEPS.items():
        if control in cfg.controls:
            say(f"[bold]{task}[/bold] as a control: {control}")
            run_task(cfg, task=task, **{f"{task}.{control}": True})
    seeds = [cfg.seed] if cfg.seeds is None else list(cfg.seeds)
    for number, (step, seed) in enumerate(product(steps, seeds), start=1):
        which = f"through {step.classifier.name}" + (f", seed {seed}" if len(seeds) > 1 else "")
        say(f"[bold]finetune[/bold] {which} ({number} of {len(steps) * len(seeds)})")
        run_task(step, task="finetune", seed=seed)


def sibling_steps(steps: Sequence[DictConfig]) -> list[DictConfig]:
    """The trainings of classifiers that differ from those of the study in their seeds alone."""
    return [
        with_changes(step, classifier=sibling)
        for step in steps
        if has_autoencoders(step)
        for sibling in classifiers.siblings(step.classifier, step.finetune.siblings)
    ]


def possible_analyses(cfg: DictConfig) -> list[str]:
    """The analyses of a study; without band tolerance, which every study has, if its images are not fit for it."""
    if "band_tolerance" not in cfg.analyses or (reason := band_tolerance.unsuitable_images(cfg)) is None:
        return list(cfg.analyses)
    say(f"[yellow]no band_tolerance[/yellow]: {reason}")
    return [name for name in cfg.analyses if name != "band_tolerance"]


def announce_and_run(cfg: DictConfig, *tasks: str) -> float:
    """Run tasks of the whole study in turn; returns the objective of the last one, 0 of none."""
    objective = 0.0
    for task in tasks:
        say(f"[bold]{task}[/bold]")
        objective = run_task(cfg, task=task)
        gc.collect()  # trainers and modules refer to each other, and would keep the memory of a task through the next
    return objective
