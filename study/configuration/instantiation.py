"""Objects from nodes of the configuration: only what ``TARGETS`` lists can be named as ``_target_``, exactly.

The names are text, so that nothing of the list is imported before it is needed. A library's network is chosen by the
name of its architecture, which a class or function of this project looks up; no function of a library can be named.
"""

import difflib
import functools
import importlib
import inspect
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Literal

from hydra.errors import InstantiationException
from omegaconf import DictConfig, OmegaConf

Kind = Literal[
    "images", "autoencoder", "classifier", "preprocessing", "published weights", "published accuracy", "logger",
    "optimizer",
]  # fmt: skip
TARGETS: Mapping[Kind, tuple[str, ...]] = {
    "images": (
        "datamodules.AnyImages",
        "datamodules.Cifar10Images",
        "datamodules.Cifar100Images",
        "datamodules.CuedImages",
        "datamodules.FakeImages",
        "datamodules.ImageFolder",
        "datamodules.ImageShards",
        "datamodules.Photographs",
        "datamodules.RealPhotographs",
        "datamodules.UnlabelledImages",
    ),
    "autoencoder": ("networks.segnet.SegNet", "networks.segnet.CompactSegNet"),
    "classifier": (
        "networks.compact_classifiers.CompactAlexNet",
        "networks.compact_classifiers.CompactInception",
        "networks.compact_classifiers.CompactResNet",
        "networks.compact_classifiers.CompactVGG",
        "networks.compact_vit.CompactViT",
        "networks.exported.exported_network",
        "networks.lenet.LeNet5",
        "networks.own_network.own_network",
        "networks.timm_classifiers.timm_network",
        "networks.torchvision_classifiers.small_image_resnet",
        "networks.torchvision_classifiers.torchvision_network",
    ),
    "preprocessing": (
        "networks.classifier.Preprocessing",
        "networks.declared.declared_preprocessing",
        "networks.timm_classifiers.timm_preprocessing",
        "networks.torchvision_classifiers.torchvision_preprocessing",
    ),
    "published weights": (
        "networks.packaged_weights.efficientnet_lite_weights",
        "networks.timm_classifiers.timm_weights",
        "networks.torchvision_classifiers.torchvision_weights",
    ),
    "published accuracy": ("networks.torchvision_classifiers.torchvision_accuracy",),
    "logger": (
        "callbacks.loggers.csv_log",
        "callbacks.loggers.tensorboard_log",
        "callbacks.loggers.wandb_log",
    ),
    "optimizer": (
        "torch.optim.ASGD",
        "torch.optim.Adadelta",
        "torch.optim.Adafactor",
        "torch.optim.Adagrad",
        "torch.optim.Adam",
        "torch.optim.AdamW",
        "torch.optim.Adamax",
        "torch.optim.NAdam",
        "torch.optim.RAdam",
        "torch.optim.RMSprop",
        "torch.optim.Rprop",
        "torch.optim.SGD",
    ),
}
PARTIAL: frozenset[Kind] = frozenset({"optimizer"})  # the rest of their arguments comes later


def instantiate(config: DictConfig | Mapping[str, Any], key: str, kind: Kind, /, **arguments: Any) -> Any:
    """Make the object that a node of the configuration describes.

    The node is resolved once; what is checked is what is made.

    Args:
        config: The node: ``_target_``, ``_partial_: true`` for an optimiser, and arguments that are plain values.
        key: Where the node is, for errors.
        kind: What it must describe.
        **arguments: Further arguments, which the node must not have.

    Raises:
        ValueError: If the node names another target, has a target within it, or arguments that the target does not
            take; nothing has then been imported or called.
        InstantiationException: If the target raises an exception, which is its cause.
    """
    plain = plain_tree(config, key)
    target = plain.pop("_target_", None)
    if not isinstance(target, str) or target not in TARGETS[kind]:
        raise ValueError(refusal(target, f"{key}._target_", kind))
    if kind in PARTIAL and plain.pop("_partial_", None) is not True:
        raise ValueError(f"{key}._partial_: give true, because the program gives the parameters of the network later")
    for name, word in keys(plain, key):
        if str(word).startswith("_") and str(word).endswith("_"):
            raise ValueError(f"{name} is not allowed: the arguments of {target} are plain values; remove it")
    make = imported(target)
    refuse_wrong_arguments(make, target, plain, arguments, key, kind)
    try:
        return functools.partial(make, **plain, **arguments) if kind in PARTIAL else make(**plain, **arguments)
    except Exception as error:  # a constructor can raise anything; its cause is shown
        raise InstantiationException(f"{key}: {target} failed: {error}") from error


