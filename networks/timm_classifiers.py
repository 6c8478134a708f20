"""Any classifier of timm (an extra), with its published weights and the preprocessing those were trained for."""

import math
import re
from pathlib import Path
from types import ModuleType
from typing import Any

from torch import nn

from networks.classifier import Preprocessing, View, with_view

NAME = re.compile(r"\w+(\.\w+)?", re.ASCII)  # of an architecture, and the tag of its weights


def timm_network(architecture: str, classes: int) -> nn.Module:
    """Make a timm classifier with timm's initial weights.

    Args:
        architecture: A name that ``timm.list_models`` knows, perhaps with the tag of its weights, as in
            ``resnet18.a1_in1k``.
        classes: Number of logits.

    Raises:
        ValueError: If timm is not installed or has no classifier of that name.
    """
    return timm_library().create_model(known(architecture), pretrained=False, num_classes=classes)


def timm_weights(architecture: str, weights: str) -> Path:
    """The file of timm's published weights, downloaded from the Hugging Face hub if it is not in its cache.

    Args:
        architecture: As for :func:`timm_network`.
        weights: ``pretrained``: those the name's tag stands for.

    Raises:
        FileNotFoundError: If the file is neither in the cache nor can be downloaded; names it.
        ValueError: If timm published no weights of that name.
    """
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    if weights != "pretrained":
        raise ValueError(
            f"timm has no weights {weights!r}: set classifier.weights to pretrained (the name's tag chooses which), "
            "to a file that exists, or to random"
        )
    repository = pretrained_config(architecture).hf_hub_id
    if not repository:
        raise ValueError(f"timm published no weights of {architecture}: name a file, or random, as classifier.weights")
    try:
        return Path(hf_hub_download(repository, "model.safetensors"))
    except (LocalEntryNotFoundError, HfHubHTTPError, OSError) as error:
        raise FileNotFoundError(
            f"the weights of {architecture} are not in the Hugging Face cache and cannot be downloaded: download "
            f"https://huggingface.co/{repository}/resolve/main/model.safetensors elsewhere and set classifier.weights "
            "to that file, or to random"
        ) from error


def timm_preprocessing(architecture: str, view: View) -> Preprocessing:
    """The preprocessing that published weights were evaluated with, from their metadata.

    Args:
        architecture: As for :func:`timm_network`.
        view: ``native``: as timm's evaluation transform; ``whole``: the whole image squeezed into the network's size.
    """
    config = pretrained_config(architecture)
    size = config.input_size[-1]
    resize = None if config.crop_mode == "squash" else math.floor(size / config.crop_pct)
    return with_view(Preprocessing(size, resize, config.mean, config.std, config.interpolation), view)


def pretrained_config(architecture: str) -> Any:
    """What timm knows about a name's weights."""
    return timm_library().models.get_pretrained_cfg(known(architecture))


def known(architecture: str) -> str:
    """The name of a classifier that timm has."""
    timm = timm_library()
    # a prefix such as hf-hub: or a path would be code or weights from elsewhere
    if not NAME.fullmatch(architecture) or not timm.is_model(architecture):
        near = timm.list_models(f"*{architecture.split('.')[0]}*")[:3]
        hint = f"; did you mean {' or '.join(near)}?" if near else ": see timm.list_models()"
        raise ValueError(f"timm has no classifier {architecture!r}{hint}")
    return architecture


def timm_library() -> ModuleType:
    """The timm package, which is an extra."""
    try:
        import timm
    except ImportError as error:
        raise ValueError("classifier=timm needs the timm package: pip install timm") from error
    return timm
