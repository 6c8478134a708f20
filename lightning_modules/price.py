"""What a nat of an autoencoder's code costs while it is fine-tuned."""

import torch
from torch import Tensor, nn

SMOOTHING = 0.95  # share of the average that one step keeps
LARGEST_STEP = 0.03  # change of the price in one step, as a share of it


class Price(nn.Module):
    """A price in units of the cross-entropy: constant, or rising for as long as the classifier keeps its answers.

    With a tolerance, the price rises where the running mean of the cross-entropy is below it, and falls where it is
    above, by up to 3 % in a step; so each classifier pays what it can. Price and mean are in checkpoints.

    Source: the idea, a constraint on the loss instead of a weight, is GECO's (arXiv 1810.00597); the rule is ours.

    Args:
        start: The first price.
        tolerance: Cross-entropy, in nats; ``None`` keeps the price.

    Raises:
        ValueError: If the tolerance is not above 0, or there is no price to begin with.
    """

    value: Tensor
    smoothed: Tensor

    def __init__(self, start: float, tolerance: float | None = None) -> None:
        super().__init__()
        if tolerance is not None and tolerance <= 0:
            raise ValueError(f"finetune.tolerance={tolerance}: give a cross-entropy above 0, or null")
        if tolerance is not None and not start:
            raise ValueError(
                f"finetune.tolerance={tolerance} needs a price to begin with: set finetune.rate, too, or use null"
            )
        self.tolerance = tolerance
        self.register_buffer("value", torch.tensor(float(start)))
        self.register_buffer("smoothed", torch.tensor(float("nan")))

    def update(self, loss: Tensor) -> None:
        """Take notice of the cross-entropy of one step, a scalar that is the same on all ranks."""
        if self.tolerance is None:
            return
        loss = loss.detach().to(self.smoothed)
        before = torch.where(self.smoothed.isnan(), loss, self.smoothed)
        self.smoothed.copy_(SMOOTHING * before + (1 - SMOOTHING) * loss)
        room = ((self.tolerance - self.smoothed) / self.tolerance).clamp(-1, 1)
        self.value.mul_((LARGEST_STEP * room).exp())
