"""The classifiers of a study: which they are, and where their weights come from."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf, open_dict
from torch import Tensor

from datamodules.base import ImageDataModule
from datamodules.views.poisoned import without_poison
from datamodules.views.subset import spread_images
from networks.classifier import Classifier, Preprocessing, calibrate, freeze, frozen
from networks.compression import quantize_int8
from networks.outputs import reader_for
from networks.own_network import source_file
from networks.weights import load_weights
from study.artifact import PATHS_AND_NAMES, require, settings_of, without
from study.configuration.classifier_files import read_config, read_configs
from study.configuration.instantiation import instantiate
from study.configuration.names import entry_name
from study.console import say_once
from study.data import make_data
from study.decisions.files import EVALUATED, TASK, decisions_file
from study.decisions.source import DECISIONS, has_labels, source_for
from study.files import sha256
from study.folder import classifier_file, study_folder
from study.inputs import verified
from study.labels import own_labels, with_training_labels_of, without_decisions

RANDOM = "random"
CONTROL_STEPS = {"second_start": "pretrain", "extra_training": "finetune"}  # others of `controls` are classifiers
EXPORTED = "networks.exported.exported_network"
OWN_NETWORKS = (EXPORTED, "networks.own_network.own_network")
CALIBRATION_IMAGES = 64
READ = 2  # images for which the output of a user's own network is looked at
MAKE_DECISIONS = ("study", "ask", "decisions", "train_classifier", "compress")  # or come before them
SIBLING_SEEDS = 1000  # more than a classifier has siblings
COMPRESSIONS = {"pruned": {"amount"}, "int8": set(), "distilled": {"temperature", "alpha"}}  # and their options


def study_classifiers(cfg: DictConfig) -> dict[str, DictConfig]:
    """The config of each classifier of the study: that of ``classifier=`` as it is, the others from their files.

    ``torchvision/<name>`` and ``timm/<name>`` stand for any classifier of those libraries. Those of a study with
    decisions as labels have ``decisions: true``.
    """
    configs = read_configs(cfg)
    if labels_source(cfg, configs) == DECISIONS:
        return {name: with_own_decisions(config) for name, config in configs.items()}
    return configs


def labels_source(cfg: DictConfig, configs: Mapping[str, DictConfig] | None = None) -> str:
    """Which labels the study has: ``given`` or ``decisions``."""
    configs = read_configs(cfg) if configs is None else configs
    return source_for(cfg, (config.classes for config in configs.values()))


def with_own_decisions(config: DictConfig) -> DictConfig:
    """The config of a classifier whose labels are its own decisions."""
    marked: DictConfig = OmegaConf.merge(config, {})  # type: ignore[assignment]
    with open_dict(marked):
        marked.decisions = True
    return marked


def use_decisions(cfg: DictConfig) -> None:
    """Give a configuration what follows from decisions as labels, if the study has them, before a task runs.

    The classifier of the task gets ``decisions: true``; images on which a classifier only guesses are left out.
    """
    configs = read_configs(cfg)
    if labels_source(cfg, configs) != DECISIONS:
        if (made := study_folder(cfg).root / "decisions").is_dir():
            raise ValueError(f"{made} has decisions as labels: add labels=decisions, or use another study=<name>")
        if cfg.labels.least_confidence or cfg.labels.target != "class":
            raise ValueError("labels.least_confidence and labels.target are of decisions: add labels=decisions")
        return
    with open_dict(cfg):
        if not OmegaConf.is_missing(cfg.classifier, "name"):
            cfg.classifier = with_own_decisions(cfg.classifier)
        if cfg.labels.least_confidence:
            cfg.data.decisions = {"classifier": None, "confident": list(configs)}
    if cfg.task not in MAKE_DECISIONS:
        check_decisions(cfg, configs)


def check_decisions(cfg: DictConfig, configs: Mapping[str, DictConfig]) -> None:
    """Refuse decisions that were made with other weights, or on other images, than those of now."""
    files = [(name, decisions_file(cfg, name, split)) for name in configs for split in EVALUATED]
    made = [(name, path) for name, path in files if path.exists()]
    images = without_poison(make_data(without_decisions(cfg))).fingerprint() if made else ""
    for name, path in made:
        inputs = {"images": images, f"classifier {name}": weights_fingerprint(cfg, configs[name])}
        verified(path, cfg, TASK, inputs=inputs)


def every_classifier(cfg: DictConfig) -> dict[str, DictConfig]:
    """The config of each classifier of the study, then of those that are controls."""
    configs = study_classifiers(cfg)
    for entry in control_classifiers(cfg):
        name = entry_name(entry)
        if name in configs:
            raise ValueError(f"controls: {name} is among classifiers, too; a classifier is either studied or a control")
        config = cfg.classifier if name == cfg.classifier.get("name") else read_config(entry)
        own = any(studied.get("decisions") for studied in configs.values())
        configs[name] = with_own_decisions(config) if own else config
    return configs


def siblings(config: DictConfig, count: int) -> list[DictConfig]:
    """Configs of classifiers that differ from another in the seed of their weights alone, trained in the study.

    Raises:
        ValueError: If the classifier is not trained in the study.
    """
    if count and (config.weights or compression(config) is not None):
        raise ValueError(
            f"finetune.siblings={count}: classifier {config.name} is not trained here, so it can have no siblings; "
            "use finetune.siblings=0"
        )
    changes = [
        {"name": f"{config.name}-sibling{number}", "weights_seed": SIBLING_SEEDS * (config.weights_seed + 1) + number}
        for number in range(1, count + 1)
    ]
    return [OmegaConf.merge(config, change) for change in changes]  # type: ignore[misc]


def control_classifiers(cfg: DictConfig) -> list[str]:
    """Those of ``controls`` that are classifiers."""
    return [entry for entry in cfg.controls if entry not in CONTROL_STEPS]


def compression(config: DictConfig) -> DictConfig | None:
    """How a classifier is made from its parent, if it is."""
    return config.get("compressed")


def training_task(config: DictConfig) -> str:
    """The task that makes the weights of a classifier that names none."""
    return "train_classifier" if compression(config) is None else "compress"


def parent_of(config: DictConfig, configs: Mapping[str, DictConfig]) -> DictConfig:
    """The config of the classifier that another is compressed from.

    Args:
        config: The compressed classifier.
        configs: The classifiers of the study.

    Raises:
        ValueError: If ``compressed`` is not right or the parent is not in the study; says what to change.
    """
    block = compression(config)
    if block is None:
        raise ValueError(f"classifier {config.name} has no compressed block: choose one that has, as vgg_pruned")
    if block.get("how") not in COMPRESSIONS:
        raise ValueError(f"classifier {config.name}: compressed.how={block.get('how')}; use {', '.join(COMPRESSIONS)}")
    wanted = {"parent", "how"} | COMPRESSIONS[block.how]
    if block.keys() != wanted:
        raise ValueError(
            f"classifier {config.name}: compressed has {', '.join(sorted(map(str, block)))}; "
            f"a {block.how} one takes {', '.join(sorted(wanted))}"
        )
    if block.parent not in configs:
        raise ValueError(
            f"classifier {config.name} is compressed from {block.parent}, which is not one of "
            f"classifiers={list(configs)}: add it there"
        )
    parent = configs[block.parent]
    if compression(parent) is not None:
        raise ValueError(f"classifier {config.name} is compressed from {parent.name}, which is compressed itself")
    if parent.classes != config.classes:
        raise ValueError(
            f"classifier {config.name} has classes={config.classes}, its parent {parent.name} {parent.classes}: "
            "give both the same"
        )
    return parent


def check(cfg: DictConfig, config: DictConfig) -> None:
    """Find out whether a classifier and its weights can be had, before any work is done for it."""
    preprocessing(config)
    require_labels(cfg, config)
    if config.weights:
        path = classifier_weights(cfg, config)
        if path is not None and not path.is_file():
            raise FileNotFoundError(f"weights file {path} of classifier {config.name} does not exist: correct the path")


def require_labels(cfg: DictConfig, config: DictConfig) -> None:
    """Refuse to train a classifier on images without labels."""
    if not config.weights and not has_labels(cfg):
        raise ValueError(
            f"classifier {config.name} has no weights, and these images have no labels to train it with: give it "
            f"weights, as classifier_settings={{{config.name}:{{weights:/path/to/file}}}}, or use another classifier"
        )


def make_classifier(config: DictConfig, data: ImageDataModule) -> Classifier:
    """A classifier as its config describes it, without its weights, for as many classes as the data has."""
    classes = config.classes
    if classes is None and (data.labelled or not is_own(config)):
        classes = len(data.classes)
    trained_for_others = classes is not None and classes > len(data.classes) and config.weights != RANDOM
    if trained_for_others and not config.get("decisions"):
        raise ValueError(
            f"classifier {config.name} has {classes} classes, the data only {len(data.classes)}: use labels=decisions, "
            "data with the classes it was trained on, or another classifier"
        )
    random = config.weights == RANDOM
    # the CPU draws the weights: the generators of GPUs stay untouched, and no memory is taken on any GPU
    with torch.random.fork_rng(devices=[], enabled=random):
        if random:
            torch.default_generator.manual_seed(config.weights_seed)
        network = instantiate(config.network, "classifier.network", "classifier", classes=classes)
    classifier = Classifier(network, preprocessing(config))
    if is_own(config):
        read_output(classifier, config, spread_images(data.split("val"), READ))
    return classifier


def is_own(config: DictConfig) -> bool:
    """Whether a classifier is a user's own network, whose output is not known to be logits."""
    return config.network.get("_target_") in OWN_NETWORKS


