"""Checks of images and options that several metrics share."""

from torch import Tensor


def check_bins(bins: int) -> None:
    """Check a number of histogram bins.

    Raises:
        ValueError: If it is not a whole number of at least 2.

    Example:
        >>> check_bins(1)
        Traceback (most recent call last):
        ValueError: bins=1; expected a whole number of at least 2
    """
    if not isinstance(bins, int) or bins < 2:
        raise ValueError(f"bins={bins!r}; expected a whole number of at least 2")


def check_range(name: str, images: Tensor) -> None:
    """Check that images are floats in ``[0, 1]``; NaN is not.

    Args:
        name: What the error message calls the images.
        images: Images of any shape.

    Raises:
        ValueError: If the type is another, or a value is not finite or leaves ``[0, 1]``.

    Example:
        >>> import torch
        >>> check_range("images", torch.tensor([0.0, 1.5]))
        Traceback (most recent call last):
        ValueError: images has values from 0 to 1.5; expected finite ones in [0, 1]: clamp it first
    """
    if not images.is_floating_point():
        raise ValueError(f"{name} is {images.dtype}; expected floats in [0, 1]")
    if not images.numel():
        return
    low, high = (float(bound) for bound in images.aminmax())
    if not (low >= 0 and high <= 1):  # so written, it also refuses NaN
        raise ValueError(f"{name} has values from {low:g} to {high:g}; expected finite ones in [0, 1]: clamp it first")
