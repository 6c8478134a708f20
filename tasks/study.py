"""``task=study``: every step that is missing, in order."""

from omegaconf import DictConfig, OmegaConf

from tasks import build, classifiers, cross_evaluate, finetune, order, pretrain, report, train_classifier
from tasks.terminal import is_first_rank, say


def run(cfg: DictConfig) -> float:
    """Run all steps; each skips what is there already."""
    configs = classifiers.study_classifiers(cfg)
    steps = [with_classifier(cfg, config) for config in configs.values()]
    for config in configs.values():
        classifiers.check(cfg, config)
    build.make_data(cfg)  # errors are found before any step runs
    if "pretrain_data" in cfg:
        build.make_data(cfg, node="pretrain_data")
    for number, step in enumerate(steps, start=1):
        if not step.classifier.weights:
            say(f"[bold]train_classifier[/bold] {step.classifier.name} ({number} of {len(steps)})")
            train_classifier.run(step)
    say("[bold]pretrain[/bold]")
    pretrain.run(cfg)
    for number, step in enumerate(steps, start=1):
        say(f"[bold]finetune[/bold] through {step.classifier.name} ({number} of {len(steps)})")
        finetune.run(step)
    say("[bold]cross_evaluate[/bold]")
    cross_evaluate.run(cfg)
    if not is_first_rank():
        return 0.0  # the rest needs no ranks
    say("[bold]order[/bold]")
    width = order.run(cfg)
    say("[bold]report[/bold]")
    report.run(cfg)
    return width


def with_classifier(cfg: DictConfig, classifier: DictConfig) -> DictConfig:
    """The configuration that a single run with ``classifier=`` would have."""
    chosen: DictConfig = OmegaConf.merge(cfg, {})  # type: ignore[assignment]
    OmegaConf.set_struct(chosen, False)
    chosen.classifier = classifier
    return chosen
