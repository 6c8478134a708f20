"""``task=train_classifier``: one classifier, trained on the images of the study."""

from omegaconf import DictConfig

from datamodules.base import ImageDataModule
from datamodules.views.poisoned import PoisonedImages
from lightning_modules.adversarial_training import AdversarialTraining
from lightning_modules.classifier_training import ClassifierTraining
from methods.class_patterns import planted_backdoor
from networks.classifier import Classifier
from study.adversaries import adversary_of, with_adversary
from study.artifact import settings_of, weights_artifact
from study.classifiers import compression, make_classifier, require_labels
from study.configuration.instantiation import instantiate
from study.data import make_data
from study.folder import classifier_file, study_folder
from study.labels import with_training_labels_of
from study.step import Result, Step
from study.trainer import Length, accelerate
from study.training import train

WEIGHTS_SEED_STEP = 1_000_000  # no study has as many seeds


def run(cfg: DictConfig) -> float:
    """Train ``cfg.classifier``, keep its weights in the study folder, and return its validation accuracy."""
    config = cfg.classifier
    cfg = with_adversary(with_training_labels_of(cfg, config), config)
    options = cfg.train_classifier
    if config.weights:
        raise ValueError(f"classifier {config.name} has weights ({config.weights}): there is nothing to train")
    if compression(config) is not None:
        raise ValueError(f"classifier {config.name} is made from another: use task=compress")
    require_labels(cfg, config)
    data = make_data(cfg, options.batch_size, options.augmentation)
    planted_backdoor.check(config, data)
    settings = settings_of(cfg, "classifier", "train_classifier")
    artifact = weights_artifact(classifier_file(cfg, config.name), settings, data)
    seed = cfg.seed + WEIGHTS_SEED_STEP * config.weights_seed
    step = Step(artifact, study_folder(cfg).job("train_classifier", config.name), seed)

    def make() -> Result:
        classifier = make_classifier(config, data)
        accelerate(cfg, classifier)
        module, length = training(cfg, classifier, data), Length(options.epochs)
        return train(cfg, step, module, data, length=length, network=classifier, objective="val/accuracy")

    accuracy = step.run(make)
    if isinstance(data, PoisonedImages):
        planted_backdoor.measure(cfg, config, data)
    return accuracy


def training(cfg: DictConfig, classifier: Classifier, data: ImageDataModule) -> ClassifierTraining:
    """The module that trains a classifier: on images as they are, or on attacked ones."""
    options, adversary = cfg.train_classifier, adversary_of(cfg.train_classifier.adversary)
    make_optimizer = instantiate(options.optimizer, "train_classifier.optimizer", "optimizer")
    arguments = (classifier, make_optimizer, options.schedule, options.label_smoothing)
    if adversary is None:
        return ClassifierTraining(*arguments)
    return AdversarialTraining(adversary, *arguments, seed=cfg.seed)
