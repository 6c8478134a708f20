"""The strides of a network: the distance in input pixels between neighbouring positions of its layers."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Size, Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

aten = torch.ops.aten
# Position of the strides among the arguments; a pool without strides has its kernel's size, the second argument
CONVOLUTION, POOL = 3, 2
STRIDED = {
    aten.convolution: CONVOLUTION,
    aten.max_pool2d: POOL,
    aten.max_pool2d_with_indices: POOL,
    aten.mkldnn_max_pool2d: POOL,
    aten.avg_pool2d: POOL,
}


def stride_products(network: nn.Module, images: Tensor) -> list[int]:
    """The products of the strides up to each convolution and pooling layer, wherever the network calls them.

    Pooling to a single position (global pooling), adaptive pooling and merging by slices (as in Swin) have no stride
    and do not count.

    Args:
        network: In eval mode; run once.
        images: One image, ``(1, 3, H, W)``.

    Returns:
        Each product above 1 once, ascending: ``[2, 4, 8]``.
    """
    watch = WatchStrides(images.shape[-2:])
    with torch.no_grad(), watch:
        network(images)
    return sorted(watch.products)


class WatchStrides(TorchDispatchMode):
    """Within this context follow the strides through every strided operation, of modules and of functions.

    Feature maps are distinguished by their size. A map of a size that no strided operation has returned (padded or cut
    out) has the stride of the next larger known size.

    Args:
        size: Height and width of the input.
    """

    def __init__(self, size: Size) -> None:
        super().__init__()
        self.strides: dict[tuple[int, ...], int] = {tuple(size): 1}
        self.products: set[int] = set()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        position = STRIDED.get(func.overloadpacket)
        transposed = position == CONVOLUTION and args[6]
        if position is not None and not transposed and args[0].ndim == 4:
            output = result[0] if isinstance(result, tuple) else result
            steps = (args[position] if len(args) > position else None) or args[1]
            self.note(args[0].shape[-2:], output.shape[-2:], steps[0])
        return result

    def note(self, before: Size, after: Size, step: int) -> None:
        """Keep the stride of an operation's output."""
        if after.numel() == 1:
            return
        stride = self.strides.setdefault(tuple(after), self.stride_of(before) * step)
        if stride > 1:
            self.products.add(stride)

    def stride_of(self, size: Size) -> int:
        """The stride of maps of a size."""
        if tuple(size) in self.strides:
            return self.strides[tuple(size)]
        larger = [known for known in self.strides if known[0] >= size[0]]
        nearest = min(larger, key=lambda known: known[0], default=max(self.strides))
        return self.strides[nearest] * max(1, round(nearest[0] / size[0]))
