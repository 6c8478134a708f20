"""Which labels a study has: those given with the images, or the decisions of its classifiers."""

import json
from collections.abc import Iterable
from functools import lru_cache
from typing import Any

from omegaconf import DictConfig, OmegaConf

from study.configuration.instantiation import TARGETS, imported, instantiate

GIVEN, DECISIONS = "given", "decisions"


def source_for(cfg: DictConfig, classes: Iterable[int | None]) -> str:
    """``given`` or ``decisions``: what ``labels.source`` says, or what follows from images and classifiers.

    Automatically, they are decisions if the images have no labels, or if a classifier has another number of classes
    than the images; it is the same for all classifiers of a study, so that one number means one thing.

    Args:
        cfg: The configuration.
        classes: The number of classes of each classifier; ``None`` stands for that of the images.
    """
    if cfg.labels.source != "automatic":
        return str(cfg.labels.source)
    if not has_labels(cfg):
        return DECISIONS
    numbers = {number for number in classes if number is not None}
    if not numbers:
        return GIVEN  # without reading the images
    count = count_classes(json.dumps(OmegaConf.to_container(cfg.data, resolve=True), sort_keys=True))
    return GIVEN if numbers == {count} else DECISIONS


def has_labels(cfg: DictConfig) -> bool:
    """Whether the images of a configuration have labels; they are not read for this."""
    target = cfg.data.get("_target_")  # another one is refused where the images are made
    return target not in TARGETS["images"] or bool(imported(target).labelled)  # type: ignore[attr-defined]


@lru_cache(maxsize=8)
def count_classes(node: str) -> int:
    """The number of classes of images.

    Args:
        node: The part of the configuration that describes them, as JSON.
    """
    options: dict[str, Any] = json.loads(node)
    for key in ("poison", "decisions"):
        options.pop(key, None)
    data = instantiate(options, "data", "images", batch_size=2, seed=0, augmentation="crop_flip")
    return len(data.classes)
