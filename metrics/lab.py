"""CIE LAB, colours as people see them: conversion, histograms, and the distance of two histograms."""

from typing import Any

import torch
from torch import Tensor

from metrics.checks import check_bins, check_range
from metrics.fixed_dtype import FixedDtypeMetric

RANGES = ((0.0, 100.0), (-128.0, 128.0), (-128.0, 128.0))  # sRGB reaches a in [-86, 98] and b in [-108, 94]
XYZ_OF_RGB = ((0.412453, 0.357580, 0.180423), (0.212671, 0.715160, 0.072169), (0.019334, 0.119193, 0.950227))
WHITE_D65 = (0.95047, 1.0, 1.08883)  # of the observer of 2 degrees


def rgb_to_lab(images: Tensor) -> Tensor:
    r"""Convert sRGB to CIE LAB (illuminant D65, observer of 2 degrees).

    .. math::
        L = 116 f(Y / Y_n) - 16, \quad a = 500 (f(X / X_n) - f(Y / Y_n)), \quad b = 200 (f(Y / Y_n) - f(Z / Z_n))

    where :math:`(X, Y, Z)` is a matrix (``XYZ_OF_RGB``) times the linear RGB values, which are
    :math:`((v + 0.055) / 1.055)^{2.4}` of sRGB values :math:`v` above 0.04045 and :math:`v / 12.92` of others;
    :math:`(X_n, Y_n, Z_n)` is white; and :math:`f(t) = t^{1/3}` above 0.008856, else :math:`7.787 t + 16 / 116`.

    Args:
        images: sRGB in ``[0, 1]``, shape ``(N, 3, H, W)``; half precision is converted to float32 first.

    Returns:
        Same shape: lightness L in ``[0, 100]``, a (green to red) and b (blue to yellow) within ``[-128, 128]``.

    Raises:
        ValueError: If the shape is another or a value is not finite or leaves ``[0, 1]``.

    Source: IEC 61966-2-1 (sRGB); CIE 15 (LAB).

    Example:
        >>> red = torch.tensor([1.0, 0.0, 0.0], dtype=torch.float64).reshape(1, 3, 1, 1)
        >>> rgb_to_lab(red).flatten().round(decimals=1).tolist()
        [53.2, 80.1, 67.2]
    """
    # written here because skimage.color.rgb2lab runs on the CPU only
    if images.ndim != 4 or images.shape[1] != 3:
        raise ValueError(f"images are {tuple(images.shape)}, {images.dtype}; expected floats of shape (N, 3, H, W)")
    check_range("images", images)
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
    r"""Count the pixels of images by lightness, by a and by b.

    .. math:: c_{ki} = | \{ p : \lfloor B (v_{kp} - l_k) / (h_k - l_k) \rfloor = i \} |

    where :math:`v_{kp}` is channel :math:`k` of pixel :math:`p`, :math:`[l_k, h_k]` the range of the channel
    (``RANGES``) and :math:`B` the number of bins.

    Args:
        images: As for :func:`rgb_to_lab`.
        bins: Equal-width bins over each channel's range.

    Returns:
        Counts, int64, shape ``(3, bins)``: over all pixels of all images.

    Raises:
        ValueError: As for :func:`rgb_to_lab`, or if ``bins`` is below 2.

    Example:
        >>> lab_histogram(torch.zeros(1, 3, 2, 2), bins=4).tolist()  # four black pixels: L, a and b are 0
        [[4, 0, 0, 0], [0, 0, 4, 0], [0, 0, 4, 0]]
    """
    check_bins(bins)
    lab = rgb_to_lab(images).transpose(0, 1).flatten(1)
    low, high = torch.tensor(RANGES, dtype=lab.dtype, device=lab.device)[:, :, None].unbind(dim=1)
    numbers = ((lab - low) / (high - low) * bins).floor().long().clamp(0, bins - 1)
    numbers = numbers + bins * torch.arange(3, device=lab.device)[:, None]
    return torch.bincount(numbers.flatten(), minlength=3 * bins).reshape(3, bins)


def lab_edges(bins: int = 256) -> Tensor:
    r"""Edges of the bins of each channel in LAB units, float64, shape ``(3, bins + 1)``.

    .. math:: e_{ki} = l_k + i (h_k - l_k) / B, \qquad i = 0, \dots, B

    where :math:`[l_k, h_k]` is the range of channel :math:`k` and :math:`B` the number of bins.

    Example:
        >>> lab_edges(2).tolist()
        [[0.0, 50.0, 100.0], [-128.0, 0.0, 128.0], [-128.0, 0.0, 128.0]]
    """
    return torch.stack([torch.linspace(low, high, bins + 1, dtype=torch.float64) for low, high in RANGES])


def histogram_distance(counts: Tensor, others: Tensor, edges: Tensor) -> Tensor:
    r"""How far pixels must move on average to turn one histogram into the other: the 1-Wasserstein distance.

    .. math:: d = w \sum_{k=1}^{B - 1} \left| \sum_{i=1}^{k} (p_i - q_i) \right|

    where :math:`p_i` and :math:`q_i` are the shares of the two histograms in bin :math:`i`, :math:`B` is the number of
    bins and :math:`w` their width.

    Args:
        counts: Counts or shares, shape ``(..., bins)``; no histogram is empty.
        others: Other counts or shares, of the same bins.
        edges: Edges of the bins, shape ``(..., bins + 1)``, equally wide along the last dimension.

    Returns:
        Distances in the unit of the edges, float64, shape ``(...)``. Where in its bin a pixel lies is not known, so
        differences much below a bin's width mean nothing.

    Raises:
        ValueError: If a histogram is empty.

    Example:
        >>> counts, others = torch.tensor([4, 0, 0]), torch.tensor([2, 0, 2])
        >>> float(histogram_distance(counts, others, torch.tensor([0.0, 10.0, 20.0, 30.0])))  # half moves by two bins
        10.0
    """
    # written here because scipy.stats.wasserstein_distance takes one pair of histograms at a time
    if not (counts.sum(-1) > 0).all() or not (others.sum(-1) > 0).all():
        raise ValueError("a histogram is empty: count at least one image before comparing")
    first, second = (values.double() / values.double().sum(-1, keepdim=True) for values in (counts, others))
    gaps = (first - second).cumsum(-1)[..., :-1].abs()
    return (gaps * edges.double().diff(dim=-1)[..., :-1]).sum(-1)


class LabHistogram(FixedDtypeMetric):
    r""":func:`lab_histogram` over all images of all ranks.

    .. math:: c_{ki} = \sum_n c_{kin}

    where :math:`c_{kin}` counts the pixels of image :math:`n` with channel :math:`k` in bin :math:`i`.

    Args:
        bins: Equal-width bins per channel.
        **metric_options: As for ``torchmetrics.Metric``.

    Example:
        >>> metric = LabHistogram(bins=4)
        >>> metric.update(torch.zeros(1, 3, 2, 2))
        >>> metric.update(torch.ones(1, 3, 2, 2))
        >>> metric.compute()[0].tolist()  # four black pixels and four white ones
        [4, 0, 0, 4]
    """

    counts: Tensor

    def __init__(self, bins: int = 256, **metric_options: Any) -> None:
        super().__init__(**metric_options)
        check_bins(bins)
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