def read_output(classifier: Classifier, config: DictConfig, images: Tensor) -> None:
    """Find out how the output of a user's own network is read as logits, and say it if anything is done.

    Raises:
        ValueError: If the network fails, or its output cannot be read.
    """
    classifier.read = None
    with frozen(classifier):
        try:
            classifier.read = reader_for(classifier, images, config.classes)
        except ValueError as error:
            raise ValueError(f"classifier {config.name}: {error}") from error
    if classifier.read is not None:
        say_once(f"classifier {config.name}: {classifier.read.note}")


def preprocessing(config: DictConfig) -> Preprocessing:
    """What a classifier does to an image before it looks."""
    made: Preprocessing = instantiate(config.preprocessing, "classifier.preprocessing", "preprocessing")
    return made


def load_classifier(cfg: DictConfig, config: DictConfig, data: ImageDataModule) -> Classifier:
    """A frozen classifier with its weights: random, published, a file's, or those trained in the study."""
    classifier = make_classifier(config, data)
    path = classifier_weights(cfg, config)
    if path is not None and config.network.get("_target_") != EXPORTED:  # a program brings its weights
        if note := load_weights(classifier, path):
            say_once(f"weights of {config.name}: {note} of {path.name}")
    elif path is None:
        split = data.split("val")
        count = min(CALIBRATION_IMAGES, len(split))
        calibrate(classifier, torch.stack([split[index][0] for index in range(count)]).float() / 255)

    if is_own(config):
        read_output(classifier, config, spread_images(data.split("val"), READ))  # again: other weights, other outputs
    block = compression(config)
    if block is not None and block.how == "int8":
        quantize_int8(classifier)  # its file holds the parent's weights
    freeze(classifier)
    return classifier


