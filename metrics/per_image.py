"""One value per image of a split, put together from any number of ranks."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from metrics.fixed_dtype import FixedDtypeMetric


class PerImage(FixedDtypeMetric):
    r"""Keep one value per image of a split; no image may be added twice over all ranks.

    .. math:: v_n = \sum_r v_{rn}

    where :math:`v_{rn}` is the value of image :math:`n` on rank :math:`r`, 0 on ranks that did not get the image.

    Args:
        size: Number of images in the split.
        shape: Shape of one image's value; ``()`` is a single number.
        dtype: Type of the values; any but ``torch.bool``, which has no sum (use an integer).
        complete: Whether every image must be added; otherwise the value of an image that was not added is 0.
        **metric_options: As for ``torchmetrics.Metric``.

    Raises:
        ValueError: If ``size`` is below 1 or ``dtype`` is ``torch.bool``.

    Example:
        >>> metric = PerImage(size=3, complete=True)
        >>> metric.update(torch.tensor([0.5, 0.25]), index=torch.tensor([2, 0]))
        >>> metric.update(torch.tensor([1.0]), index=torch.tensor([1]))
        >>> metric.compute().tolist()
        [0.25, 1.0, 0.5]
    """

    values: Tensor
    seen: Tensor

    def __init__(
        self,
        size: int,
        shape: Sequence[int] = (),
        dtype: torch.dtype = torch.float32,
        *,
        complete: bool,
        **metric_options: Any,
    ) -> None:
        super().__init__(**metric_options)
        if size < 1:
            raise ValueError(f"size={size}; expected the number of images in the split, at least 1")
        if dtype == torch.bool:
            raise ValueError("dtype=torch.bool cannot be summed over ranks; use an integer such as torch.uint8")
        self.value_dtype, self.complete = dtype, complete
        self.add_state("values", torch.zeros(size, *shape, dtype=dtype), dist_reduce_fx="sum")
        self.add_state("seen", torch.zeros(size, dtype=torch.int32), dist_reduce_fx="sum")

    def update(self, values: Tensor, index: Tensor) -> None:
        """Add the values of one batch.

        Args:
            values: One value per image, shape ``(B, *shape)``, of a dtype that ``torch.can_cast`` to the metric's.
            index: Position of each image in its split, integers of shape ``(B,)``.

        Raises:
            ValueError: If a shape or type does not fit or an index leaves the split.
        """
        size, *shape = self.values.shape
        if index.ndim != 1 or index.is_floating_point() or index.dtype == torch.bool:
            raise ValueError(f"index has shape {tuple(index.shape)} and {index.dtype}; expected integers of shape (B,)")
        if values.shape != (len(index), *shape):
            raise ValueError(f"values have shape {tuple(values.shape)}; expected {(len(index), *shape)}")
        if not torch.can_cast(values.dtype, self.values.dtype):
            raise ValueError(f"values are {values.dtype}; expected what casts to dtype={self.values.dtype}")
        if len(index) and (index.min() < 0 or index.max() >= size):
            low, high = int(index.min()), int(index.max())
            raise ValueError(f"index runs from {low} to {high}; expected 0 to {size - 1} for a split of {size} images")
        if self.seen.is_inference() and not torch.is_inference_mode_enabled():  # reset inside inference mode
            self.values, self.seen = self.values.clone(), self.seen.clone()
        index = index.long()
        self.values.index_add_(0, index, values.detach().to(self.values.dtype))
        self.seen.index_add_(0, index, torch.ones_like(index, dtype=torch.int32))

    def forward(self, values: Tensor, index: Tensor) -> None:
        """Add a batch, as ``update``; a batch is not a whole split, so it has no value to return."""
        self.update(values, index)

    def compute(self) -> Tensor:
        """Return the values of all images, in the order of the split.

        Returns:
            Values of shape ``(size, *shape)`` in the metric's dtype.

        Raises:
            RuntimeError: If an image was seen more than once, or is missing where none may.
        """
        wrong = {"missing": (self.seen == 0) & self.complete, "seen more than once": self.seen > 1}
        problems = [
            f"{int(images.sum())} {what} (first: {images.nonzero().flatten()[:5].tolist()})"
            for what, images in wrong.items()
            if images.any()
        ]
        if problems:
            raise RuntimeError(f"of {len(self.seen)} images, {' and '.join(problems)}; each must be seen exactly once")
        return self.values.to(self.value_dtype)  # the sum over ranks widens small integers

    def _wrap_compute(self, compute: Callable[..., Any]) -> Callable[..., Any]:
        wrapped = super()._wrap_compute(compute)
        return lambda: wrapped().reshape(self.values.shape)  # torchmetrics squeezes a single number
