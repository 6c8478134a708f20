"""Adversaries: who attacks a classifier while it is trained here."""

from dataclasses import fields

from omegaconf import DictConfig, OmegaConf

from networks.attacks import PgdAttack
from study.classifiers import compression

DEFAULTS = {"steps": 10, "relative_step": 2.5, "random_start": True}  # steps of 2/255 within an epsilon of 8/255
NAMES = {field.name: field.name not in DEFAULTS for field in fields(PgdAttack)}  # and whether it must be given


def with_adversary(cfg: DictConfig, config: DictConfig) -> DictConfig:
    """The configuration with the adversary of a classifier: its ``adversary`` changes that of ``train_classifier``."""
    own = config.get("adversary")
    if own is None:
        return cfg
    if compression(config) is not None:
        raise ValueError(
            f"classifier {config.name} has an adversary, but task=compress trains on images as they are: "
            "give the adversary to its parent alone"
        )
    if not isinstance(own, DictConfig):
        raise ValueError(
            f"classifier {config.name}: adversary={own}; give options, as {{norm: linf, epsilon: 0.03137}}"
        )
    changed: DictConfig = OmegaConf.merge(cfg, {"train_classifier": {"adversary": own}})  # type: ignore[assignment]
    return changed


def adversary(cfg: DictConfig) -> PgdAttack | None:
    """Who attacks the training images, if anyone does."""
    return read(cfg.train_classifier.adversary, "train_classifier.adversary")


def check(cfg: DictConfig, config: DictConfig) -> None:
    """Find mistakes in a classifier's adversary before any work is done."""
    if not config.weights:
        adversary(with_adversary(cfg, config))


def read(options: object, key: str) -> PgdAttack | None:
    """The adversary that options describe.

    Args:
        options: A node of the configuration.
        key: Where it is.

    Raises:
        ValueError: If an option of it is unknown, missing or out of range; names its key.
    """
    if options is None:
        return None
    if not isinstance(options, DictConfig):
        raise ValueError(f"{key}={options}; give options, as {{norm: linf, epsilon: 0.03137}}, or null")
    unknown = [str(option) for option in options if option not in NAMES]
    missing = [option for option, needed in NAMES.items() if needed and option not in options]
    if unknown or missing:
        problem = f"has no {', '.join(unknown)}" if unknown else f"lacks {' and '.join(missing)}"
        raise ValueError(f"{key} {problem}; it takes {', '.join(NAMES)}")
    try:
        return PgdAttack(**DEFAULTS | OmegaConf.to_container(options, resolve=True))  # type: ignore[arg-type, operator]
    except ValueError as error:
        raise ValueError(f"{key}.{error}") from error
