"""Bits of a toy problem of which the least rate can be written down."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from scipy.optimize import brentq  # type: ignore[import-untyped]
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from methods.band_tolerance.channel import bits
from methods.band_tolerance.fit import BandFit, Stages
from methods.band_tolerance.transform import BandTransform

TRANSFORM, SIDE, IMAGES, STEPS = BandTransform("db2", 2), 8, 192, 300
TOLERANCE = 1e-4


class GaussianImages(pl.LightningDataModule):
    """One batch of all images in every epoch; the coefficients are white in each band, of the deviations given.

    In this sample, and not only in expectation, coefficients are uncorrelated and of exactly these mean squares.
    """

    def __init__(self, deviations: Tensor) -> None:
        super().__init__()
        drawn = torch.randn(IMAGES, 3 * SIDE**2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
        white = torch.linalg.qr(drawn)[0] * math.sqrt(IMAGES)
        bands = [part * deviations[band] for band, part in enumerate(in_bands(white))]
        self.images = TRANSFORM.synthesise(bands, SIDE, SIDE)

    def train_dataloader(self) -> DataLoader[Any]:
        index = torch.arange(IMAGES)
        batch: Dataset[Any] = [(self.images, index, index)]  # type: ignore[assignment]
        return DataLoader(batch, batch_size=None)


class LinearReader(nn.Module):
    """Two classes: the difference of their logits is a linear function of the coefficients."""

    def __init__(self, weights: Tensor) -> None:
        super().__init__()
        self.weights = weights

    def forward(self, images: Tensor) -> Tensor:
        flat = torch.cat([band.flatten(1) for band in TRANSFORM.analyse(images)], dim=1)
        difference = flat @ self.weights
        return torch.stack([difference, torch.zeros_like(difference)], dim=1)


def in_bands(flat: Tensor) -> list[Tensor]:
    """Numbers ``(N, 192)`` as coefficients, colours first within a band."""
    sides = [4, 4, 4, 2, 2, 2, 2]
    parts = flat.split([3 * side**2 for side in sides], dim=1)
    return [part.view(-1, 3, side, side) for part, side in zip(parts, sides, strict=True)]


def least_bits(needed: np.ndarray, counts: np.ndarray, distortion: float) -> float:
    r"""Bits of the minimum, in closed form.

    A reader of two classes with the logit difference :math:`d = \sum_i w_i c_i`, small against 1, has
    :math:`\mathrm{KL} = (\Delta d)^2 / 8` up to higher orders, as the probabilities are about ½. Each coefficient's
    error :math:`\hat c - c` has the mean square :math:`s_b^2 / (1 + \rho_b)` (that of the best linear estimate), and
    errors are uncorrelated. With :math:`k_b = \frac18 s_b^2 \sum_{i \in b} w_i^2` and :math:`u_b = 1 / (1 + \rho_b)`

    .. math:: D = \sum_b k_b u_b, \qquad R = -\sum_b \tfrac12 n_b \log_2 u_b, \qquad 0 < u_b \le 1,

    and the least R at a given D has :math:`n_b / u_b \propto k_b` in open bands: :math:`u_b = \min(1, θ n_b / k_b)`,
    where :math:`θ` solves :math:`\sum_b \min(k_b, θ n_b) = D`.
    """
    level = solved(lambda theta: np.minimum(needed, theta * counts).sum() - distortion, distortion / counts.sum())
    error = np.minimum(1, level * counts / np.maximum(needed, 1e-300))
    return float(-(counts * np.log2(error)).sum() / 2)


def solved(function: Callable[[float], float], start: float) -> float:
    """The zero of an increasing function, at or above ``start``."""
    top = start
    while function(top) < 0:
        top *= 2
    return float(brentq(function, start * 0.999, top, rtol=1e-12))


def settled(needed: np.ndarray, counts: np.ndarray, weight: float) -> tuple[float, float]:
    r"""D and R at which the fit comes to rest, in closed form.

    There, the gradient of :math:`D + \lambda t \ln R` is 0 along the curve of least rates, so that
    :math:`\lambda t = -\mathrm{d} D / \mathrm{d} \ln R`, and the weight is :math:`\lambda = w (1 - D / t)`.
    """

    def excess(distortion: float) -> float:
        above, below = (least_bits(needed, counts, distortion * factor) for factor in (1 + 1e-6, 1 - 1e-6))
        slope = -2e-6 * distortion / math.log(above / below)
        return slope - weight * (TOLERANCE - distortion)

    distortion = float(brentq(excess, TOLERANCE * 0.02, TOLERANCE * 0.9999, rtol=1e-10))
    return distortion, least_bits(needed, counts, distortion)


@pytest.mark.parametrize("weight", [5.0, 15.0])
def test_the_bits_are_those_of_the_closed_form(weight: float, make_trainer: Callable[..., pl.Trainer]) -> None:
    generator = torch.Generator().manual_seed(1)
    deviations = torch.exp(torch.randn(7, 3, 1, 1, generator=generator, dtype=torch.float64) / 2)
    flat = torch.randn(1, 192, generator=generator, dtype=torch.float64) / 300
    of_bands = in_bands(flat)
    strength = torch.exp(1.5 * torch.randn(7, 3, generator=generator, dtype=torch.float64))
    strength[1, 1] = strength[4, 0] = strength[6, 2] = 0  # not read at all
    weights = [part * strength[band][:, None, None] for band, part in enumerate(of_bands)]
    squares = torch.stack([part[0].square().sum(dim=(1, 2)) for part in weights])
    needed = (deviations[..., 0, 0].square() * squares / 8).numpy().ravel()
    variance = deviations[..., 0, 0].square()
    counts = TRANSFORM.counts(SIDE, SIDE).expand(7, 3)
    reader = LinearReader(torch.cat([part.flatten(1) for part in weights], dim=1)[0])
    data = GaussianImages(deviations)
    assert float(reader(data.images)[:, 0].square().mean()) == pytest.approx(8 * needed.sum())  # as derived

    module = BandFit(
        reader, TRANSFORM, variance, torch.zeros(3), (SIDE, SIDE), stages=Stages((TOLERANCE,), STEPS, 2),
        targets="decisions", start=3.0, lr=0.25, later_lr=0.1, weight=weight, seed=0, chunk=256,
    ).double()  # fmt: skip
    make_trainer(max_epochs=-1, max_steps=STEPS, limit_val_batches=0).fit(module, datamodule=data)
    found = float(bits(counts, module.log_ratios()[0], variance).sum())
    reached = float(module.distortions()[0])
    assert needed.sum() > 3 * TOLERANCE
    distortion, rate = settled(needed, counts.numpy().ravel(), weight)
    assert found == pytest.approx(rate, rel=0.02)
    assert reached == pytest.approx(distortion, rel=0.02)
    assert found == pytest.approx(least_bits(needed, counts.numpy().ravel(), reached), rel=0.02)
    open_bands = needed > 2 * TOLERANCE / counts.sum().item() * counts.numpy().ravel()
    assert open_bands.sum() >= 5
