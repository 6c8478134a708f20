"""``task=compress``: a smaller classifier, made from one of the study."""

from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf

from lightning_modules.classifier_training import ClassifierTraining
from lightning_modules.distillation import Distillation
from lightning_modules.pruning import PrunedTraining
from networks.classifier import Classifier
from networks.compression import prune, quantize_int8, sparsity
from study.artifact import settings_of, weights_artifact
from study.classifiers import (
    load_classifier,
    make_classifier,
    parent_of,
    require_labels,
    study_classifiers,
    weights_fingerprint,
)
from study.configuration.instantiation import instantiate
from study.console import say
from study.data import make_data
from study.folder import classifier_file, study_folder
from study.labels import without_decisions
from study.step import Result, Step
from study.trainer import Length, accelerate
from study.training import train


def run(cfg: DictConfig) -> float:
    """Make ``cfg.classifier`` from its parent, keep its weights in the study folder; return its validation accuracy."""
    config, options = cfg.classifier, cfg.compress
    if config.weights:
        raise ValueError(f"classifier {config.name} has weights ({config.weights}): nothing is to be made")
    require_labels(cfg, config)
    cfg = without_decisions(cfg)  # it is trained with given labels, on all images
    parent, how = parent_of(config, study_classifiers(cfg)), config.compressed.how
    data = make_data(cfg, options.batch_size, options.augmentation)
    inputs = {f"classifier {parent.name}": weights_fingerprint(cfg, parent)}
    artifact = weights_artifact(classifier_file(cfg, config.name), compression_settings(cfg, how), data, inputs)
    step = Step(artifact, study_folder(cfg).job("compress", config.name), cfg.seed)

    def make() -> Result:
        teacher = load_classifier(cfg, parent, data)
        child = make_classifier(config, data)
        module = make_module(cfg, child, teacher)
        accelerate(cfg, child, teacher)
        kept = teacher if how == "int8" else child  # rounding is done when the weights are loaded
        length = Length(options[how].epochs if how in options else 0)
        result = train(cfg, step, module, data, length=length, network=kept, objective="val/accuracy")
        if how == "pruned":
            say(f"{sparsity(child):.2%} of the weights of convolutions and linear layers are 0")
        return result

    return step.run(make)


def compression_settings(cfg: DictConfig, how: str) -> dict[str, Any]:
    """What decides the weights: of the settings of this task only those of this way of compressing."""
    plain: Any = OmegaConf.to_container(cfg.compress, resolve=True)
    settings = settings_of(cfg, "classifier")
    if how not in plain:
        return settings  # nothing is trained
    return settings | {"compress": {key: plain[key] for key in ("augmentation", "batch_size")} | plain[how]}


def make_module(cfg: DictConfig, child: Classifier, parent: Classifier) -> ClassifierTraining:
    """The module that trains the child, or only measures it, with the weights that it starts from."""
    block = cfg.classifier.compressed
    if block.how != "distilled":
        copy_weights(child, parent, cfg.classifier)
    if block.how == "int8":
        quantize_int8(child)
        return ClassifierTraining(child, torch.optim.SGD, "constant", label_smoothing=0.0)  # only measured
    recipe = cfg.compress[block.how]
    optimizer = instantiate(recipe.optimizer, f"compress.{block.how}.optimizer", "optimizer")
    if block.how == "pruned":
        prune(child, block.amount)
        return PrunedTraining(child, optimizer, recipe.schedule, label_smoothing=0.0)
    return Distillation(parent, child, optimizer, recipe.schedule, temperature=block.temperature, alpha=block.alpha)


def copy_weights(child: Classifier, parent: Classifier, config: DictConfig) -> None:
    """Give a child the weights of its parent."""
    try:
        child.load_state_dict(parent.state_dict())
    except RuntimeError as error:
        raise ValueError(
            f"classifier {config.name} is another network than {config.compressed.parent}: give it the same "
            "network settings, or use compressed.how=distilled"
        ) from error
