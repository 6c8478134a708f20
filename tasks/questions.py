"""Questions: what each classifier is asked about the study's images, where it is not the study's label."""

from collections.abc import Mapping
from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf
from torch import Tensor

from datamodules.base import ImageDataModule
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


def questions(configs: Mapping[str, DictConfig]) -> dict[str, Any]:
    """What classifiers are asked that are asked something else than the study's labels."""
    return {name: config.question for name, config in configs.items() if config.get("question") is not None}


def right_answers(cfg: DictConfig, configs: Mapping[str, DictConfig], data: ImageDataModule) -> Tensor | None:
    """The right class of each test image for each classifier, ``(images, classifiers)``; ``None``: the images' labels.

    Raises:
        ValueError: If a classifier is asked about other images than the study's.
    """
    if not questions(configs):
        return None
    own = data.split("test")
    columns = []
    for name, config in configs.items():
        split = own if config.get("question") is None else make_data(asked(cfg, config)).split("test")
        if len(split) != len(own) or not torch.equal(split[0][0], own[0][0]):
            raise ValueError(
                f"classifier {name} is asked about other images than the study's: its question may change the labels "
                "only"
            )
        columns.append([split.label(index) for index in range(len(own))])
    return torch.tensor(columns).T
