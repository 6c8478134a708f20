"""What passes of whole photographs, at several shares of decisions kept."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from datamodules.base import ImageDataModule
from methods.band_tolerance.channel import band_noise, transmit
from methods.band_tolerance.measures import Measured, log_ratio_at
from methods.band_tolerance.rows import FIT

RETENTIONS = (0.99, 0.95, 0.8, 0.5)


@torch.no_grad()
def passed_pictures(
    data: ImageDataModule, measured: Measured, names: Sequence[str], count: int, seed: int
) -> dict[str, Any]:
    """Photographs and what passes of them, as arrays of a file.

    Args:
        data: Has the photographs; where it has no whole ones, its first test images are shown.
        measured: The numbers of the fits.
        names: The classifiers that are shown.
        count: How many photographs.
        seed: Of the noise.

    Returns:
        ``classifiers`` and ``titles`` (names of the photographs); ``retentions``, the share of decisions kept that each
        picture stands for, ``(classifiers, 4)``: that of ``RETENTIONS``, or of the nearest end of the curve; and for
        each photograph ``original_<k>``, uint8 ``(3, H, W)``, and ``passed_<k>``, ``(classifiers, 4, 3, H, W)``.
    """
    photographs = chosen_photographs(data, count)
    curves = {name: first_fit(measured, name) for name in names}
    kept = [[log_ratio_at(measured, curve, at)[1] for at in RETENTIONS] for curve in curves.values()]
    arrays: dict[str, Any] = {"classifiers": np.array(names), "titles": np.array(list(photographs), dtype=str)}
    arrays["retentions"] = np.array(kept)
    for number, image in enumerate(photographs.values()):
        arrays[f"original_{number}"] = bytes_of(image)
        shown = [[passed_of(image, measured, curve, at, seed) for at in RETENTIONS] for curve in curves.values()]
        arrays[f"passed_{number}"] = np.array(shown)
    return arrays


def chosen_photographs(data: ImageDataModule, count: int) -> dict[str, Tensor]:
    """Whole photographs by name, smallest first, or test images where the data has none: float ``(3, H, W)``."""
    if not count:
        return {}
    whole = data.showcase(4 * count)
    if whole:
        return dict(sorted(whole.items(), key=lambda each: each[1].numel())[:count])
    split = data.split("test")
    return {f"test image {index}": split[index][0].float() / 255 for index in range(min(count, len(split)))}


def first_fit(measured: Measured, name: str) -> list[int]:
    """Positions of the rows of the first fit of a classifier."""
    seed = next(row.seed for row in measured.rows if (row.classifier, row.kind) == (name, FIT))
    return measured.where(name, FIT, seed)


def passed_of(image: Tensor, measured: Measured, curve: Sequence[int], retention: float, seed: int) -> np.ndarray:
    """What passes of one image, with as many scales as in the fit: uint8 ``(3, H, W)``."""
    fitted = measured.rows[curve[0]].fitted
    transform, size = fitted.transform, (image.shape[-2], image.shape[-1])
    bands = transform.analyse(image[None])
    noise = band_noise(bands, torch.zeros(1, dtype=torch.long), seed)
    log_ratio = torch.from_numpy(log_ratio_at(measured, curve, retention)[0]).float()
    variance, mean = torch.from_numpy(fitted.variance).float(), torch.from_numpy(fitted.mean).float()
    return bytes_of(transmit(transform, bands, noise, log_ratio, variance, mean, size)[0])


def bytes_of(image: Tensor) -> np.ndarray:
    """An image in [0, 1], clamped, as uint8."""
    return (image.clamp(0, 1) * 255).round().to(torch.uint8).numpy()
