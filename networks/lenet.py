"""LeNet-5 for colour images of 224 pixels: the lower bound among the paper's classifiers."""

from torch import Tensor, nn


class LeNet5(nn.Sequential):
    """LeNet-5's layers (two 5×5 convolutions with pooling, three dense layers) on RGB images of 224 pixels.

    The paper adapts LeNet-5 to 224² and does not say how. Here everything but the input keeps its published width (6,
    16, 120, 84), as do the 2×2 average pools and the hyperbolic tangents; the first dense layer takes what a larger
    image leaves, 16 × 53 × 53.

    Args:
        classes: Number of logits.

    Source: LeCun et al. 1998, figure 2; arXiv 1803.08337, section 4.
    """

    def __init__(self, classes: int) -> None:
        super().__init__(
            nn.Conv2d(3, 6, kernel_size=5), nn.Tanh(), nn.AvgPool2d(2),
            nn.Conv2d(6, 16, kernel_size=5), nn.Tanh(), nn.AvgPool2d(2),
            nn.Flatten(),
            nn.Linear(16 * 53 * 53, 120), nn.Tanh(),
            nn.Linear(120, 84), nn.Tanh(),
            nn.Linear(84, classes),
        )  # fmt: skip

    def forward(self, images: Tensor) -> Tensor:
        """Classify normalised images ``(N, 3, 224, 224)``: logits ``(N, classes)``."""
        if images.shape[-2:] != (224, 224):
            raise ValueError(f"LeNet-5 takes images of 224×224 pixels, not {images.shape[-2]}×{images.shape[-1]}")
        return super().forward(images)
