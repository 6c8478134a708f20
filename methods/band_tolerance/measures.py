"""The numbers of every channel with their intervals over images, from an evaluation."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from methods.band_tolerance.channel import EMPTY
from methods.band_tolerance.evaluation import Passed
from methods.band_tolerance.rows import FIT, Row
from methods.band_tolerance.transform import COLOURS
from stats.arrays import FloatArray
from stats.bootstrap import Interval, acceleration, bca_interval, means_of_all, percentile_interval, resampled_means
from stats.intervals import Resampling
from stats.rate_retention import bandwidth, bits_at_retention, interpolated, quantile_interval

MEASURES = ("bits", "retention", "accuracy", "divergence")


@dataclass(frozen=True)
class Measured:
    """The numbers of R rows, each for the classifier of the row.

    Attributes:
        rows: What each row is.
        level: Coverage of the intervals, such as 0.95.
        intervals: Of each of ``MEASURES``, arrays ``(R,)``.
        resampled: Of each of ``MEASURES`` the value in every resample, ``(resamples, R)``.
        powers: Mean square of the coefficients in each band on the test images, by wavelet, ``(bands, 3)``.
        resampled_powers: The same in every resample, ``(resamples, bands, 3)``.
    """

    rows: Sequence[Row]
    level: float
    intervals: Mapping[str, Interval]
    resampled: Mapping[str, FloatArray]
    powers: Mapping[str, FloatArray]
    resampled_powers: Mapping[str, FloatArray]

    def where(self, classifier: str, kind: str, seed: int) -> list[int]:
        """Positions of the rows of one curve."""
        return [
            number
            for number, row in enumerate(self.rows)
            if (row.classifier, row.kind, row.seed) == (classifier, kind, seed)
        ]


def measure(passed: Passed, rows: Sequence[Row], how: Resampling) -> Measured:
    """Compute bits, retention, accuracy and divergence of every row, with intervals over the test images.

    The bits are those of the test images: of a noise that was fitted on other images, against the mean square of the
    coefficients of these.

    Args:
        passed: Predictions for N test images.
        rows: The channels, in the order of its rows.
        how: How the images are resampled.
    """
    own = [row.column for row in rows]
    number = np.arange(len(rows))
    predicted = passed.predicted[:, number, own]
    shares = {
        "retention": predicted == passed.decisions[:, own],
        "accuracy": predicted == passed.labels[:, own],
        "divergence": passed.divergence[:, number, own],
    }
    resampled = {name: resampled_means(values, how.resamples, how.seed) for name, values in shares.items()}
    intervals = {
        name: bca_interval(resampled[name], means_of_all(values), acceleration(values, lambda means: means), how.level)
        for name, values in shares.items()
    }
    powers = {name: means_of_all(values) for name, values in passed.powers.items()}
    of_resamples = {name: resampled_means(values, how.resamples, how.seed) for name, values in passed.powers.items()}
    rates = np.array([band_bits(row, powers[str(row.fitted.wavelet)]).sum() for row in rows])
    resampled["bits"] = np.stack(
        [band_bits(row, of_resamples[str(row.fitted.wavelet)]).sum(axis=(-2, -1)) for row in rows], axis=1
    )
    intervals["bits"] = percentile_interval(resampled["bits"], rates, how.level)
    return Measured(rows, how.level, intervals, resampled, powers, of_resamples)


def band_bits(row: Row, powers: FloatArray) -> FloatArray:
    r"""Bits of each band, :math:`n_b \tfrac12 \log_2(1 + p_b / \sigma_b^2)`, for images with other mean squares.

    Args:
        row: The channel, with its noise :math:`\sigma_b^2 = s_b^2 / \rho_b`.
        powers: Mean square of the coefficients, ``(..., bands, 3)``.

    Returns:
        ``(..., bands, 3)``; 0 in bands that hold nothing on the images of the fit.
    """
    fitted = row.fitted
    held = fitted.variance > EMPTY
    inverse = np.where(held, np.exp(row.log_ratio), 0) / np.where(held, fitted.variance, 1)
    return np.asarray(fitted.counts * np.log2(1 + powers * inverse) / 2)


def curve_table(measured: Measured) -> pd.DataFrame:
    """A line for every row, see docs/band_tolerance.md for the columns."""
    lines = []
    for number, row in enumerate(measured.rows):
        line: dict[str, Any] = {"classifier": row.classifier, "kind": row.kind, "wavelet": str(row.fitted.wavelet)}
        line |= {"seed": row.seed, "tolerance": row.tolerance, "fit_divergence": _distortion(row)}
        for name in MEASURES:
            interval = measured.intervals[name]
            line |= {name: interval.estimate[number], f"{name}_lower": interval.lower[number]}
            line |= {f"{name}_upper": interval.upper[number]}
        pixels = float(np.prod(row.fitted.size))
        lines.append(line | {"bits_per_pixel": float(measured.intervals["bits"].estimate[number]) / pixels})
    return pd.DataFrame(lines)


def _distortion(row: Row) -> float:
    """Mean divergence in the last half of the steps of a fit; NaN for what is no fit."""
    tolerances = row.fitted.tolerances.tolist()
    return float(row.fitted.distortion[tolerances.index(row.tolerance)]) if row.is_fit else np.nan


def spectrum_table(measured: Measured) -> pd.DataFrame:
    """A line for every band and colour of every fit at every tolerance: its frequencies, noise and bits."""
    lines = []
    for row in measured.rows:
        if not row.is_fit:
            continue
        bands, of_bands = row.fitted.transform.bands, band_bits(row, measured.powers[str(row.fitted.wavelet)])
        total, side = of_bands.sum(), float(np.sqrt(np.prod(row.fitted.size)))
        noise = np.sqrt(row.fitted.variance / np.exp(row.log_ratio))
        start: dict[str, Any] = {"classifier": row.classifier, "kind": row.kind, "wavelet": str(row.fitted.wavelet)}
        start |= {"seed": row.seed, "tolerance": row.tolerance}
        for (band, colour), value in np.ndenumerate(of_bands):
            what = bands[band]
            low, high = what.octave
            lines.append(
                start
                | {"level": what.level, "orientation": what.orientation, "colour": COLOURS[colour]}
                | {"low_cycles_per_pixel": low, "high_cycles_per_pixel": high}
                | {"low_cycles_per_image": low * side, "high_cycles_per_image": high * side}
                | {"coefficients": float(row.fitted.counts[band, 0]), "log_ratio": row.log_ratio[band, colour]}
                | {"noise": noise[band, colour], "bits": value, "share": value / total if total > 0 else np.nan}
            )
    return pd.DataFrame(lines)


def octaves(of_bands: FloatArray, levels: int) -> FloatArray:
    """Bits of each octave, coarse to fine, over orientations and colours; the low-pass is left out.

    Args:
        of_bands: Bits, ``(..., bands, 3)``.
        levels: Number of scales.
    """
    by_level = of_bands[..., : 3 * levels, :].sum(axis=-1)
    return by_level.reshape(*by_level.shape[:-1], levels, 3).sum(axis=-1)[..., ::-1]


def bits_table(measured: Measured, target: float) -> pd.DataFrame:
    """The bits of every curve at one retention, and of single points beside the curve of the fit at their retention.

    Returns:
        Columns ``classifier``, ``kind``, ``wavelet``, ``seed``, ``retention``, ``bits``, ``lower``, ``upper``,
        ``bits_per_pixel``; ``fit_bits`` (of the fit at the same retention), ``ratio`` (bits divided by these),
        ``ratio_lower``, ``ratio_upper``; of fits ``bandwidth`` (octaves), ``bandwidth_lower``, ``bandwidth_upper``.
        Bits are 0 where the curve keeps more everywhere, infinite where it keeps less everywhere.
    """
    curves = dict.fromkeys((row.classifier, row.kind, row.seed) for row in measured.rows if row.kind != "common")
    first_seed = {name: seed for name, kind, seed in reversed(curves) if kind == FIT}
    lines = []
    for name, kind, seed in curves:
        numbers, fit = measured.where(name, kind, seed), measured.where(name, FIT, first_seed[name])
        retention = measured.intervals["retention"].estimate
        single = len(numbers) == 1
        at = float(retention[numbers[0]]) if single else target
        bits, resampled = at_retention(measured, numbers, at)
        if single and kind != FIT:
            bits = float(measured.intervals["bits"].estimate[numbers[0]])
            resampled = measured.resampled["bits"][:, numbers[0]]
            own, of_own = at_retention(measured, fit, at, measured.resampled["retention"][:, numbers[0]])
        else:
            own, of_own = at_retention(measured, fit, at)
        row = measured.rows[numbers[0]]
        lower, upper = quantile_interval(resampled, measured.level)
        line = {"classifier": name, "kind": kind, "wavelet": str(row.fitted.wavelet), "seed": seed, "retention": at}
        line |= {"bits": bits, "lower": lower, "upper": upper, "bits_per_pixel": bits / np.prod(row.fitted.size)}
        line |= {"fit_bits": own} | ratio(bits, resampled, own, of_own, measured.level)
        lines.append(line | (bandwidths(measured, numbers, at) if kind == FIT else {}))
    return pd.DataFrame(lines)


def at_retention(
    measured: Measured, numbers: Sequence[int], target: float, targets: FloatArray | None = None
) -> tuple[float, FloatArray]:
    """The bits of a curve at a retention, and in every resample; ``targets``: at another one in each resample."""
    bits, retention = (measured.intervals[name].estimate[list(numbers)] for name in ("bits", "retention"))
    of_bits, of_retention = (measured.resampled[name][:, list(numbers)] for name in ("bits", "retention"))
    wanted = np.full(len(of_bits), target) if targets is None else targets
    resampled = [bits_at_retention(*each) for each in zip(of_bits, of_retention, wanted, strict=True)]
    return float(bits_at_retention(bits, retention, target)), np.array(resampled)


def ratio(bits: float, resampled: FloatArray, own: float, of_own: FloatArray, level: float) -> dict[str, float]:
    """A ratio of bits with its interval; NaN where one of the curves has no bits at the retention."""
    usable = np.isfinite(resampled) & np.isfinite(of_own) & (resampled > 0) & (of_own > 0)
    if not (np.isfinite(bits) and np.isfinite(own) and bits > 0 and own > 0) or usable.mean() < 0.5:
        return dict.fromkeys(("ratio", "ratio_lower", "ratio_upper"), np.nan)
    lower, upper = quantile_interval(resampled[usable] / of_own[usable], level)
    return {"ratio": bits / own, "ratio_lower": lower, "ratio_upper": upper}


def bandwidths(measured: Measured, numbers: Sequence[int], target: float) -> dict[str, float]:
    """The width at half height of the spectrum of a curve at a retention, in octaves, with its interval over images.

    In every resample the point of the curve at the retention is another one.
    """
    row, chosen = measured.rows[numbers[0]], list(numbers)
    wavelet, levels = str(row.fitted.wavelet), int(row.fitted.levels)
    ratios = np.stack([measured.rows[number].log_ratio for number in numbers])

    def width(bits: FloatArray, retention: FloatArray, powers: FloatArray) -> float:
        at = replace(row, log_ratio=interpolated(ratios, bits, retention, target)[0])
        return float(bandwidth(octaves(band_bits(at, powers), levels)))

    resampled = [
        width(*each)
        for each in zip(
            measured.resampled["bits"][:, chosen],
            measured.resampled["retention"][:, chosen],
            measured.resampled_powers[wavelet],
            strict=True,
        )
    ]
    bits, retention = (measured.intervals[name].estimate[chosen] for name in ("bits", "retention"))
    lower, upper = quantile_interval(np.array(resampled), measured.level)
    estimate = width(bits, retention, measured.powers[wavelet])
    return {"bandwidth": estimate, "bandwidth_lower": lower, "bandwidth_upper": upper}


def log_ratio_at(measured: Measured, numbers: Sequence[int], target: float) -> tuple[FloatArray, float]:
    """Log ρ between the two tolerances of a curve around a retention, and the retention that it stands for."""
    bits, retention = (measured.intervals[name].estimate[list(numbers)] for name in ("bits", "retention"))
    ratios = np.stack([measured.rows[number].log_ratio for number in numbers])
    return interpolated(ratios, bits, retention, target)
