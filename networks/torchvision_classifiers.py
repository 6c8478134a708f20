"""Any classifier of torchvision, with its published weights and the preprocessing those were trained for."""

import difflib
import re
from pathlib import Path
from typing import Any
from urllib.error import URLError

import torch
from torch import nn
from torchvision import models

from networks.classifier import Preprocessing, View, with_view

INPUT_OF_GOOGLE = {"inception_v3", "googlenet"}  # their weights want pixels in [-1, 1]; the network converts


def torchvision_network(architecture: str, classes: int) -> nn.Module:
    """Make a torchvision classifier with torchvision's initial weights.

    Inception v3 and GoogLeNet come without their auxiliary heads (nothing here trains with them). They always convert
    ImageNet-normalised input to the range of the published weights (``transform_input``), also with other weights, so
    that all weight files are used alike.

    Args:
        architecture: A name that ``torchvision.models.list_models(models)`` knows.
        classes: Number of logits.

    Raises:
        ValueError: If torchvision has no classifier of that name.
    """
    options: dict[str, Any] = {"num_classes": classes}
    if architecture in INPUT_OF_GOOGLE:
        options |= {"aux_logits": False, "transform_input": True, "init_weights": True}
    return models.get_model(known(architecture), weights=None, **options)


def torchvision_weights(architecture: str, weights: str) -> Path:
    """The file of torchvision's published weights, downloaded if it is not there.

    Args:
        architecture: See :func:`torchvision_network`.
        weights: Name of an entry of the architecture's weights enum.

    Returns:
        Path in ``TORCH_HOME/hub/checkpoints`` (``~/.cache/torch`` by default). If the file is there, nothing is
        downloaded.

    Raises:
        FileNotFoundError: If the file is neither there nor can be downloaded; names it.
        ValueError: If there are no such weights.
    """
    entries = models.get_model_weights(known(architecture))
    if weights not in entries.__members__:
        raise ValueError(
            f"torchvision has no weights {weights!r} of {architecture}; choose from {', '.join(entries.__members__)}, "
            "or name a file that exists, or random"
        )
    url = entries[weights].url
    path = Path(torch.hub.get_dir()) / "checkpoints" / url.rsplit("/", 1)[1]
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        digest = re.search(r"-([0-9a-f]{8,})\.", path.name)
        try:
            torch.hub.download_url_to_file(url, str(path), digest.group(1) if digest else None)
        except (URLError, OSError) as error:
            raise FileNotFoundError(
                f"the weights of {architecture} ({weights}) are not at {path} and cannot be downloaded ({error}): "
                f"download {url} elsewhere and put it there, or set classifier.weights to a file or to random"
            ) from error
    return path


def torchvision_preprocessing(architecture: str, weights: str | None, view: View) -> Preprocessing:
    """The preprocessing that published weights were evaluated with, from their metadata.

    Args:
        architecture: See :func:`torchvision_network`.
        weights: See :func:`torchvision_weights`; for anything else, such as a file, the architecture's first entry is
            used.
        view: ``native``: resize, then crop the centre, as torchvision does; ``whole``: squeeze the whole image into the
            network's input size, so that nothing is cropped.
    """
    entries = models.get_model_weights(known(architecture))
    chosen = entries[weights] if weights in entries.__members__ else next(iter(entries))
    preset = chosen.transforms()
    [size], [resize] = preset.crop_size, preset.resize_size
    native = Preprocessing(size, resize, tuple(preset.mean), tuple(preset.std), preset.interpolation.value)
    return with_view(native, view)


def torchvision_accuracy(architecture: str, weights: str | None) -> tuple[float, float] | None:
    """Top-1 and top-5 accuracy in [0, 1] on ImageNet's validation images as torchvision published them, if it did."""
    entries = models.get_model_weights(known(architecture))
    if weights not in entries.__members__:
        return None
    metrics = entries[weights].meta["_metrics"]["ImageNet-1K"]
    return metrics["acc@1"] / 100, metrics["acc@5"] / 100


def known(architecture: str) -> str:
    """The name of a classifier that torchvision has."""
    names = models.list_models(models)
    if architecture not in names:
        near = difflib.get_close_matches(architecture, names)
        hint = f"; did you mean {' or '.join(near)}?" if near else ""
        raise ValueError(f"torchvision has no classifier {architecture!r}{hint}")
    return architecture


def small_image_resnet(architecture: str, classes: int) -> nn.Module:
    """A ResNet of torchvision for images of about 32 pixels: a 3×3 first convolution of stride 1, and no first pool.

    The stem is that of the CIFAR-10 experiments of arXiv 1512.03385, section 4.2; the stages are torchvision's.

    Args:
        architecture: ``resnet18`` or another name that begins with ``resnet``.
        classes: Number of logits.

    Raises:
        ValueError: If torchvision has no ResNet of that name.
    """
    network = models.get_model(known(architecture), weights=None, num_classes=classes)
    if not isinstance(network, models.ResNet):
        raise ValueError(f"{architecture} is no ResNet, so its stem is another: choose one, as resnet18")
    network.conv1 = nn.Conv2d(3, 64, kernel_size=3, stride=1, padding=1, bias=False)
    nn.init.kaiming_normal_(network.conv1.weight, mode="fan_out", nonlinearity="relu")
    network.maxpool = nn.Identity()
    return network
