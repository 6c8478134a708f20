"""Small siblings of the four families of the study, for images of 32 to 96 pixels.

Each keeps what sets its family apart, at a size that a laptop trains in seconds.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn


def convolution(channels: int, width: int, kernel: int = 3, stride: int = 1) -> nn.Sequential:
    """Convolution, batch-norm and ReLU that keep the size (at stride 1, for odd kernels)."""
    return nn.Sequential(
        nn.Conv2d(channels, width, kernel, stride, padding=kernel // 2, bias=False),
        nn.BatchNorm2d(width),
        nn.ReLU(inplace=True),
    )


class FeaturesAndHead(nn.Module):
    """Layers that compute features of images, and layers that classify these."""

    features: nn.Sequential
    head: nn.Module

    def forward(self, x: Tensor) -> Tensor:
        """Logits ``(N, classes)`` of normalised images ``(N, 3, H, W)``, 32 pixels or more."""
        return self.head(self.features(x))


class CompactAlexNet(FeaturesAndHead):
    """AlexNet's sibling: a large strided first kernel, overlapping pools, a dense head, no batch-norm.

    Args:
        classes: Number of logits.
        dropout: Share of the head's inputs dropped in training.
    """

    def __init__(self, classes: int, dropout: float = 0.3) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(3, 32, kernel_size=7, stride=2, padding=3),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(3, stride=2),
            nn.Conv2d(32, 64, kernel_size=5, padding=2),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(3, stride=2),
            nn.Conv2d(64, 96, kernel_size=3, padding=1),
            nn.ReLU(inplace=True),
            nn.Conv2d(96, 64, kernel_size=3, padding=1),
            nn.ReLU(inplace=True),
            nn.AdaptiveAvgPool2d(4),
            nn.Flatten(),
        )
        self.head = nn.Sequential(
            nn.Dropout(dropout), nn.Linear(64 * 16, 128), nn.ReLU(inplace=True), nn.Linear(128, classes)
        )


class CompactVGG(FeaturesAndHead):
    """VGG's sibling (with batch-norm): stacks of 3×3 convolutions between 2×2 pools, a dense head.

    Args:
        classes: Number of logits.
        dropout: Share of the head's inputs dropped in training.
        widths: Channels of each stack of convolutions.
        hidden: Width of the dense head.
    """

    def __init__(
        self, classes: int, dropout: float = 0.3, widths: Sequence[int] = (12, 24, 64), hidden: int = 128
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        channels = 3
        for width in widths:
            layers += [convolution(channels, width), convolution(width, width), nn.MaxPool2d(2)]
            channels = width
        self.features = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(4), nn.Flatten())
        self.head = nn.Sequential(
            nn.Linear(channels * 16, hidden), nn.ReLU(inplace=True), nn.Dropout(dropout), nn.Linear(hidden, classes)
        )


class Residual(nn.Module):
    """Two 3×3 convolutions and a shortcut, projected where the shape changes."""

    def __init__(self, channels: int, width: int, stride: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            convolution(channels, width, stride=stride),
            nn.Conv2d(width, width, 3, padding=1, bias=False),
            nn.BatchNorm2d(width),
        )
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or channels != width:
            self.shortcut = nn.Sequential(nn.Conv2d(channels, width, 1, stride, bias=False), nn.BatchNorm2d(width))

    def forward(self, x: Tensor) -> Tensor:
        """Body plus shortcut, rectified."""
        return torch.relu(self.body(x) + self.shortcut(x))


class CompactResNet(FeaturesAndHead):
    """ResNet's sibling: residual blocks, strided instead of pooled, global average pooling, one linear layer.

    Args:
        classes: Number of logits.
    """

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.features = nn.Sequential(
            convolution(3, 16, stride=2),
            Residual(16, 24, stride=1),
            Residual(24, 48, stride=2),
            Residual(48, 96, stride=2),
        )
        self.head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(96, classes))


class Inception(nn.Module):
    """Parallel branches of four receptive fields, joined by channel."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.one = convolution(channels, width, 1)
        self.three = nn.Sequential(convolution(channels, width, 1), convolution(width, width, 3))
        self.five = nn.Sequential(
            convolution(channels, width // 2, 1), convolution(width // 2, width, 3), convolution(width, width, 3)
        )
        self.pool = nn.Sequential(nn.AvgPool2d(3, stride=1, padding=1), convolution(channels, width, 1))

    def forward(self, x: Tensor) -> Tensor:
        """``(N, channels, H, W)`` to ``(N, 4·width, H, W)``."""
        return torch.cat([self.one(x), self.three(x), self.five(x), self.pool(x)], dim=1)


class CompactInception(FeaturesAndHead):
    """Inception's sibling: a convolutional stem, modules of parallel branches, global average pooling.

    Args:
        classes: Number of logits.
        dropout: Share of the head's inputs dropped in training.
    """

    def __init__(self, classes: int, dropout: float = 0.2) -> None:
        super().__init__()
        self.features = nn.Sequential(
            convolution(3, 24, stride=2), nn.MaxPool2d(3, stride=2), Inception(24, 16), Inception(64, 24),
            nn.MaxPool2d(3, stride=2), Inception(96, 32),
        )  # fmt: skip
        self.head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(dropout), nn.Linear(128, classes))
