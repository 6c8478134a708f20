"""Labels: the right classes of images.

They are given with the images; or a classifier defines them by other options of the data than the study; or they are
the decisions of each classifier on the originals.
"""

from collections.abc import Mapping
from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf, open_dict
from torch import Tensor

from datamodules.base import ImageDataModule, Split
from datamodules.poison import Poison, read_poison
from datamodules.sampling import Draw
from study.data import make_data
from study.decisions.source import DECISIONS

STUDY = "label"  # name of the labels that the images have in the study


def with_labels_of(cfg: DictConfig, config: DictConfig) -> DictConfig:
    """The configuration in which images have the labels of a classifier.

    They are its decisions where the study has decisions as labels; else its ``labels`` change options of the data.

    Raises:
        ValueError: If the data have no such option; names it.
    """
    if config.get("decisions"):
        decided = cfg.data.get("decisions") or {"confident": []}
        return changed_data(cfg, decisions={**decided, "classifier": config.name})
    return with_given_labels_of(cfg, config)


def with_given_labels_of(cfg: DictConfig, config: DictConfig) -> DictConfig:
    """The configuration with the labels that a classifier is trained with, whatever it is evaluated by."""
    options = config.get("labels")
    if options is None:
        return cfg
    unknown = options.keys() - cfg.data.keys()
    if unknown:
        raise ValueError(
            f"classifier {config.name}: labels change data.{', data.'.join(sorted(unknown))}, which these images do "
            "not have: use data=cues, or another classifier"
        )
    return OmegaConf.merge(cfg, {"data": options})  # type: ignore[return-value]


def with_training_labels_of(cfg: DictConfig, config: DictConfig) -> DictConfig:
    """The configuration with the images that a classifier is trained on: with given labels, and its ``poison``.

    Everything else, from fine-tuning to the report, uses :func:`with_labels_of`, and so clean images.
    """
    cfg, poison = with_given_labels_of(cfg, config), config.get("poison")
    cfg = without_decisions(cfg) if cfg.data.get("decisions") else cfg
    return cfg if poison is None else changed_data(cfg, poison={**(cfg.data.get("poison") or {}), **poison})


def without_decisions(cfg: DictConfig) -> DictConfig:
    """The configuration with the labels of the images, and all images: for steps that need no decisions."""
    return changed_data(cfg, decisions=None)


def changed_data(cfg: DictConfig, **options: Any) -> DictConfig:
    """The configuration with other options of the data."""
    changed: DictConfig = OmegaConf.merge(cfg, {})  # type: ignore[assignment]
    with open_dict(changed):
        for name, value in options.items():
            changed.data[name] = value
    return changed


def poison_of(cfg: DictConfig, config: DictConfig) -> Poison | None:
    """The poison in the training images of a classifier, if there is any."""
    options = with_training_labels_of(cfg, config).data.get("poison")
    return None if options is None else read_poison(OmegaConf.to_container(options, resolve=True))  # type: ignore[arg-type]


def right_classes(cfg: DictConfig, configs: Mapping[str, DictConfig], data: ImageDataModule) -> Tensor | None:
    """The right class of each test image for each classifier, ``(images, classifiers)``.

    ``None`` stands for the labels of the images, where no classifier has others.
    """
    return split_labels(cfg, configs, data, "test") if own_labels(configs) else None


def own_labels(configs: Mapping[str, DictConfig]) -> dict[str, Any]:
    """What defines the labels of the classifiers that have other labels than the images."""
    own = {name: DECISIONS if config.get("decisions") else config.get("labels") for name, config in configs.items()}
    return {name: labels for name, labels in own.items() if labels is not None}


def labels_name(config: DictConfig) -> str:
    """Name of the labels of a classifier: ``label`` are those of the study, ``decisions`` its own decisions."""
    if config.get("decisions"):
        return DECISIONS
    return STUDY if config.get("labels") is None else str(config.get("labels_name") or config.labels)


def set_of_labels(config: DictConfig) -> str:
    """What tells sets of labels apart: their name; the decisions of each classifier are a set of their own."""
    return f"{DECISIONS} of {config.name}" if config.get("decisions") else labels_name(config)


def classifiers_by_labels(configs: Mapping[str, DictConfig]) -> dict[str, DictConfig]:
    """The first classifier of each set of labels, by :func:`set_of_labels`."""
    first: dict[str, DictConfig] = {}
    for config in configs.values():
        first.setdefault(set_of_labels(config), config)
    return first


def split_labels(cfg: DictConfig, configs: Mapping[str, DictConfig], data: ImageDataModule, name: Split) -> Tensor:
    """The right classes of the images of a split for each classifier, ``(images, classifiers)``.

    Args:
        cfg: The configuration.
        configs: The classifiers.
        data: The images.
        name: The split.

    Raises:
        ValueError: If the ``labels`` of a classifier change the images as well.
    """
    images, key = data.split(name), Draw(0, 0) if name == "train" else 0
    columns = []
    for config in configs.values():
        own = config.get("decisions") or config.get("labels") is not None
        split = make_data(with_labels_of(cfg, config)).split(name) if own else images
        if len(split) != len(images) or not torch.equal(split[key][0], images[key][0]):
            raise ValueError(
                f"classifier {config.name}: its labels change the images of the study; they may change the labels only"
            )
        columns.append([split.label(index) for index in range(len(images))])
    return torch.tensor(columns).T
