"""Raise on NaN or infinity."""

import torch
from torch import Tensor


def check_finite(values: Tensor, index: Tensor, what: str) -> None:
    """Refuse NaN and infinity: NaN logits would count as a prediction of class 0.

    Args:
        values: Shape ``(N, ...)``.
        index: Number of each image, ``(N,)``.
        what: What the values are, for the error.

    Raises:
        ValueError: If a value is not finite; names the first image that has one.
    """
    finite = torch.isfinite(values).flatten(1).all(dim=1)
    if not finite.all():
        image = int(index[~finite][0])
        raise ValueError(f"{what} is not finite for image {image}: its weights or its training are broken")
