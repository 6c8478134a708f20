"""Colours as people see them: CIE LAB, its histograms, and how far two of them are apart."""

from typing import Any

import torch
from torch import Tensor

from metrics.fixed_dtype import ExactMetric

CHANNELS = ("L", "a", "b")
RANGES = ((0.0, 100.0), (-128.0, 128.0), (-128.0, 128.0))  # sRGB reaches a in [-86, 98] and b in [-108, 94]
XYZ_OF_RGB = ((0.412453, 0.357580, 0.180423), (0.212671, 0.715160, 0.072169), (0.019334, 0.119193, 0.950227))
WHITE_D65 = (0.95047, 1.0, 1.08883)  # of the observer of 2 degrees


def rgb_to_lab(images: Tensor) -> Tensor:
    """Convert sRGB to CIE LAB (illuminant D65, observer of 2 degrees).

    Args:
        images: sRGB in ``[0, 1]``, shape ``(N, 3, H, W)``; half precision is converted to float32 first.

    Returns:
        Same shape: lightness L in ``[0, 100]``, a (green to red) and b (blue to yellow) within ``[-128, 128]``.

    Raises:
        ValueError: If the shape is another or a value is not finite or leaves ``[0, 1]``.

    Source: IEC 61966-2-1 (sRGB); CIE 15 (LAB).
    """
    _check_images(images)
    values = images if images.dtype == torch.float64 else images.float()
    linear = torch.where(values > 0.04045, ((values + 0.055) / 1.055) ** 2.4, values / 12.92)
    matrix = torch.tensor(XYZ_OF_RGB, dtype=values.dtype, device=values.device)
    # a sum, not a matrix product: that may be computed in TF32
    xyz = (matrix[:, :, None, None] * linear[:, None]).sum(dim=2)
    xyz = xyz / torch.tensor(WHITE_D65, dtype=values.dtype, device=values.device)[:, None, None]
    roots = torch.where(xyz > 0.008856, xyz.clamp(min=1e-9) ** (1 / 3), 7.787 * xyz + 16 / 116)
    x, y, z = roots.unbind(dim=1)
    return torch.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], dim=1)


def lab_histogram(images: Tensor, bins: int = 256) -> Tensor:
    """Count the pixels of images by lightness, by a and by b.

    Args:
        images: As for :func:`rgb_to_lab`.
        bins: Equal-width bins over each channel's range in ``RANGES``.

    Returns:
        Counts, int64, shape ``(3, bins)``: over all pixels of all images.

    Raises:
        ValueError: As for :func:`rgb_to_lab`, or if ``bins`` is below 2.
    """
    _check_bins(bins)
    lab = rgb_to_lab(images).transpose(0, 1).flatten(1)
    low, high = torch.tensor(RANGES, dtype=lab.dtype, device=lab.device)[:, :, None].unbind(dim=1)
    numbers = ((lab - low) / (high - low) * bins).floor().long().clamp(0, bins - 1)
    numbers = numbers + bins * torch.arange(3, device=lab.device)[:, None]
    return torch.bincount(numbers.flatten(), minlength=3 * bins).reshape(3, bins)


def lab_edges(bins: int = 256) -> Tensor:
    """Edges of the bins of each channel in LAB units, float64, shape ``(3, bins + 1)``."""
    return torch.stack([torch.linspace(low, high, bins + 1, dtype=torch.float64) for low, high in RANGES])


def histogram_distance(counts: Tensor, others: Tensor, edges: Tensor) -> Tensor:
    """How far pixels must move on average to turn one histogram into the other: the 1-Wasserstein distance.

    Args:
        counts: Counts or shares, shape ``(..., bins)``; each histogram has something in it.
        others: Likewise, of the same bins.
        edges: Edges of the bins, shape ``(..., bins + 1)``, equally wide along the last dimension.

    Returns:
        Distances in the unit of the edges, float64, shape ``(...)``. Where in its bin a pixel lies is not known, so
        differences much below a bin's width mean nothing.

    Raises:
        ValueError: If a histogram is empty.
    """
    if not (counts.sum(-1) > 0).all() or not (others.sum(-1) > 0).all():
        raise ValueError("a histogram is empty: count at least one image before comparing")
    first, second = (found.double() / found.double().sum(-1, keepdim=True) for found in (counts, others))
    gaps = (first - second).cumsum(-1)[..., :-1].abs()
    return (gaps * edges.double().diff(dim=-1)[..., :-1]).sum(-1)


class LabHistogram(ExactMetric):
    """:func:`lab_histogram` over all images of all ranks.

    Args:
        bins: Equal-width bins per channel.
        **metric_options: As for ``torchmetrics.Metric``.
    """

    full_state_update = False
    is_differentiable = False
    counts: Tensor

    def __init__(self, bins: int = 256, **metric_options: Any) -> None:
        super().__init__(**metric_options)
        _check_bins(bins)
        self.bins = bins
        self.add_state("counts", torch.zeros(3, bins, dtype=torch.long), dist_reduce_fx="sum")

    def update(self, images: Tensor) -> None:
        """Add images, as for :func:`lab_histogram`."""
        self.counts = self.counts + lab_histogram(images, self.bins)

    def compute(self) -> Tensor:
        """Return the counts, int64, shape ``(3, bins)``.

        Raises:
            RuntimeError: If there was no image.
        """
        if not self.counts.any():
            raise RuntimeError("LAB histogram of no images; call update first")
        return self.counts


def _check_images(images: Tensor) -> None:
    if images.ndim != 4 or images.shape[1] != 3 or not images.is_floating_point():
        raise ValueError(f"images are {tuple(images.shape)}, {images.dtype}; expected floats of shape (N, 3, H, W)")
    if not images.numel():
        return
    low, high = (float(bound) for bound in images.aminmax())
    if not (low >= 0 and high <= 1):  # so written, it also refuses NaN
        raise ValueError(f"images have values from {low:g} to {high:g}; expected finite ones in [0, 1]: clamp them")


def _check_bins(bins: int) -> None:
    if not isinstance(bins, int) or bins < 2:
        raise ValueError(f"bins={bins!r}; expected a whole number of at least 2")