def plain_tree(config: Any, key: str) -> dict[str, Any]:
    """A node as mappings, lists and values, with every interpolation resolved, once.

    Raises:
        ValueError: If it is no mapping, lacks a value that must be given, or has an interpolation that is still one
            after it was resolved.
    """
    plain: Any = OmegaConf.to_container(config, resolve=True) if OmegaConf.is_config(config) else config
    if not isinstance(plain, Mapping):
        raise ValueError(f"{key}={plain}: give a mapping with _target_")
    refuse_escaped(plain, key)
    for name, value in leaves(plain, key):
        if isinstance(value, str) and value == "???":
            raise ValueError(f"{name} is not set: give it a value, as {name}=…")
    return {**plain}


def refuse_escaped(plain: Any, key: str) -> None:
    r"""Refuse text that would be an interpolation if it were resolved once more, as ``\${oc.env:HOME}`` is.

    Raises:
        ValueError: Names the key.
    """
    for name, value in [*leaves(plain, key), *keys(plain, key)]:
        if isinstance(value, str) and "${" in value:
            raise ValueError(f"{name}={value}: an escaped interpolation is not allowed; remove the backslash")


def leaves(tree: Any, key: str) -> Iterator[tuple[str, Any]]:
    """Every value in a tree of plain values, with its dotted key."""
    if isinstance(tree, Mapping):
        for name, branch in tree.items():
            yield from leaves(branch, f"{key}.{name}".removeprefix("."))
    elif isinstance(tree, list | tuple):
        for number, branch in enumerate(tree):
            yield from leaves(branch, f"{key}[{number}]")
    else:
        yield key, tree


def keys(tree: Any, key: str) -> Iterator[tuple[str, Any]]:
    """Every key of every mapping in a tree of plain values: dotted, and as it is."""
    if isinstance(tree, Mapping):
        for name, branch in tree.items():
            yield f"{key}.{name}".removeprefix("."), name
            yield from keys(branch, f"{key}.{name}".removeprefix("."))
    elif isinstance(tree, list | tuple):
        for number, branch in enumerate(tree):
            yield from keys(branch, f"{key}[{number}]")


def refusal(target: Any, key: str, kind: Kind) -> str:
    """Why a target cannot be named, and what can be instead."""
    allowed = TARGETS[kind]
    near = difflib.get_close_matches(str(target), allowed, n=3, cutoff=0.7) or allowed
    return f"{key}={target} is not allowed for {key.removesuffix('._target_')}: give {' or '.join(near)}"


def imported(target: str) -> Callable[..., Any]:
    """What a target of the list names."""
    module, _, name = target.rpartition(".")
    made: Callable[..., Any] = getattr(importlib.import_module(module), name)
    return made


def refuse_wrong_arguments(
    make: Callable[..., Any], target: str, given: Mapping[str, Any], further: Mapping[str, Any], key: str, kind: Kind
) -> None:
    """Refuse arguments that a target does not take, lacks, or gets from the program.

    Raises:
        ValueError: Names the key.
    """
    twice = sorted(given.keys() & further.keys())
    if twice:
        raise ValueError(f"{key}.{twice[0]} is not allowed: the program gives {target} its {twice[0]}; remove it")
    signature = inspect.signature(make)
    try:
        (signature.bind_partial if kind in PARTIAL else signature.bind)(**given, **further)
    except TypeError as error:
        names = ", ".join(name for name in signature.parameters if name not in further)
        raise ValueError(f"{key}: {target} {error}; its arguments are {names}") from error
