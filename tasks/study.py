"""``task=study``: every step that is missing, in order."""

from itertools import product
from typing import Any

from omegaconf import DictConfig, OmegaConf

from tasks import build, classifiers
from tasks.jobs import run_task
from tasks.terminal import is_first_rank, say


def run(cfg: DictConfig) -> float:
    """Run all steps; each skips what is there already."""
    configs = classifiers.every_classifier(cfg)
    steps = [with_changes(cfg, classifier=config) for config in configs.values()]
    for config in configs.values():
        classifiers.check(cfg, config)
        classifiers.asked(cfg, config)
    build.make_data(cfg)  # errors are found before any step runs
    if "pretrain_data" in cfg:
        build.make_data(cfg, node="pretrain_data")
    for number, step in enumerate(steps, start=1):
        if not step.classifier.weights:
            say(f"[bold]train_classifier[/bold] {step.classifier.name} ({number} of {len(steps)})")
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
    say("[bold]cross_evaluate[/bold]")
    run_task(cfg, "cross_evaluate")
    if not is_first_rank():
        return 0.0  # the rest needs no ranks
    say("[bold]order[/bold]")
    width = run_task(cfg, "order")
    say("[bold]report[/bold]")
    run_task(cfg, "report")
    return width


def with_changes(cfg: DictConfig, **changes: Any) -> DictConfig:
    """The configuration that a single run with other values would have."""
    changed: DictConfig = OmegaConf.merge(cfg, {})  # type: ignore[assignment]
    OmegaConf.set_struct(changed, False)
    for key, value in changes.items():
        changed[key] = value
    return changed
