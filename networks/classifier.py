"""One wrapper for every classifier: pixels in [0, 1] of any size in, logits out."""

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from networks.normalization import IMAGENET_MEAN, IMAGENET_STD, Normalization


class Classifier(nn.Module):
    """A network with its own resizing and normalisation inside, both differentiable.

    Args:
        network: Any module from ``(N, 3, size, size)`` to logits ``(N, classes)``, such as a torchvision model.
        size: Height and width the network wants, in pixels; ``None`` leaves images as they are.
        mean: Per-channel mean the network was trained with.
        std: Per-channel standard deviation, likewise.
    """

    def __init__(
        self,
        network: nn.Module,
        size: int | None = None,
        mean: Sequence[float] = IMAGENET_MEAN,
        std: Sequence[float] = IMAGENET_STD,
    ) -> None:
        super().__init__()
        self.network = network
        self.size = size
        self.normalization = Normalization(mean, std)

    def forward(self, images: Tensor) -> Tensor:
        """Classify images.

        Args:
            images: RGB, about in [0, 1] (reconstructions may leave it), shape ``(N, 3, H, W)``, any size.

        Returns:
            Logits, shape ``(N, classes)``.
        """
        if self.size is not None and images.shape[-2:] != (self.size, self.size):
            images = F.interpolate(images, size=(self.size, self.size), mode="bilinear", antialias=True)
        return self.network(self.normalization(images))


def freeze(module: nn.Module) -> nn.Module:
    """Put a module in eval mode, without gradients, and return it."""
    return module.eval().requires_grad_(False)
