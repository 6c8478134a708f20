"""One wrapper for every classifier: pixels in [0, 1] of any size in, logits out."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2 import functional as transforms

from networks.normalization import IMAGENET_MEAN, IMAGENET_STD, Normalization
from networks.outputs import OutputReader

View = Literal["native", "whole"]


@dataclass(frozen=True)
class Preprocessing:
    """Resizing, cropping and normalisation of images for one network.

    Attributes:
        size: Height and width of the network's input, in pixels; ``None`` keeps images as they are.
        resize: Length to which the shorter side is resized before the central square of ``size`` is cut out, in
            pixels; ``None`` squeezes the whole image into ``size``.
        mean: Per-channel mean that the network was trained with, for pixels in [0, 1].
        std: Per-channel standard deviation that the network was trained with, for pixels in [0, 1].
        interpolation: How pixels are resampled: ``bilinear`` or ``bicubic``, always antialiased.
    """

    size: int | None
    resize: int | None = None
    mean: Sequence[float] = IMAGENET_MEAN
    std: Sequence[float] = IMAGENET_STD
    interpolation: str = "bilinear"

    def crop(self, images: Any) -> Any:
        """Resize and crop a tensor ``(..., H, W)``, differentiably, or a PIL image, to the network's input size."""
        if self.size is None:
            return images
        mode = InterpolationMode(self.interpolation)
        square = [self.size, self.size]
        if self.resize is None:
            return transforms.resize(images, square, mode, antialias=True)
        if min(transforms.get_size(images)) != self.resize:
            images = transforms.resize(images, [self.resize], mode, antialias=True)
        return transforms.center_crop(images, square)

    def field_of_view(self, side: int) -> float:
        """How many pixels of a square image of ``side`` pixels the network sees along each side."""
        return side if self.resize is None or self.size is None else side * min(1.0, self.size / self.resize)

    def describe(self, side: int) -> str:
        """The steps from a square image of ``side`` pixels to the network's input, in words."""
        if self.size is None:
            return f"the whole {side} × {side} image, as it is"
        steps = [f"{side} × {side}"]
        resized = self.size if self.resize is None else self.resize
        if resized != side:
            steps.append(f"resized to {resized} × {resized}")
        if self.size != resized:
            steps.append(f"central {self.size} × {self.size}")
        return ", ".join(steps)


def with_view(native: Preprocessing, view: View) -> Preprocessing:
    """A network's native preprocessing, or one that squeezes the ``whole`` image into the network's input size."""
    if view not in get_args(View):
        raise ValueError(f"classifier.preprocessing.view={view!r} is unknown; choose {' or '.join(get_args(View))}")
    return native if view == "native" else replace(native, resize=None)


class Classifier(nn.Module):
    """A network with its own resizing, cropping and normalisation inside, all differentiable.

    Args:
        network: Any module from ``(N, 3, size, size)`` to logits ``(N, classes)``, such as a torchvision model.
        preprocessing: Resizes, crops and normalises; ``None`` only normalises, with ImageNet's mean and deviation.

    Attributes:
        read: Turns the network's output into logits, where it is something else.
    """

    read: OutputReader | None = None

    def __init__(self, network: nn.Module, preprocessing: Preprocessing | None = None) -> None:
        super().__init__()
        self.network = network
        self.preprocessing = preprocessing or Preprocessing(size=None)
        self.normalization = Normalization(self.preprocessing.mean, self.preprocessing.std)

    def forward(self, images: Tensor) -> Tensor:
        """Classify images.

        Args:
            images: RGB, about in [0, 1] (reconstructions may leave it), shape ``(N, 3, H, W)``, any size.

        Returns:
            Logits, shape ``(N, classes)``.
        """
        output = self.network(self.normalization(self.preprocessing.crop(images)))
        return output if self.read is None else self.read(output)


def freeze(module: nn.Module) -> nn.Module:
    """Put a module in eval mode, without gradients, and return it."""
    return module.eval().requires_grad_(False)


@contextmanager
def frozen(model: nn.Module) -> Iterator[None]:
    """Put a model in eval mode, without gradients of its parameters, and restore both afterwards."""
    modes = [(module, module.training) for module in model.modules()]
    learned = [parameter for parameter in model.parameters() if parameter.requires_grad]
    freeze(model)
    try:
        yield
    finally:
        for module, mode in modes:
            module.training = mode
        for parameter in learned:
            parameter.requires_grad_(True)


@torch.no_grad()
def calibrate(classifier: nn.Module, images: Tensor) -> None:
    """Give batch-norms the statistics of images, in place: without them, activations of untrained networks explode.

    Args:
        classifier: The network; put in eval mode.
        images: Two or more images, ``(N, 3, H, W)``.
    """
    norms = [module for module in classifier.modules() if isinstance(module, nn.BatchNorm2d)]
    momenta = [norm.momentum for norm in norms]
    classifier.eval()
    for norm in norms:
        norm.momentum = 1.0  # the running statistics become those of these images alone
        norm.train()
    if norms:
        classifier(images)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    classifier.eval()
