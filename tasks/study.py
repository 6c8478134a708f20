"""``task=study``: every step that is missing, in order."""

import difflib
from itertools import product
from typing import Any

from omegaconf import DictConfig, OmegaConf

from tasks import build, classifiers, planted_backdoor, questions
from tasks.jobs import run_task
from tasks.terminal import is_first_rank, say

MEASUREMENTS = ("signal_statistics", "noise_curves", "robustness", "probe", "class_patterns")


def run(cfg: DictConfig) -> float:
    """Run all steps; each skips what is there already."""
    configs = classifiers.every_classifier(cfg)
    steps = [with_changes(cfg, classifier=config) for config in configs.values()]
    for config in configs.values():
        classifiers.check(cfg, config)
        questions.asked(cfg, config)
        if config.get("poison") is not None:
            planted_backdoor.check(config, build.make_data(questions.trained_on(cfg, config)))
    siblings = [
        with_changes(step, classifier=sibling)
        for step in steps
        for sibling in classifiers.siblings(step.classifier, step.finetune.get("siblings", 0))
    ]
    check_measurements(cfg)
    build.make_data(cfg)  # errors are found before any step runs
    if "pretrain_data" in cfg:
        build.make_data(cfg, node="pretrain_data")
    parents_first = sorted(steps, key=lambda step: classifiers.maker(step.classifier) == "compress")
    for number, step in enumerate(parents_first, start=1):
        if not step.classifier.weights:
            task = classifiers.maker(step.classifier)
            say(f"[bold]{task}[/bold] {step.classifier.name} ({number} of {len(steps)})")
            run_task(step, task)
    for step in siblings:
        say(f"[bold]train_classifier[/bold] {step.classifier.name}")
        run_task(step, "train_classifier")
    say("[bold]pretrain[/bold]")
    run_task(cfg, "pretrain")
    for control in classifiers.CONTROL_STEPS:
        if control in cfg.controls:
            say(f"[bold]{control}[/bold]")
            run_task(cfg, control)
    seeds = [cfg.seed] if cfg.seeds is None else list(cfg.seeds)
    for number, (step, seed) in enumerate(product(steps, seeds), start=1):
        which = f"through {step.classifier.name}" + (f", seed {seed}" if len(seeds) > 1 else "")
        say(f"[bold]finetune[/bold] {which} ({number} of {len(steps) * len(seeds)})")
        run_task(with_changes(step, seed=seed), "finetune")
    for task in ("cross_evaluate", *cfg.measurements):
        say(f"[bold]{task}[/bold]")
        run_task(cfg, task)
    if not is_first_rank():
        return 0.0  # the rest needs no ranks
    say("[bold]order[/bold]")
    width = run_task(cfg, "order")
    compressed = any(classifiers.compression(config) is not None for config in configs.values())
    for task in (*(["disagreement"] if compressed else []), "intervals", "report"):
        say(f"[bold]{task}[/bold]")
        run_task(cfg, task)
    return width


def check_measurements(cfg: DictConfig) -> None:
    """Find mistyped measurements before any work is done."""
    unknown = [task for task in cfg.measurements if task not in MEASUREMENTS]
    if unknown:
        near = difflib.get_close_matches(unknown[0], MEASUREMENTS) or MEASUREMENTS
        raise ValueError(f"measurements: there is no {unknown[0]}; did you mean {' or '.join(near)}?")


def with_changes(cfg: DictConfig, **changes: Any) -> DictConfig:
    """The configuration that a single run with other values would have."""
    changed: DictConfig = OmegaConf.merge(cfg, {})  # type: ignore[assignment]
    OmegaConf.set_struct(changed, False)
    for key, value in changes.items():
        changed[key] = value
    return changed
