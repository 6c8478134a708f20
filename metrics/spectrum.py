"""Spatial frequencies of images: radial power spectra, and the peaks that strided layers leave (checkerboards)."""

from collections.abc import Sequence
from typing import Any, Literal, get_args

import torch
from torch import Tensor

from metrics.fixed_dtype import FixedDtypeMetric

Window = Literal["hann", "none"]
OFFSETS = (-4, -3, 3, 4)  # of the neighbours, in cycles per image; a Hann window's own peak is 2 wide to each side
MIN_PERIODS = 6  # an image must hold so many, or the neighbours reach the image's mean


def power_spectrum(images: Tensor, window: Window = "hann") -> Tensor:
    r"""Power of images at every spatial frequency, averaged over channels.

    .. math:: P(u, v) = \frac{1}{C} \sum_{c=1}^{C} \left| \frac{1}{H W} \sum_{h, w} g_{hw} (x_{chw} - \bar x_c)
        e^{-2 \pi i (u h / H + v w / W)} \right|^2

    where :math:`x_{chw}` is the value of channel :math:`c` at row :math:`h` and column :math:`w`, :math:`g` the window
    with a mean square of 1, and :math:`\bar x_c` the channel's mean weighted by the window.

    The left border of a photograph does not continue its right border, and this jump alone has power at all frequencies
    along both axes. A Hann window removes it, and widens each peak by 2 cycles per image to each side. Without a window
    the powers of a channel add up to its variance (Parseval), with it to a variance with larger weights in the middle.

    Args:
        images: Any finite values, shape ``(N, C, H, W)``.
        window: ``hann`` (periodic, normalised to a mean square of 1) or ``none``.

    Returns:
        Power, float64, shape ``(N, H, W)``, in the layout of ``torch.fft.fft2``.

    Raises:
        ValueError: If the shape is another, a value is not finite or the window is unknown.

    Example:
        >>> stripes = torch.tensor([[0.0, 1.0, 0.0, 1.0]]).expand(1, 1, 4, 4)
        >>> power_spectrum(stripes, window="none")[0, 0].round(decimals=4).tolist()  # all at 2 cycles per image width
        [0.0, 0.0, 0.25, 0.0]
    """
    coefficients = torch.fft.fft2(_windowed(images, window)) / images.shape[-2:].numel()
    return coefficients.abs().square().mean(dim=1)


def radial_sums(power: Tensor, rings: int) -> tuple[Tensor, Tensor]:
    r"""Add up power over rings of equal frequency.

    .. math:: S_k = \sum_{(u, v) \in R_k} P(u, v), \qquad
        R_k = \left\{ (u, v) : \operatorname{round}\left( 2 K \sqrt{u^2 + v^2} \right) = k \right\}

    where :math:`P(u, v)` is the power at a vertical and a horizontal frequency in cycles per pixel, and :math:`k` from
    1 to :math:`K` numbers the rings; the last is the finest grid of pixels, 0.5. Power beyond, in the corners, is left
    out, and so is the mean.

    Args:
        power: As from :func:`power_spectrum`, shape ``(N, H, W)``.
        rings: How many; half of the shorter side uses all there is.

    Returns:
        Sums over images and rings, float64, shape ``(rings,)``; and how many values each ring has in one image.

    Example:
        >>> sums, counts = radial_sums(torch.ones(1, 4, 4, dtype=torch.float64), rings=2)
        >>> sums.tolist(), counts.tolist()
        ([8.0, 6.0], [8, 6])
    """
    height, width = power.shape[-2:]
    vertical = torch.fft.fftfreq(height, dtype=torch.float64, device=power.device)
    horizontal = torch.fft.fftfreq(width, dtype=torch.float64, device=power.device)
    radius = (vertical[:, None].square() + horizontal.square()).sqrt()
    ring = (radius * 2 * rings).round().long().flatten()
    inside = (ring >= 1) & (ring <= rings)
    chosen = ring[inside] - 1
    sums = torch.zeros(rings, dtype=torch.float64, device=power.device)
    sums.index_add_(0, chosen, power.sum(dim=0).flatten()[inside])
    return sums, torch.bincount(chosen, minlength=rings)


