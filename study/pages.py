"""What the page says of a study's networks: display names, fields of view, and where weights come from."""

from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import pandas as pd
from omegaconf import DictConfig

from stats.names import PRETRAINED
from study import classifiers
from study.artifact import require
from study.folder import classifier_file, study_folder
from study.networks import study_autoencoders


def titles_of(configs: Mapping[str, DictConfig]) -> dict[str, str]:
    """The display name of each classifier; two with the same title are told apart by their names behind it."""
    titles = {name: str(config.title) for name, config in configs.items()}
    shared = {title for title, count in Counter(titles.values()).items() if count > 1}
    return {name: f"{title} ({name})" if title in shared else title for name, title in titles.items()}


def views_table(configs: Mapping[str, DictConfig], side: int) -> pd.DataFrame:
    """What each classifier does to a study image, and how much of the image it sees.

    Args:
        configs: The classifiers.
        side: Side of the smallest image, in pixels.
    """
    rows = {}
    for name, config in configs.items():
        view = classifiers.preprocessing(config)
        seen = view.field_of_view(side)
        rows[name] = (view.describe(side), f"{seen:.0f} × {seen:.0f} pixels", f"{(seen / side) ** 2:.0%}")
    return pd.DataFrame.from_dict(rows, orient="index", columns=["preprocessing", "sees", "of the area"])


def shown_autoencoders(cfg: DictConfig) -> dict[str, Path]:
    """The weights of A_S and of every A_i; of several seeds, of the first."""
    weights = {PRETRAINED: require(study_folder(cfg).pretrained, cfg, "pretrain")}
    return weights | {
        name: next(iter(study_autoencoders(cfg, name).values())) for name in classifiers.study_classifiers(cfg)
    }


def origin(cfg: DictConfig, config: DictConfig) -> Path | str:
    """The provenance of weights that are made here, which must exist; of others, the origin in words."""
    if config.weights:
        return "not at all: random weights" if config.weights == classifiers.RANDOM else "elsewhere"
    weights = classifier_file(cfg, config.name)
    return require(weights, cfg, f"{classifiers.training_task(config)} classifier={config.name}").with_suffix(".json")
