"""A metric that counts exactly, whatever the precision of the training around it."""

from collections.abc import Callable, Sequence

from torch import Tensor, nn
from torchmetrics import Metric


class ExactMetric(Metric):
    """A metric whose states keep their dtype, whatever the module around it is cast to.

    torchmetrics ignores ``.half()`` and its like, but not ``.to(torch.bfloat16)``, as Lightning's ``bf16-true`` does.
    """

    def _apply(self, fn: Callable[[Tensor], Tensor], exclude_state: Sequence[str] = "") -> nn.Module:
        def move(tensor: Tensor) -> Tensor:
            moved = fn(tensor)
            return moved if moved.dtype == tensor.dtype else tensor.to(moved.device)

        return super()._apply(move, exclude_state)