class RadialSpectrum(FixedDtypeMetric):
    r"""Mean power of images at every radial frequency, over all images of all ranks.

    .. math:: \bar P_k = \frac{S_k}{N |R_k|}

    where :math:`S_k` is the sum of the power of :math:`N` images over the ring :math:`R_k` of :func:`radial_sums`.

    Args:
        rings: As for :func:`radial_sums`.
        window: As for :func:`power_spectrum`.
        **metric_options: As for ``torchmetrics.Metric``.

    Example:
        >>> metric = RadialSpectrum(rings=2, window="none")
        >>> metric.update(torch.tensor([[0.0, 1.0, 0.0, 1.0]]).expand(1, 1, 4, 4))
        >>> metric.frequencies().tolist(), metric.compute().round(decimals=4).tolist()
        ([0.25, 0.5], [0.0, 0.0417])
    """

    sums: Tensor
    counts: Tensor

    def __init__(self, rings: int, window: Window = "hann", **metric_options: Any) -> None:
        super().__init__(**metric_options)
        if rings < 1:
            raise ValueError(f"rings={rings}; expected at least 1: half of the images' shorter side")
        self.rings, self.window = rings, window
        self.add_state("sums", torch.zeros(rings, dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("counts", torch.zeros(rings, dtype=torch.long), dist_reduce_fx="sum")

    def update(self, images: Tensor) -> None:
        """Add images, as for :func:`power_spectrum`."""
        sums, counts = radial_sums(power_spectrum(images, self.window), self.rings)
        self.sums = self.sums + sums
        self.counts = self.counts + counts * len(images)

    def compute(self) -> Tensor:
        """Return the mean power per frequency in each ring, float64, shape ``(rings,)``; NaN in a ring without any.

        Raises:
            RuntimeError: If there was no image.
        """
        if not self.counts.any():
            raise RuntimeError("spectrum of no images; call update first")
        return self.sums / self.counts

    def frequencies(self) -> Tensor:
        """Frequency of each ring in cycles per pixel, float64, shape ``(rings,)``."""
        return torch.arange(1, self.rings + 1, dtype=torch.float64) / (2 * self.rings)


def power_at(images: Tensor, frequencies: Tensor, window: Window = "hann") -> Tensor:
    r"""Power of images at any frequencies, also between those of a discrete Fourier transform.

    .. math:: P(f, g) = \frac{1}{C} \sum_{c=1}^{C} \left| \frac{1}{H W} \sum_{h, w} \hat x_{chw}
        e^{-2 \pi i (f h + g w)} \right|^2

    where :math:`\hat x_{chw}` is the windowed image of :func:`power_spectrum`, :math:`f` a vertical and :math:`g` a
    horizontal frequency in cycles per pixel.

    Args:
        images: As for :func:`power_spectrum`.
        frequencies: Vertical and horizontal frequency of F points in cycles per pixel, shape ``(F, 2)``.
        window: As for :func:`power_spectrum`, which gives the same values on its grid of frequencies.

    Returns:
        Power, float64, shape ``(N, F)``.

    Example:
        >>> stripes = torch.tensor([[0.0, 1.0, 0.0, 1.0]]).expand(1, 1, 4, 4)
        >>> power_at(stripes, torch.tensor([[0.0, 0.5], [0.5, 0.0]]), window="none").round(decimals=4).tolist()
        [[0.25, 0.0]]
    """
    windowed = _windowed(images, window)
    frequencies = frequencies.to(images.device, torch.float64)
    # the exponential is a product over both axes: H + W values for each frequency instead of H · W
    rows, columns = (
        torch.exp(-2j * torch.pi * frequencies[:, axis, None] * torch.arange(size, device=images.device))
        for axis, size in enumerate(images.shape[-2:])
    )
    along_rows = windowed.to(rows.dtype) @ columns.T
    coefficients = (along_rows * rows.T).sum(dim=-2) / images.shape[-2:].numel()
    return coefficients.abs().square().mean(dim=1)


def is_measurable(period: float, size: Sequence[int]) -> bool:
    r"""Whether images of a size ``(H, W)`` can show a period in pixels, and neighbours to compare it with.

    .. math:: 2 \le p \le \min(H, W) / 6

    where :math:`p` is the period.

    Example:
        >>> [is_measurable(period, (48, 64)) for period in (1.5, 2, 8, 9)]
        [False, True, True, False]
    """
    return 2 <= period <= min(size) / MIN_PERIODS


def period_frequencies(period: float, size: Sequence[int]) -> Tensor:
    r"""Frequencies at which a period is measured, and their neighbours.

    .. math:: \left( \frac{1}{p} + \frac{o}{H} \right) d_v, \; \left( \frac{1}{p} + \frac{o}{W} \right) d_h

    where :math:`p` is the period, :math:`o` an offset (0 or one of ``OFFSETS``), and :math:`(d_v, d_h)` the direction:
    (0, 1), (1, 0), (1, 1) or (1, -1).

    Args:
        period: In pixels; need not be whole.
        size: Height and width of the images.

    Returns:
        Vertical and horizontal frequencies in cycles per pixel, float64, shape ``(4, 1 + len(OFFSETS), 2)``: the
        horizontal axis, the vertical one and both diagonals; each first at the period itself, then at ``OFFSETS``
        cycles per image along the same line.

    Example:
        >>> period_frequencies(4, (48, 48))[:, 0].tolist()
        [[0.0, 0.25], [0.25, 0.0], [0.25, 0.25], [0.25, -0.25]]
    """
    lines = torch.tensor([[0, 1], [1, 0], [1, 1], [1, -1]], dtype=torch.float64)
    steps = torch.tensor([0, *OFFSETS], dtype=torch.float64)
    away = steps[:, None] / torch.tensor(tuple(size), dtype=torch.float64)
    return lines[:, None] * (1 / period + away)


class Checkerboard(FixedDtypeMetric):
    r"""How much the power at some periods exceeds that at neighbouring frequencies, over all images and ranks.

    .. math:: s = 10 \log_{10} \frac{P_0}{\sqrt[4]{P_1 P_2 P_3 P_4}}

    where :math:`P_0` is the images' mean power at the frequency :math:`1 / p` of a period :math:`p`, and :math:`P_1` to
    :math:`P_4` that at four frequencies around it on the same line (:func:`period_frequencies`). The score is in
    decibel, 0 where nothing stands out.

    A layer that is strided, or unpools, by p treats every p-th pixel in the same way; what differs between the others
    repeats every p pixels, and shows as a peak at the frequency 1/p along the axes and the diagonals. An artefact with
    a sign and strength that follow the image is smeared over other frequencies and scores less. Images with a power
    that falls steeply score a little below 0 by themselves: compare with the originals.

    Args:
        periods: In pixels, each measurable by :func:`is_measurable`.
        size: Height and width of the images.
        window: As for :func:`power_spectrum`.
        **metric_options: As for ``torchmetrics.Metric``.

    Raises:
        ValueError: If a period is not measurable in images of this size.

    Source: the artefacts are those of arXiv 1803.08337, section 4; the score is this project's own.

    Example:
        >>> noise = torch.rand(64, 1, 48, 48, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
        >>> grid = torch.zeros(48, 48)
        >>> grid[:, ::4] = 0.2  # vertical lines, every 4 pixels
        >>> metric = Checkerboard(periods=[4], size=(48, 48))
        >>> metric.update(noise + grid)
        >>> (metric.compute() > 10).tolist()  # only the horizontal frequency
        [[True, False, False]]
    """

    sums: Tensor

    def __init__(
        self, periods: Sequence[float], size: Sequence[int], window: Window = "hann", **metric_options: Any
    ) -> None:
        super().__init__(**metric_options)
        for period in periods:
            if not is_measurable(period, size):
                raise ValueError(
                    f"a period of {period:g} pixels cannot be measured in images of {size[0]}×{size[1]}: "
                    f"choose one from 2 to {min(size) / MIN_PERIODS:g}"
                )
        self.periods, self.size, self.window = list(periods), tuple(size), window
        shape = (len(self.periods), 4, 1 + len(OFFSETS))
        self.add_state("sums", torch.zeros(shape, dtype=torch.float64), dist_reduce_fx="sum")

    def update(self, images: Tensor) -> None:
        """Add images ``(N, C, H, W)`` of the metric's size."""
        if tuple(images.shape[-2:]) != self.size:
            raise ValueError(f"images are {tuple(images.shape)}; expected a height and width of {self.size}")
        if not self.periods:
            return
        points = torch.stack([period_frequencies(period, self.size) for period in self.periods])
        power = power_at(images, points.flatten(0, 2), self.window)
        self.sums = self.sums + power.sum(dim=0).reshape(self.sums.shape)

    def compute(self) -> Tensor:
        """Return scores in decibel, float64, shape ``(periods, 3)``: horizontal, vertical and the mean diagonal.

        NaN where neither a period nor its neighbours have any power, as in constant images.
        """
        power = self.sums.reshape(len(self.periods), 4, 1 + len(OFFSETS))  # torchmetrics may squeeze
        scores = 10 * (power[..., 0].log10() - power[..., 1:].log10().mean(dim=-1))
        return torch.cat([scores[:, :2], scores[:, 2:].mean(dim=1, keepdim=True)], dim=1)


def _windowed(images: Tensor, window: Window) -> Tensor:
    """Images, checked, as float64 without their weighted mean, times the window."""
    if window not in get_args(Window):
        raise ValueError(f"window={window!r} is unknown; choose {' or '.join(get_args(Window))}")
    if images.ndim != 4 or not images.is_floating_point():
        raise ValueError(f"images are {tuple(images.shape)}, {images.dtype}; expected floats of shape (N, C, H, W)")
    if min(images.shape[-2:]) < 2:
        raise ValueError(f"images of {images.shape[-2]}×{images.shape[-1]} pixels have no frequencies")
    if not torch.isfinite(images).all():
        raise ValueError("images have values that are not finite: their network is broken")
    values = images.double()
    if window == "none":
        return values - values.mean(dim=(-2, -1), keepdim=True)
    sides = [torch.hann_window(side, dtype=torch.float64, device=images.device) for side in images.shape[-2:]]
    weights = sides[0][:, None] * sides[1]
    mean = (values * weights).sum(dim=(-2, -1), keepdim=True) / weights.sum()
    return (values - mean) * weights / weights.square().mean().sqrt()
