"""The guard against numbers that are none."""

import torch
from torch import Tensor


def check_finite(values: Tensor, index: Tensor, what: str) -> None:
    """Refuse a NaN or an infinity, which would otherwise count as class 0; names the first image that has one."""
    finite = torch.isfinite(values).flatten(1).all(dim=1)
    if not finite.all():
        image = int(index[~finite][0])
        raise ValueError(f"{what} is not finite for image {image}: its weights or its training are broken")
