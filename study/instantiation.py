"""Objects from config nodes: only what belongs here may be named by a ``_target_``."""

from collections.abc import Iterator
from typing import Any

import hydra.utils
from omegaconf import DictConfig, OmegaConf

OWN = ("callbacks", "datamodules", "lightning_modules", "methods", "metrics", "networks")
CLASSES_OF = ("pytorch_lightning", "lightning_fabric", "torch.nn", "torch.optim", "torchmetrics", "torchvision", "timm")
BUILDERS_OF = ("torchvision.models", "timm")
NAMED = "the project's own packages, torch.nn, torch.optim, torchvision, timm, Lightning or torchmetrics"


def instantiate(config: DictConfig, key: str, **arguments: Any) -> Any:
    """Make the object that a config node describes.

    Args:
        config: The node; its ``_target_``, and any within it, must be a class or function that is defined in, not only
            imported by, one of the project's own packages, or a class of the field's.
        key: Where the node is, for errors.
        **arguments: More arguments of the target.

    Raises:
        ValueError: If another target is named; nothing of it has then been called.
    """
    plain = OmegaConf.to_container(config, resolve=True)
    for place, target in targets(plain, key):
        check(target, place)
    return hydra.utils.instantiate(config, **arguments)


def targets(tree: Any, key: str) -> Iterator[tuple[str, str]]:
    """Every ``_target_`` in a tree of settings, with its place."""
    if isinstance(tree, dict):
        if "_target_" in tree:
            yield f"{key}._target_", str(tree["_target_"])
        for name, branch in tree.items():
            yield from targets(branch, f"{key}.{name}")
    elif isinstance(tree, list):
        for number, branch in enumerate(tree):
            yield from targets(branch, f"{key}[{number}]")


def check(target: str, place: str) -> None:
    """Refuse a target that does not belong here, by its name first, then by what it is."""
    refusal = f"{place}={target} is not allowed: name something of {NAMED}"
    if not within(target, (*OWN, *CLASSES_OF)):
        raise ValueError(refusal)
    try:
        found = hydra.utils.get_object(target)
    except Exception as error:  # importing can raise anything
        raise ValueError(f"{place}={target} cannot be found: {' '.join(str(error).split())[:200]}") from error
    home = str(getattr(found, "__module__", ""))
    is_class = isinstance(found, type)
    is_function = type(found).__name__ == "function"
    own = (is_class or is_function) and within(home, OWN)
    library = is_class and within(home, CLASSES_OF)
    builder = is_function and within(home, BUILDERS_OF)
    if not (own or library or builder):
        raise ValueError(refusal)


def within(name: str, packages: tuple[str, ...]) -> bool:
    """Whether a dotted name lies in one of some packages."""
    return any(name == package or name.startswith(f"{package}.") for package in packages)
