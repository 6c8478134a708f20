"""Adversaries: attacks on the training images of a classifier."""

from typing import Any

from omegaconf import DictConfig, OmegaConf

from networks.attacks import PgdAttack
from study.classifiers import compression
from study.settings.fields import check_types
from study.settings.training import Attack


def with_adversary(cfg: DictConfig, config: DictConfig) -> DictConfig:
    """The configuration with the adversary of a classifier: its ``adversary`` changes that of ``train_classifier``."""
    changes = config.get("adversary")
    if changes is None:
        return cfg
    if compression(config) is not None:
        raise ValueError(
            f"classifier {config.name} has an adversary, but task=compress trains on images as they are: "
            "give the adversary to its parent alone"
        )
    key = f"classifier {config.name}: adversary"
    if not isinstance(changes, DictConfig):
        raise ValueError(f"{key}={changes}; give options, as {{norm: linf, epsilon: 0.03137}}")
    check_types(OmegaConf.merge(cfg.train_classifier.adversary or {}, changes), Attack, key)
    changed: DictConfig = OmegaConf.merge(cfg, {"train_classifier": {"adversary": changes}})  # type: ignore[assignment]
    return changed


def adversary_of(node: DictConfig | None) -> PgdAttack | None:
    """The adversary that a node of settings describes, if it does."""
    if node is None:
        return None
    values: Any = OmegaConf.to_container(node, resolve=True)
    return PgdAttack(**values)


def check(cfg: DictConfig, config: DictConfig) -> None:
    """Find mistakes in the adversary of a classifier before any work is done."""
    if not config.weights:
        adversary_of(with_adversary(cfg, config).train_classifier.adversary)
