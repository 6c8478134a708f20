"""``task=study``: every step that is missing, in order."""

import difflib
from collections.abc import Sequence
from itertools import product
from typing import Any

from omegaconf import DictConfig, OmegaConf

from methods.class_patterns import planted_backdoor
from study import adversaries, classifiers
from study.autoencoders import has_autoencoders, require_autoencoders
from study.console import is_first_rank, say
from study.data import make_data
from study.jobs import run_task
from study.labels import with_labels_of, with_training_labels_of
from tasks import robust_accuracy

MEASUREMENTS = ("signal_statistics", "noise_curves", "robustness", "probe")
# of classifiers and images alone
ANALYSES = ("robust_accuracy", "class_patterns", "layer_features", "concepts", "native_accuracy")


def run(cfg: DictConfig) -> float:
    """Run all steps; each skips what is there already.

    Returns:
        The width of the widest chain; without autoencoders, the objective of the last analysis.
    """
    steps = [with_changes(cfg, classifier=config) for config in classifiers.every_classifier(cfg).values()]
    check(cfg, steps)
    train_classifiers(steps)
    found = 0.0
    if has_autoencoders(cfg):
        make_autoencoders(cfg, steps)
        announce_and_run(cfg, "cross_evaluate", *cfg.measurements)
    found = announce_and_run(cfg, *cfg.analyses)
    if not is_first_rank():
        return 0.0  # the rest needs no ranks
    if has_autoencoders(cfg):
        found = announce_and_run(cfg, "order")
        compressed = any(classifiers.compression(step.classifier) is not None for step in steps)
        announce_and_run(cfg, *(["disagreement"] if compressed else []), "intervals")
    announce_and_run(cfg, "report")
    return found


def check(cfg: DictConfig, steps: Sequence[DictConfig]) -> None:
    """Find errors before any step runs."""
    check_tasks("measurements", cfg.measurements, MEASUREMENTS)
    check_tasks("analyses", cfg.analyses, ANALYSES)
    if "robust_accuracy" in cfg.analyses:
        robust_accuracy.adversary(cfg)
    controls = [control for control in classifiers.CONTROL_STEPS if control in cfg.controls]
    for key, wanted in {"measurements": cfg.measurements, "controls": controls, "seeds": cfg.seeds}.items():
        if wanted:
            require_autoencoders(cfg, f"{key}={list(wanted)}")
    for step in steps:
        classifiers.check(cfg, step.classifier)
        with_labels_of(cfg, step.classifier)
        adversaries.check(cfg, step.classifier)
        if step.classifier.get("poison") is not None:
            planted_backdoor.check(step.classifier, make_data(with_training_labels_of(cfg, step.classifier)))
    sibling_steps(steps)
    make_data(cfg)
    if "pretrain_data" in cfg and has_autoencoders(cfg):
        make_data(cfg, node="pretrain_data")


def train_classifiers(steps: Sequence[DictConfig]) -> None:
    """Make the weights of every classifier that has none of its own, of parents before those compressed from them."""
    parents_first = sorted(steps, key=lambda step: classifiers.training_task(step.classifier) == "compress")
    for number, step in enumerate(parents_first, start=1):
        if not step.classifier.weights:
            task = classifiers.training_task(step.classifier)
            say(f"[bold]{task}[/bold] {step.classifier.name} ({number} of {len(steps)})")
            run_task(step, task)


def make_autoencoders(cfg: DictConfig, steps: Sequence[DictConfig]) -> None:
    """Make A_S, the controls and every classifier's A_i, and the siblings that some A_i are trained through."""
    for step in sibling_steps(steps):
        say(f"[bold]train_classifier[/bold] {step.classifier.name}")
        run_task(step, "train_classifier")
    announce_and_run(cfg, "pretrain", *(control for control in classifiers.CONTROL_STEPS if control in cfg.controls))
    seeds = [cfg.seed] if cfg.seeds is None else list(cfg.seeds)
    for number, (step, seed) in enumerate(product(steps, seeds), start=1):
        which = f"through {step.classifier.name}" + (f", seed {seed}" if len(seeds) > 1 else "")
        say(f"[bold]finetune[/bold] {which} ({number} of {len(steps) * len(seeds)})")
        run_task(with_changes(step, seed=seed), "finetune")


def sibling_steps(steps: Sequence[DictConfig]) -> list[DictConfig]:
    """The trainings of classifiers that differ from the study's in their seeds alone."""
    return [
        with_changes(step, classifier=sibling)
        for step in steps
        if has_autoencoders(step)
        for sibling in classifiers.siblings(step.classifier, step.finetune.get("siblings", 0))
    ]


def announce_and_run(cfg: DictConfig, *tasks: str) -> float:
    """Run tasks of the whole study in turn; returns the last one's objective, 0 of none."""
    objective = 0.0
    for task in tasks:
        say(f"[bold]{task}[/bold]")
        objective = run_task(cfg, task)
    return objective


def check_tasks(key: str, named: Sequence[str], known: Sequence[str]) -> None:
    """Find mistyped tasks in a list of the configuration."""
    unknown = [task for task in named if task not in known]
    if unknown:
        near = difflib.get_close_matches(unknown[0], known) or known
        raise ValueError(f"{key}: there is no {unknown[0]}; did you mean {' or '.join(near)}?")


def with_changes(cfg: DictConfig, **changes: Any) -> DictConfig:
    """The configuration that a single run with other values would have."""
    changed: DictConfig = OmegaConf.merge(cfg, {})  # type: ignore[assignment]
    OmegaConf.set_struct(changed, False)
    for key, value in changes.items():
        changed[key] = value
    return changed
