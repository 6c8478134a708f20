"""Adversaries: attacks on the training images of a classifier."""

from typing import Any

from omegaconf import DictConfig, OmegaConf

from networks.attacks import PgdAttack
from study.classifiers import compression
from study.settings.fields import resolved
from study.settings.training import Attack


def with_adversary(cfg: DictConfig, config: DictConfig) -> DictConfig:
    """The configuration with the whole adversary of a classifier in ``train_classifier.adversary``.

    The ``adversary`` of the classifier changes that of ``train_classifier``; options that neither gives have defaults.
    """
    common, changes = cfg.train_classifier.adversary, config.get("adversary")
    if common is None and changes is None:
        return cfg
    key = "train_classifier.adversary"
    if changes is not None:
        key = f"classifier {config.name}: adversary"
        if compression(config) is not None:
            raise ValueError(
                f"classifier {config.name} has an adversary, but task=compress trains on images as they are: "
                "give the adversary to its parent alone"
            )
        if not isinstance(changes, DictConfig):
            raise ValueError(f"{key}={changes}; give options, as {{norm: linf, epsilon: 0.03137}}")
    attack = resolved(OmegaConf.merge(common or {}, changes or {}), Attack, key)
    changed: DictConfig = OmegaConf.merge(cfg, {})  # type: ignore[assignment]
    changed.train_classifier.adversary = OmegaConf.to_container(attack)
    return changed


def adversary_of(node: DictConfig | None) -> PgdAttack | None:
    """The adversary that a complete node of settings describes, if it does."""
    if node is None:
        return None
    values: Any = OmegaConf.to_container(node, resolve=True)
    return PgdAttack(**values)


def check(cfg: DictConfig, config: DictConfig) -> None:
    """Find mistakes in the adversary of a classifier before any work is done."""
    if not config.weights:
        with_adversary(cfg, config)
