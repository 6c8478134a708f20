"""What a nat of an autoencoder's code costs while it is fine-tuned."""

import torch
from torch import Tensor, nn

SMOOTHING = 0.9  # share of the running mean that one step keeps


class RateWeight(nn.Module):
    """A price in units of the cross-entropy: constant, or as much as the classifier can pay.

    With a tolerance, the full price is asked where the running mean of the cross-entropy is 0, nothing where it is at
    the tolerance or above, and in proportion between; so a classifier that loses its answers gets them back before it
    pays on. RateWeight and mean are in checkpoints.

    Source: the idea, a weight that follows a constraint on the loss, is GECO's (arXiv 1810.00597); the rule is ours:
    one that multiplies the price step by step, as there, lagged behind in trials (docs/trust.md).

    Args:
        full: The price at most.
        tolerance: Cross-entropy, in nats, from which on nothing is asked; ``None``: always the full price.

    Raises:
        ValueError: If the tolerance is not above 0, or there is no price.
    """

    value: Tensor
    smoothed: Tensor

    def __init__(self, full: float, tolerance: float | None = None) -> None:
        super().__init__()
        if tolerance is not None and tolerance <= 0:
            raise ValueError(f"finetune.tolerance={tolerance}: give a cross-entropy above 0, or null")
        if tolerance is not None and not full:
            raise ValueError(
                f"finetune.tolerance={tolerance} needs a price to lower: set finetune.rate, too, or use null"
            )
        self.full, self.tolerance = float(full), tolerance
        self.register_buffer("value", torch.tensor(self.full))
        self.register_buffer("smoothed", torch.tensor(float("nan")))

    def update(self, loss: Tensor) -> None:
        """Take notice of the cross-entropy of one step, a scalar that is the same on all ranks."""
        if self.tolerance is None:
            return
        loss = loss.detach().to(self.smoothed)
        before = torch.where(self.smoothed.isnan(), loss, self.smoothed)
        self.smoothed.copy_(SMOOTHING * before + (1 - SMOOTHING) * loss)
        self.value.copy_(self.full * (1 - self.smoothed / self.tolerance).clamp(0, 1))
