"""The bands of an image: an orthonormal transform into colours, scales and orientations, with its exact inverse."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, get_args

import numpy as np
import pywt  # type: ignore[import-untyped]
import torch
import torch.nn.functional as F
from torch import Tensor, nn

Colour = Literal["luminance", "red_green", "blue_yellow"]
Orientation = Literal["horizontal", "vertical", "diagonal"]
COLOURS: tuple[Colour, ...] = get_args(Colour)
ORIENTATIONS: tuple[Orientation, ...] = get_args(Orientation)
LOW_PASS = "low_pass"  # noqa: S105
AXES = torch.tensor([[1.0, 1.0, 1.0], [1.0, -1.0, 0.0], [1.0, 1.0, -2.0]], dtype=torch.float64)
AXES = AXES / AXES.norm(dim=1, keepdim=True)
SMALLEST = 4  # pixels across the low-pass, at least
FEWEST_LEVELS = 2


@dataclass(frozen=True)
class Band:
    """What the coefficients of one row of a :class:`BandTransform` stand for.

    Attributes:
        level: 1 for the finest detail, doubling in scale from one to the next; the last level for the low-pass, too.
        orientation: Of the structures that it holds: ``horizontal`` stripes, ``vertical`` stripes, ``diagonal`` ones;
            or ``low_pass``.
    """

    level: int
    orientation: str

    @property
    def octave(self) -> tuple[float, float]:
        """The spatial frequencies that it holds, about, in cycles per pixel."""
        top = 0.5 ** (self.level + (self.orientation == LOW_PASS))
        return (0.0 if self.orientation == LOW_PASS else top / 2, top)


class BandTransform(nn.Module):
    r"""Colour axes, then an orthonormal two-dimensional wavelet transform of each.

    .. math:: W = (\text{wavelet of } L \text{ levels}) \circ
              \begin{pmatrix} 1/\sqrt3 & 1/\sqrt3 & 1/\sqrt3 \\ 1/\sqrt2 & -1/\sqrt2 & 0 \\
              1/\sqrt6 & 1/\sqrt6 & -2/\sqrt6 \end{pmatrix}, \qquad W^\top W = 1

    The wavelet transform is PyWavelets' for periodic signals, as one orthogonal matrix for each size: at a border, a
    filter that is longer than two pixels reaches over to the opposite one. An image is first extended by reflection to
    a multiple of :math:`2^L` pixels; its coefficients are those of the extended image, a few more than it has values.

    Source: colours and bands are this project's choice (docs/band_tolerance.md); wavelets of I. Daubechies, "Ten
    Lectures on Wavelets", SIAM 1992. The orthonormal boundary filters of ptwt were tried: they pass the mean brightness
    into the finest details, and three to six times as many bits were needed (docs/band_tolerance.md).

    Args:
        wavelet: Name of an orthonormal wavelet of PyWavelets, such as ``haar``, ``db4`` or ``sym4``.
        levels: Number of scales L, at least 1.

    Raises:
        ValueError: If the wavelet is unknown or not orthonormal, or there are no levels.
    """

    def __init__(self, wavelet: str, levels: int) -> None:
        super().__init__()
        check_wavelet(wavelet)
        if levels < 1:
            raise ValueError(f"{levels} levels of the wavelet transform: expected at least one")
        self.wavelet, self.levels = wavelet, levels
        details = [Band(level, name) for level in range(1, levels + 1) for name in ORIENTATIONS]
        self.bands = [*details, Band(levels, LOW_PASS)]

    def padded(self, height: int, width: int) -> tuple[int, int]:
        """Height and width of an image after its extension."""
        multiple = 2**self.levels
        return -(-height // multiple) * multiple, -(-width // multiple) * multiple

    def counts(self, height: int, width: int) -> Tensor:
        """Coefficients of an image in each band, of each colour: float64, shape ``(bands, 1)``."""
        high, wide = self.padded(height, width)
        sizes = [high * wide / 4**band.level for band in self.bands]
        return torch.tensor(sizes, dtype=torch.float64)[:, None]

    def analyse(self, images: Tensor) -> list[Tensor]:
        """Transform images.

        Args:
            images: RGB, ``(N, 3, H, W)``; float32 or float64.

        Returns:
            For each of ``bands`` its coefficients ``(N, 3, h, w)``, colours in the order of ``COLOURS``.
        """
        with torch.autocast(images.device.type, enabled=False):
            high, wide = self.padded(*images.shape[-2:])
            down, right = high - images.shape[-2], wide - images.shape[-1]
            extended = F.pad(images, (right // 2, right - right // 2, down // 2, down - down // 2), mode="reflect")
            smooth, bands = torch.einsum("kc,nchw->nkhw", AXES.to(extended), extended), []
            for _ in range(self.levels):
                high, wide = smooth.shape[-2:]
                parts = self.matrix(high, smooth) @ smooth @ self.matrix(wide, smooth).T
                (smooth, columns), (rows, diagonal) = (part.chunk(2, dim=-1) for part in parts.chunk(2, dim=-2))
                bands += [rows, columns, diagonal]
            return [*bands, smooth]

    def synthesise(self, bands: Sequence[Tensor], height: int, width: int) -> Tensor:
        """Transform back: the exact inverse of :meth:`analyse`, and differentiable.

        Args:
            bands: Coefficients as :meth:`analyse` returns them.
            height: Of the images, in pixels.
            width: Of the images, in pixels.

        Returns:
            Images ``(N, 3, height, width)``.
        """
        with torch.autocast(bands[0].device.type, enabled=False):
            smooth = bands[-1]
            for level in reversed(range(self.levels)):
                rows, columns, diagonal = bands[3 * level : 3 * level + 3]
                parts = torch.cat([torch.cat([smooth, columns], dim=-1), torch.cat([rows, diagonal], dim=-1)], dim=-2)
                smooth = self.matrix(parts.shape[-2], parts).T @ parts @ self.matrix(parts.shape[-1], parts)
            images = torch.einsum("kc,nkhw->nchw", AXES.to(smooth), smooth)
            high, wide = self.padded(height, width)
            top, left = (high - height) // 2, (wide - width) // 2
            return images[..., top : top + height, left : left + width]

    def matrix(self, length: int, like: Tensor) -> Tensor:
        """One level of the transform of a periodic signal, orthogonal: smooth coefficients first, then details."""
        return level_matrix(self.wavelet, length, like.dtype, like.device)


@lru_cache(maxsize=64)
def level_matrix(wavelet: str, length: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """One level of a wavelet transform of periodic signals of even ``length``, as a matrix."""
    smooth, detail = pywt.dwt(np.eye(length), wavelet, mode="periodization", axis=0)
    with torch.inference_mode(False):  # kept for later calls, which may need gradients
        return torch.from_numpy(np.concatenate([smooth, detail])).to(device, dtype)


def check_wavelet(name: str, key: str = "wavelet") -> None:
    """Refuse a name that is no orthonormal wavelet.

    Args:
        name: The name.
        key: The setting of ``task=band_tolerance`` that has it.

    Raises:
        ValueError: Says which are.
    """
    known = pywt.wavelist(kind="discrete")
    if name not in known or not pywt.Wavelet(name).orthogonal or name.startswith("dmey"):
        raise ValueError(
            f"band_tolerance.{key}={name}: give an orthonormal wavelet of PyWavelets, as haar, db2, db4 or sym4"
        )


def suitable_levels(height: int, width: int, wavelet: str) -> int:
    """The number of scales of which the low-pass is 4 to 8 pixels across, in the smaller direction; at least two.

    Args:
        height: Of the images, in pixels.
        width: Of the images, in pixels.
        wavelet: Name of the wavelet; a long one fits into fewer scales.
    """
    return max(FEWEST_LEVELS, most_levels(height, width, wavelet))


def most_levels(height: int, width: int, wavelet: str) -> int:
    """As many scales as leave a low-pass of four pixels, and half the wavelet's filter, in the smaller direction."""
    return max(0, int(math.log2(min(height, width) / max(SMALLEST, pywt.Wavelet(wavelet).dec_len / 2))))


def too_small(levels: int, height: int, width: int, wavelet: str) -> str | None:
    """Why images are too small for a number of scales, and what to do; ``None`` if they are not."""
    if levels <= most_levels(height, width, wavelet):
        return None
    least = math.ceil(2**levels * max(SMALLEST, pywt.Wavelet(wavelet).dec_len / 2))
    instead = "a lower band_tolerance.levels" if levels > FEWEST_LEVELS else "the wavelet haar, which needs 16"
    return (
        f"images of {height} × {width} pixels are too small for {levels} scales of the wavelet {wavelet}, which need "
        f"{least} pixels: use larger images, or {instead}"
    )
