r"""The Gaussian channel in every band, and the bits that it lets through.

Every coefficient :math:`c` of band :math:`b` gets noise and is read by its best linear estimate:

.. math:: y = c + \sigma_b n, \quad n \sim \mathcal{N}(0, 1), \qquad \rho_b = s_b^2 / \sigma_b^2, \qquad
          \hat c = y \cdot \rho_b / (1 + \rho_b)

where :math:`s_b^2` is the mean square of the band's coefficients over the images (of the low-pass, about its mean). A
band with :math:`\rho_b \to 0` fades to its mean, and nothing else changes. What passes is at most

.. math:: R = \sum_b n_b \cdot \tfrac12 \log_2 (1 + \rho_b) \quad \text{bits per image}

where :math:`n_b` is the number of coefficients. Source: T. M. Cover, J. A. Thomas, "Elements of Information Theory",
Wiley 2006, chapter 9 (capacity, parallel channels) and section 10.3.3 (reverse water-filling).
"""

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from scipy.optimize import brentq  # type: ignore[import-untyped]
from torch import Tensor

from methods.band_tolerance.transform import BandTransform
from networks.seeding import image_noise

EMPTY = 1e-9  # mean square below which a band holds nothing but rounding (that of 8 bits is 1.3e-6)


def band_powers(bands: Sequence[Tensor], mean: Tensor) -> Tensor:
    r"""The mean square of the coefficients of each image in each band, :math:`s_b^2` before the mean over images.

    Args:
        bands: Coefficients of N images, each ``(N, 3, h, w)``, the low-pass last.
        mean: Of the low-pass, for each colour, ``(3,)``.

    Returns:
        float64, shape ``(N, bands, 3)``.
    """
    centred = [*bands[:-1], bands[-1] - mean.to(bands[-1])[:, None, None]]
    return torch.stack([band.double().square().mean(dim=(2, 3)) for band in centred], dim=1)


def bits(counts: Tensor, log_ratio: Tensor, variance: Tensor) -> Tensor:
    r"""Bits per image that each band lets through, :math:`n_b \cdot \tfrac12 \log_2 (1 + \rho_b)`.

    Args:
        counts: Coefficients of an image in each band, ``(bands, 1)``.
        log_ratio: Natural logarithm of :math:`\rho_b`, ``(..., bands, 3)``.
        variance: :math:`s_b^2`, ``(bands, 3)``: bands in which nothing varies let nothing through.

    Returns:
        Shape ``(..., bands, 3)``.

    Example:
        >>> bits(torch.tensor([[8.0]]), torch.tensor([[3.0]]).log(), torch.ones(1, 1)).tolist()
        [[8.0]]
    """
    passed = counts.to(log_ratio) * F.softplus(log_ratio) / (2 * math.log(2))
    return torch.where(variance.to(log_ratio) > EMPTY, passed, torch.zeros_like(passed))


def band_noise(bands: Sequence[Tensor], index: Tensor, seed: int) -> list[Tensor]:
    """Standard normal noise of the shapes of the bands, which depends on the seed and each image's index alone.

    Args:
        bands: Coefficients of N images.
        index: Position of each image in its split, ``(N,)``.
        seed: Decides all noise.
    """
    coefficients = sum(math.prod(band.shape[1:]) for band in bands)
    return split_noise(image_noise("normal", index, (coefficients,), seed).to(bands[0]), bands)


def split_noise(noise: Tensor, bands: Sequence[Tensor]) -> list[Tensor]:
    """Numbers ``(N, K)`` as arrays of the shapes of the bands, which hold K coefficients together."""
    sizes = [math.prod(band.shape[1:]) for band in bands]
    return [part.view_as(band) for part, band in zip(noise.split(sizes, dim=1), bands, strict=True)]


def transmit(
    transform: BandTransform,
    bands: Sequence[Tensor],
    noise: Sequence[Tensor],
    log_ratio: Tensor,
    variance: Tensor,
    mean: Tensor,
    size: tuple[int, int],
) -> Tensor:
    r"""What passes of images: :math:`\hat x = W^{-1} \hat c`.

    Args:
        transform: W.
        bands: The images' coefficients, each ``(N, 3, h, w)``.
        noise: Standard normal, of the shapes of ``bands``.
        log_ratio: Natural logarithm of :math:`\rho_b`, ``(bands, 3)``.
        variance: :math:`s_b^2`, ``(bands, 3)``.
        mean: Of the low-pass, ``(3,)``.
        size: Height and width of the images, in pixels.

    Returns:
        Images ``(N, 3, H, W)``; they may leave [0, 1].
    """
    kept = log_ratio.sigmoid()
    # s·√ρ/(1+ρ), the deviation of the noise after the estimate; as a sum of logarithms, its gradient is always finite
    deviation = variance.sqrt().to(log_ratio) * ((F.logsigmoid(log_ratio) + F.logsigmoid(-log_ratio)) / 2).exp()
    offset = mean.to(log_ratio)[:, None, None]
    passed = []
    for number, (band, random) in enumerate(zip(bands, noise, strict=True)):
        share, spread = kept[number][:, None, None], deviation[number][:, None, None]
        low_pass = number == len(bands) - 1
        estimate = share * ((band - offset) if low_pass else band) + spread * random
        passed.append(estimate + offset if low_pass else estimate)
    return transform.synthesise(passed, *size)


def even_log_ratio(rate: float, counts: Tensor, variance: Tensor) -> Tensor:
    """The same bits for every coefficient: log ρ of every band, ``(bands, 3)``, at a total of ``rate`` bits per image.

    Example:
        >>> even_log_ratio(4.0, torch.tensor([[2.0], [2.0]]), torch.ones(2, 1)).exp().round(decimals=4).tolist()
        [[3.0], [3.0]]
    """
    used = (counts * (variance > EMPTY)).sum()
    level = math.log(math.expm1(2 * math.log(2) * rate / float(used)))
    return torch.full_like(variance, level)


def water_filling_log_ratio(rate: float, counts: Tensor, variance: Tensor) -> Tensor:
    r"""Bits as rate-distortion theory spreads them for squared error: reverse water-filling.

    .. math:: \rho_b = \max(s_b^2 / \theta - 1, 0), \qquad \theta: \; \sum_b n_b \tfrac12 \log_2 (1 + \rho_b) = R

    Args:
        rate: R, bits per image, above 0.
        counts: Coefficients of an image in each band, ``(bands, 1)``.
        variance: :math:`s_b^2`, ``(bands, 3)``.

    Returns:
        log ρ, ``(bands, 3)``, float64; very low for bands that are closed.

    Example:
        >>> ratios = water_filling_log_ratio(2.0, torch.tensor([[2.0], [2.0]]), torch.tensor([[4.0], [1.0]])).exp()
        >>> ratios.round(decimals=3).tolist()
        [[3.0], [0.0]]
    """
    of_each, power = counts.double().expand_as(variance), variance.double()

    def excess(log_level: float) -> float:
        open_bits = (power.clamp(min=EMPTY).log() - log_level).clamp(min=0) * (power > EMPTY)
        return float((of_each * open_bits).sum() / (2 * math.log(2))) - rate

    top = float(power.max().log())
    bottom = top - 1.0
    while excess(bottom) < 0:
        bottom -= 2 * (top - bottom)
    level = math.exp(brentq(excess, bottom, top, xtol=1e-12))
    return (power / level - 1).clamp(min=1e-12).log()