def classifier_weights(cfg: DictConfig, config: DictConfig) -> Path | None:
    """The file of a classifier's weights, which must be there; ``None`` for random ones."""
    if config.weights == RANDOM:
        return None
    if not config.weights:
        return require(classifier_file(cfg, config.name), cfg, f"{training_task(config)} classifier={config.name}")
    path = Path(config.weights)
    if path.exists() or config.published is None or path.suffix or len(path.parts) > 1:
        return path
    found: Path = instantiate(
        config.published.weights, "classifier.published.weights", "published weights", weights=config.weights
    )
    return found


def published_accuracy(config: DictConfig) -> tuple[float, float] | None:
    """Top-1 and top-5 accuracy in [0, 1] that was published for a classifier's weights, if it is known."""
    if config.published is None or config.published.accuracy is None:
        return None
    accuracy: tuple[float, float] | None = instantiate(
        config.published.accuracy, "classifier.published.accuracy", "published accuracy"
    )
    return accuracy


def weights_fingerprint(cfg: DictConfig, config: DictConfig) -> str:
    """What tells a classifier's weights from others; weights made here must be of this classifier and these images."""
    path = classifier_weights(cfg, config)
    if path is None:
        return f"random, calibrated, seed {config.weights_seed}"
    if config.weights:
        return sha256(path) + code_of(config)
    node: Any = OmegaConf.to_container(config, resolve=True)  # decisions, as paths, have no part in training
    made_with = settings_of(with_training_labels_of(cfg, config)) | {"classifier": without(node, PATHS_AND_NAMES)}
    del made_with["seed"]  # several seeds of A_i share a classifier
    return verified(path, cfg, f"{training_task(config)} classifier={config.name}", made_with)


def code_of(config: DictConfig) -> str:
    """What tells the code of a user's own network from another version of it; empty for other classifiers."""
    if config.network.get("_target_") != OWN_NETWORKS[1]:
        return ""
    return f", code {sha256(source_file(config.network.entry))[:16]}"


def classifier_inputs(cfg: DictConfig, configs: Mapping[str, DictConfig]) -> dict[str, str]:
    """Fingerprints of the weights of classifiers, and the labels that are not those of the images, for provenance."""
    weights = {f"classifier {name}": weights_fingerprint(cfg, config) for name, config in configs.items()}
    return weights | label_inputs(configs)


def label_inputs(configs: Mapping[str, DictConfig]) -> dict[str, str]:
    """What defines labels that are not those of the images, for provenance."""
    return {f"labels of {name}": str(labels) for name, labels in own_labels(configs).items()}
