"""Objects from config nodes; a ``_target_`` may only name something on a list of packages."""

from collections.abc import Iterator
from typing import Any

import hydra.utils
from omegaconf import DictConfig, OmegaConf

OWN = ("callbacks", "datamodules", "lightning_modules", "methods", "metrics", "networks")
CLASSES_OF = ("pytorch_lightning", "lightning_fabric", "torch.nn", "torch.optim", "torchmetrics", "torchvision", "timm")
BUILDERS_OF = ("torchvision.models", "timm")
NAMED = "the packages of this project, torch.nn, torch.optim, torchvision, timm, Lightning or torchmetrics"


def instantiate(config: DictConfig, key: str, **arguments: Any) -> Any:
    """Make the object that a config node describes.

    Args:
        config: The node; its ``_target_``, and any within it, must be a class or function that is defined in, not only
            imported by, a package of this project, or a class of a library in ``CLASSES_OF``.
        key: Where the node is, for errors.
        **arguments: More arguments of the target.

    Raises:
        ValueError: If another target is named; nothing of it has then been called.
    """
    plain = OmegaConf.to_container(config, resolve=True)
    for position, target in targets(plain, key):
        check(target, position)
    return hydra.utils.instantiate(config, **arguments)


def targets(tree: Any, key: str) -> Iterator[tuple[str, str]]:
    """Every ``_target_`` in a tree of settings, with its dotted key."""
    if isinstance(tree, dict):
        if "_target_" in tree:
            yield f"{key}._target_", str(tree["_target_"])
        for name, branch in tree.items():
            yield from targets(branch, f"{key}.{name}")
    elif isinstance(tree, list):
        for number, branch in enumerate(tree):
            yield from targets(branch, f"{key}[{number}]")


def check(target: str, key: str) -> None:
    """Refuse a target that is not on the list: by its name first, then by the module that defines it."""
    refusal = f"{key}={target} is not allowed: name something of {NAMED}"
    if not within(target, (*OWN, *CLASSES_OF)):
        raise ValueError(refusal)
    try:
        thing = hydra.utils.get_object(target)
    except Exception as error:  # importing can raise anything
        raise ValueError(f"{key}={target} cannot be found: {' '.join(str(error).split())[:200]}") from error
    home = str(getattr(thing, "__module__", ""))
    is_class = isinstance(thing, type)
    is_function = type(thing).__name__ == "function"
    own = (is_class or is_function) and within(home, OWN)
    library = is_class and within(home, CLASSES_OF)
    builder = is_function and within(home, BUILDERS_OF)
    if not (own or library or builder):
        raise ValueError(refusal)


def within(name: str, packages: tuple[str, ...]) -> bool:
    """Whether a dotted name lies in one of some packages."""
    return any(name == package or name.startswith(f"{package}.") for package in packages)
