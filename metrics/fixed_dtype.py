"""A metric with exact counts, whatever the precision of the training around it."""

from collections.abc import Callable, Sequence

from torch import Tensor, nn
from torchmetrics import Metric


class FixedDtypeMetric(Metric):
    """A metric with states that keep their dtype when the module around it is cast to another one.

    torchmetrics ignores ``.half()`` and its like, but not ``.to(torch.bfloat16)``, as Lightning's ``bf16-true`` does.

    Example:
        >>> import torch
        >>> class Count(FixedDtypeMetric):
        ...     def __init__(self) -> None:
        ...         super().__init__()
        ...         self.add_state("count", torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")
        ...     def update(self) -> None:
        ...         self.count = self.count + 1
        ...     def compute(self) -> torch.Tensor:
        ...         return self.count
        >>> Count().to(torch.bfloat16).count.dtype
        torch.float64
    """

    full_state_update = False
    is_differentiable = False

    def _apply(self, fn: Callable[[Tensor], Tensor], exclude_state: Sequence[str] = "") -> nn.Module:
        def move(tensor: Tensor) -> Tensor:
            moved = fn(tensor)
            return moved if moved.dtype == tensor.dtype else tensor.to(moved.device)

        return super()._apply(move, exclude_state)
