"""Questions: what each classifier is asked about the study's images, and trained on, where it is not the study's."""

from collections.abc import Mapping

import torch
from omegaconf import DictConfig, OmegaConf, open_dict
from torch import Tensor

from datamodules.base import ImageDataModule, Split
from datamodules.poison import Poison, read_poison
from datamodules.sampling import Draw
from study.classifiers import own_labels
from study.data import make_data


def with_labels_of(cfg: DictConfig, config: DictConfig) -> DictConfig:
    """The configuration with the labels that a classifier is asked for: its ``question`` changes the data's options."""
    question = config.get("labels")
    if question is None:
        return cfg
    unknown = question.keys() - cfg.data.keys()
    if unknown:
        raise ValueError(
            f"classifier {config.name} asks for data.{', data.'.join(sorted(unknown))}, which these images do not "
            "have: use data=cues, or another classifier"
        )
    changed: DictConfig = OmegaConf.merge(cfg, {"data": question})  # type: ignore[assignment]
    return changed


def with_training_labels_of(cfg: DictConfig, config: DictConfig) -> DictConfig:
    """The configuration with the images a classifier is trained on: its question's labels, and its ``poison``.

    All else, from fine-tuning to the report, takes :func:`asked`, and so sees clean images.
    """
    cfg, poison = with_labels_of(cfg, config), config.get("poison")
    if poison is None:
        return cfg
    changed: DictConfig = OmegaConf.merge(cfg, {})  # type: ignore[assignment]
    with open_dict(changed):
        changed.data.poison = {**(changed.data.get("poison") or {}), **poison}
    return changed


def poison_of(cfg: DictConfig, config: DictConfig) -> Poison | None:
    """What the training images of a classifier are poisoned with, if they are."""
    options = with_training_labels_of(cfg, config).data.get("poison")
    return None if options is None else read_poison(OmegaConf.to_container(options, resolve=True))  # type: ignore[arg-type]


def right_classes(cfg: DictConfig, configs: Mapping[str, DictConfig], data: ImageDataModule) -> Tensor | None:
    """The right class of each test image for each classifier, ``(images, classifiers)``; ``None``: the images' labels.

    Raises:
        ValueError: If a classifier is asked about other images than the study's.
    """
    return split_labels(cfg, configs, data, "test") if own_labels(configs) else None


def labels_name(config: DictConfig) -> str:
    """What a classifier's question is called; ``label`` is the study's own."""
    return "label" if config.get("labels") is None else str(config.get("labels_name") or config.labels)


def classifiers_by_labels(configs: Mapping[str, DictConfig]) -> dict[str, DictConfig]:
    """Every question that is asked, by what it is called, with the first classifier that is asked it."""
    found: dict[str, DictConfig] = {}
    for config in configs.values():
        found.setdefault(labels_name(config), config)
    return found


def split_labels(cfg: DictConfig, asked_of: Mapping[str, DictConfig], data: ImageDataModule, name: Split) -> Tensor:
    """The right classes of a split's images, ``(images, questions)``.

    Args:
        cfg: The configuration.
        asked_of: The questions, each with a classifier that is asked it.
        data: The images.
        name: The split.

    Raises:
        ValueError: If a classifier is asked about other images than the study's.
    """
    own, key = data.split(name), Draw(0, 0) if name == "train" else 0
    columns = []
    for config in asked_of.values():
        split = own if config.get("labels") is None else make_data(with_labels_of(cfg, config)).split(name)
        if len(split) != len(own) or not torch.equal(split[key][0], own[key][0]):
            raise ValueError(
                f"classifier {config.name} is asked about other images than the study's: its question may change the "
                "labels only"
            )
        columns.append([split.label(index) for index in range(len(own))])
    return torch.tensor(columns).T
