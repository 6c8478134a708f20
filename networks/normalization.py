"""Per-channel normalisation as a layer, so that every network takes pixels in [0, 1]."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


class Normalization(nn.Module):
    """Subtract a mean and divide by a standard deviation, per channel.

    Args:
        mean: One value per channel, for pixels in [0, 1].
        std: One value per channel, for pixels in [0, 1].
    """

    mean: Tensor
    std: Tensor

    def __init__(self, mean: Sequence[float] = IMAGENET_MEAN, std: Sequence[float] = IMAGENET_STD) -> None:
        super().__init__()
        # Not persistent: published weight files do not have them
        self.register_buffer("mean", torch.tensor(mean).view(-1, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(-1, 1, 1), persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        """Normalise images ``(N, C, H, W)`` in [0, 1]."""
        return (images - self.mean) / self.std

    def undo(self, normalized: Tensor) -> Tensor:
        """Bring normalised images ``(N, C, H, W)`` back to about [0, 1]."""
        return normalized * self.std + self.mean
