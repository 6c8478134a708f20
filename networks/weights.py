"""Loading weights into a network, under whatever names a file has them."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from networks.weight_files import StateDict, check_tensors, read_state_dicts

AUXILIARY_HEADS = ("network.AuxLogits.", "network.aux1.", "network.aux2.")
CONTAINERS = r"^((module|segnet)\.)+"
DEEPEST_PREFIX = 4  # components
FIRST_OF_EFFICIENTNET = ("_conv_stem.weight", "_fc.weight")  # in the naming of EfficientNet-PyTorch


def read_weights(path: str | Path) -> StateDict:
    """The only state dict of a weight file, without the prefixes ``module.`` and ``segnet.``.

    Args:
        path: See :func:`~networks.weight_files.read_state_dicts`.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it does not hold exactly one state dict, or would need to run pickled code.
    """
    found = read_state_dicts(path)
    if len(found) > 1:
        raise ValueError(f"{path} holds several state dicts ({', '.join(found)}): save the one that is meant alone")
    [weights] = found.values()
    return {re.sub(CONTAINERS, "", key): value for key, value in weights.items()}


def load_weights(module: nn.Module, path: str | Path) -> str:
    """Load a weight file into a module; every key and shape must fit, after an unambiguous change of names.

    Names may have prefixes such as ``module.``, ``_orig_mod.``, ``model.`` or ``backbone.``; the weights may stand in
    an entry such as ``state_dict`` or ``ema``, beside tensors of other parts.

    Args:
        module: The network; unchanged when an error is raised.
        path: See :func:`~networks.weight_files.read_state_dicts`.

    Returns:
        What was done to find the weights, in words; empty if the names were those of the network.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If nothing in the file fits, with the keys and shapes that differ; if two different things fit; or
            if the tensors cannot be weights (integers, NaN).
    """
    path, expected = Path(path), module.state_dict()
    fitting: dict[str, StateDict] = {}
    nearest: tuple[int, StateDict] = (-1, {})
    for entry, weights in read_state_dicts(path).items():
        for prefix, candidate in named_alternatives(weights, expected):
            if fits(candidate, expected):
                fitting[description(entry, prefix, len(weights) - len(candidate))] = candidate
            matched = sum(key in expected for key in candidate)
            nearest = max(nearest, (matched, candidate), key=lambda each: each[0])
    if not fitting:
        raise ValueError(
            f"{path} holds the weights of another network than {type(module).__name__} "
            f"({differences(nearest[1], expected)})"
        )
    note, chosen = next(iter(fitting.items()))
    for other, candidate in fitting.items():
        if any(chosen[key] is not value and not torch.equal(chosen[key], value) for key, value in candidate.items()):
            raise ValueError(
                f"{path} holds two sets of weights that fit, {note or 'the whole file'} and {other}: save the one that "
                "is meant alone, as torch.save(torch.load(path, weights_only=True)[entry], new_path)"
            )
    check_tensors(chosen, expected, path)
    module.load_state_dict(chosen)
    return note


def named_alternatives(weights: StateDict, expected: Mapping[str, Tensor]) -> Iterator[tuple[str, StateDict]]:
    """The weights of a file under the names that a network may expect, by the prefix that is taken away."""
    plain = {re.sub(r"(^|\.)(_orig_mod\.)+", r"\1", key): value for key, value in weights.items()}  # of torch.compile
    prefixes = {""}
    for key in plain:
        parts = key.split(".")[:-1]
        prefixes |= {".".join(parts[: n + 1]) + "." for n in range(min(len(parts), DEEPEST_PREFIX))}
    whole = re.compile("|".join(re.escape(prefix) for prefix in ("module.", "segnet.")))
    for prefix in sorted(prefixes, key=lambda each: (each.count("."), each)):
        within = {key.removeprefix(prefix): value for key, value in plain.items() if key.startswith(prefix)}
        if prefix and not whole.match(prefix) and len(within) < min(2, len(expected)):
            continue
        yield prefix, todays_names(within, expected)


def fits(weights: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> bool:
    """Whether every key and shape fits."""
    return weights.keys() == expected.keys() and all(weights[key].shape == expected[key].shape for key in expected)


def description(entry: str, prefix: str, left_out: int) -> str:
    """Where in a file weights were found, in words."""
    words = [f"entry {entry}"] if entry else []
    words += [f"keys without {prefix}"] if prefix else []
    words += [f"{left_out:,} other tensors are not used"] if left_out > 0 and prefix else []
    return ", ".join(words)


def differences(weights: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> str:
    """The keys and shapes in which weights differ from those that a network expects, in words."""
    problems: dict[str, list[Any]] = {
        "missing": [key for key in expected if key not in weights],
        "unexpected": [key for key in weights if key not in expected],
        "of another shape": [
            f"{key} {tuple(weights[key].shape)} instead of {tuple(tensor.shape)}"
            for key, tensor in expected.items()
            if key in weights and weights[key].shape != tensor.shape
        ],
    }
    said = "; ".join(f"{kind}: {shortened(keys)}" for kind, keys in problems.items() if keys)
    only_shapes = not problems["missing"] and not problems["unexpected"]
    if only_shapes and all(weights[key].shape[1:] == tensor.shape[1:] for key, tensor in expected.items()):
        counts = {weights[key].shape[0] for key, tensor in expected.items() if weights[key].shape != tensor.shape}
        if len(counts) == 1:
            said += f"; if the file is of the same network with {counts.pop()} classes, set classes of the classifier"
    return said


def todays_names(weights: StateDict, expected: Mapping[str, Tensor]) -> StateDict:
    """Weights of a file, renamed to the names that a network expects.

    A file of a bare network gets the prefix of its :class:`~networks.classifier.Classifier`; the old layer names of
    torchvision's DenseNets and the names of EfficientNet-PyTorch are replaced; auxiliary heads that the network was
    built without are left out; PyTorch before 0.4.1 did not count batches.
    """
    if all(key in weights for key in FIRST_OF_EFFICIENTNET):
        weights = in_order_of(weights, expected)
    wrapped = all(key.startswith("network.") for key in expected)
    if wrapped and not all(key.startswith("network.") for key in weights):
        weights = {f"network.{key}": value for key, value in weights.items()}
    renamed = {re.sub(r"(denselayer\d+\.(?:norm|conv))\.(\d)", r"\1\2", key): value for key, value in weights.items()}
    kept = {key: value for key, value in renamed.items() if key in expected or not key.startswith(AUXILIARY_HEADS)}
    counters = [key for key in expected if key.endswith("num_batches_tracked")]
    return {key: torch.zeros_like(expected[key]) for key in counters if key not in kept} | kept


def in_order_of(weights: StateDict, expected: Mapping[str, Tensor]) -> StateDict:
    """Weights of EfficientNet-PyTorch under timm's names: both list the same layers in the same order.

    They are returned as they are where a shape or the last part of a name does not fit, or a layer would be two.
    """
    counted = "num_batches_tracked"
    theirs = [key for key in weights if not key.endswith(counted)]
    ours = [key for key in expected if not key.endswith(counted)]
    if len(theirs) != len(ours) or any(
        their.rpartition(".")[2] != our.rpartition(".")[2] or weights[their].shape != expected[our].shape
        for their, our in zip(theirs, ours, strict=True)
    ):
        return weights
    layers = {(their.rpartition(".")[0], our.rpartition(".")[0]) for their, our in zip(theirs, ours, strict=True)}
    one_to_one = len(layers) == len({their for their, _ in layers}) == len({our for _, our in layers})
    return {our: weights[their] for their, our in zip(theirs, ours, strict=True)} if one_to_one else weights


def shortened(items: list[Any]) -> str:
    """The first three items, and how many more there are."""
    more = f" and {len(items) - 3} more" if len(items) > 3 else ""
    return ", ".join(str(item) for item in items[:3]) + more
