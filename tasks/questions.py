"""Questions: what each classifier is asked about the study's images, and trained on, where it is not the study's."""

from collections.abc import Mapping
from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf, open_dict
from torch import Tensor

from datamodules.base import ImageDataModule, Split
from datamodules.poison import Poison, read_poison
from datamodules.sampling import Draw
from tasks.build import make_data


def asked(cfg: DictConfig, config: DictConfig) -> DictConfig:
    """The configuration with the labels that a classifier is asked for: its ``question`` changes the data's options."""
    question = config.get("question")
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


def trained_on(cfg: DictConfig, config: DictConfig) -> DictConfig:
    """The configuration with the images a classifier is trained on: its question's labels, and its ``poison``.

    All else, from fine-tuning to the report, takes :func:`asked`, and so sees clean images.
    """
    cfg, poison = asked(cfg, config), config.get("poison")
    if poison is None:
        return cfg
    changed: DictConfig = OmegaConf.merge(cfg, {})  # type: ignore[assignment]
    with open_dict(changed):
        changed.data.poison = {**(changed.data.get("poison") or {}), **poison}
    return changed


def poison_of(cfg: DictConfig, config: DictConfig) -> Poison | None:
    """What the training images of a classifier are poisoned with, if they are."""
    options = trained_on(cfg, config).data.get("poison")
    return None if options is None else read_poison(OmegaConf.to_container(options, resolve=True))  # type: ignore[arg-type]


def questions(configs: Mapping[str, DictConfig]) -> dict[str, Any]:
    """What classifiers are asked that are asked something else than the study's labels."""
    return {name: config.question for name, config in configs.items() if config.get("question") is not None}


def right_answers(cfg: DictConfig, configs: Mapping[str, DictConfig], data: ImageDataModule) -> Tensor | None:
    """The right class of each test image for each classifier, ``(images, classifiers)``; ``None``: the images' labels.

    Raises:
        ValueError: If a classifier is asked about other images than the study's.
    """
    return answers_to(cfg, configs, data, "test") if questions(configs) else None


def name_of(config: DictConfig) -> str:
    """What a classifier's question is called; ``label`` is the study's own."""
    return "label" if config.get("question") is None else str(config.get("asked") or config.question)


def by_name(configs: Mapping[str, DictConfig]) -> dict[str, DictConfig]:
    """Every question that is asked, by what it is called, with the first classifier that is asked it."""
    found: dict[str, DictConfig] = {}
    for config in configs.values():
        found.setdefault(name_of(config), config)
    return found


def answers_to(cfg: DictConfig, asked_of: Mapping[str, DictConfig], data: ImageDataModule, name: Split) -> Tensor:
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
        split = own if config.get("question") is None else make_data(asked(cfg, config)).split(name)
        if len(split) != len(own) or not torch.equal(split[key][0], own[key][0]):
            raise ValueError(
                f"classifier {config.name} is asked about other images than the study's: its question may change the "
                "labels only"
            )
        columns.append([split.label(index) for index in range(len(own))])
    return torch.tensor(columns).T
