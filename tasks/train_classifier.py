"""``task=train_classifier``: one classifier, trained on the study's own images."""

import pytorch_lightning as pl
from omegaconf import DictConfig

from datamodules.base import ImageDataModule
from datamodules.poisoned import PoisonedImages
from lightning_modules import AdversarialTraining, ClassifierTraining
from methods.class_patterns import planted_backdoor
from networks.classifier import Classifier
from study import adversaries, classifiers
from study.artifact import Artifact, settings_of, weights_artifact
from study.console import say_skipped
from study.data import make_data
from study.folder import classifier_file, study_folder
from study.instantiation import instantiate
from study.labels import with_training_labels_of
from study.trainer import Length, accelerate
from study.training import train

WEIGHTS_SEED_STEP = 1_000_000  # no study has as many seeds


def run(cfg: DictConfig) -> float:
    """Train ``cfg.classifier``, keep its weights in the study folder, and return its validation accuracy."""
    config = cfg.classifier
    cfg = adversaries.with_adversary(with_training_labels_of(cfg, config), config)
    options = cfg.train_classifier
    if config.weights:
        raise ValueError(
            f"classifier {config.name} has weights of its own ({config.weights}): there is nothing to train"
        )
    if classifiers.compression(config) is not None:
        raise ValueError(f"classifier {config.name} is made from another: use task=compress")
    data = make_data(cfg, options.batch_size, options.augmentation)
    planted_backdoor.check(config, data)
    path = classifier_file(cfg, config.name)
    artifact = weights_artifact(path, settings_of(cfg, "classifier", "train_classifier"), data)
    value = say_skipped(path, artifact.objective()) if artifact.exists() else fit(cfg, data, artifact)
    if isinstance(data, PoisonedImages):
        planted_backdoor.measure(cfg, config, data)
    return value


def fit(cfg: DictConfig, data: ImageDataModule, artifact: Artifact) -> float:
    """Train ``cfg.classifier`` and return its validation accuracy."""
    config, options = cfg.classifier, cfg.train_classifier
    pl.seed_everything(cfg.seed + WEIGHTS_SEED_STEP * config.weights_seed, workers=True, verbose=False)
    classifier = classifiers.make_classifier(config, data)
    accelerate(cfg, classifier)
    return train(
        cfg,
        training(cfg, classifier, data),
        data,
        length=Length(options.epochs),
        job=study_folder(cfg).job("train_classifier", config.name),
        network=classifier,
        artifact=artifact,
        objective="val/accuracy",
    )


def training(cfg: DictConfig, classifier: Classifier, data: ImageDataModule) -> ClassifierTraining:
    """What trains a classifier: on images as they are, or on attacked ones."""
    options, adversary = cfg.train_classifier, adversaries.adversary(cfg)
    make_optimizer = instantiate(options.optimizer, "train_classifier.optimizer")
    arguments = (classifier, len(data.classes), make_optimizer, options.schedule, options.label_smoothing)
    if adversary is None:
        return ClassifierTraining(*arguments)
    return AdversarialTraining(adversary, *arguments, seed=cfg.seed)
