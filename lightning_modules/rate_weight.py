"""The weight of the code's rate in the loss while an autoencoder is fine-tuned."""

import torch
from torch import Tensor, nn

SMOOTHING = 0.9  # share of the running mean that one step keeps


class RateWeight(nn.Module):
    """The weight of a nat of the code, in units of the cross-entropy: constant, or lower where the classifier is worse.

    With a tolerance ``t``, the weight is ``full · clamp(1 − m / t, 0, 1)`` for a running mean ``m`` of the
    cross-entropy: full weight at a cross-entropy of 0, none at the tolerance or above. So a classifier that loses
    accuracy regains it before the rate counts again. The weight and the mean are in checkpoints.

    Source: the idea, a weight that follows a constraint on the loss, is GECO's (arXiv 1810.00597). The rule is this
    project's: GECO multiplies the weight step by step, which lagged behind in trials (docs/trust.md).

    Args:
        full: The largest weight.
        tolerance: Cross-entropy, in nats and above 0, from which on the weight is 0; ``None``: always the full weight.
        smoothing: Share of the running mean that one step keeps.

    Raises:
        ValueError: If there is a tolerance, but no weight that it could lower.
    """

    value: Tensor
    smoothed: Tensor

    def __init__(self, full: float, tolerance: float | None, smoothing: float = SMOOTHING) -> None:
        super().__init__()
        if tolerance is not None and not full:
            raise ValueError(
                f"finetune.tolerance={tolerance} needs a weight to lower: set finetune.rate, too, or use null"
            )
        self.full, self.tolerance, self.smoothing = float(full), tolerance, smoothing
        self.register_buffer("value", torch.tensor(self.full))
        self.register_buffer("smoothed", torch.tensor(float("nan")))

    def update(self, loss: Tensor) -> None:
        """Follow the cross-entropy of one step, a scalar that must be the same on all ranks."""
        if self.tolerance is None:
            return
        loss = loss.detach().to(self.smoothed)
        before = torch.where(self.smoothed.isnan(), loss, self.smoothed)
        self.smoothed.copy_(self.smoothing * before + (1 - self.smoothing) * loss)
        self.value.copy_(self.full * (1 - self.smoothed / self.tolerance).clamp(0, 1))
