"""Made-up fits, rows and predictions, of which every number can be recomputed slowly."""

from typing import Any

import numpy as np

from methods.band_tolerance.evaluation import Passed
from methods.band_tolerance.job import Fitted
from methods.band_tolerance.rows import Row, rows_of_fits, rows_of_pairs, rows_of_spreads
from methods.band_tolerance.transform import BandTransform
from stats.intervals import Resampling

NAMES = ["a", "b", "c", "untrained"]
TOLERANCES = [0.05, 0.15, 0.6]
IMAGES, SIZE = 30, (16, 24)


def made_fit(seed: int, wavelet: str = "db2", tolerances: list[float] | None = None) -> Fitted:
    """A fit of two scales, of which looser tolerances have less signal; one band holds nothing."""
    random, transform = np.random.default_rng(seed), BandTransform(wavelet, 2)
    wanted, shape = tolerances or TOLERANCES, (len(transform.bands), 3)
    ratios = random.normal(1, 2, size=shape) - 1.5 * np.arange(len(wanted))[:, None, None]
    variance = random.exponential(size=shape) * 0.1
    variance[1, 2] = 0
    return Fitted(
        tolerances=np.array(wanted), scale=np.array(1.0), distortion=0.9 * np.array(wanted), log_ratio=ratios,
        variance=variance, mean=random.normal(size=3), counts=transform.counts(*SIZE).numpy(), size=np.array(SIZE),
        levels=np.array(2), wavelet=np.array(wavelet),
    )  # fmt: skip


def made_rows() -> list[Row]:
    """Two seeds of three classifiers, one of a control; their spreads, pairs and a second wavelet."""
    fits = {name: {seed: made_fit(10 * number + seed) for seed in (0, 1)} for number, name in enumerate(NAMES[:3])}
    fits["untrained"] = {0: made_fit(99)}
    first = {name: by_seed[0] for name, by_seed in fits.items() if name != "untrained"}
    other = made_fit(50, "haar", [0.15])
    return [
        *rows_of_fits(NAMES, fits, 0.15),
        *rows_of_spreads(NAMES, first, ["even", "water_filling"], 0.15),
        Row("a", "second_wavelet", 0, 0.15, other.log_ratio[0], other, 0, (0,)),
        *rows_of_pairs(NAMES, first, 0.15),
    ]


ROWS, HOW = made_rows(), Resampling(resamples=40, level=0.9, seed=3)


def made_predictions(rows: list[Row], seed: int = 0) -> Passed:
    """Random predictions, right more often the more bits pass; only the readers of a row see it."""
    random = np.random.default_rng(seed)
    decisions = random.integers(0, 5, size=(IMAGES, len(NAMES)))
    labels = np.where(random.uniform(size=decisions.shape) < 0.8, decisions, (decisions + 1) % 5)
    predicted = np.full((IMAGES, len(rows), len(NAMES)), -1)
    change = np.full(predicted.shape, np.nan)
    for number, row in enumerate(rows):
        kept = 1 / (1 + 200 / literal_rate(row, row.fitted.variance))
        for column in row.readers:
            right = random.uniform(size=IMAGES) < kept
            predicted[:, number, column] = np.where(right, decisions[:, column], random.integers(0, 5, size=IMAGES))
            change[:, number, column] = random.exponential(size=IMAGES)
    powers = {wavelet: random.exponential(size=(IMAGES, 7, 3)) * 0.1 for wavelet in ("db2", "haar")}
    index = np.sort(random.choice(100, size=IMAGES, replace=False))
    return Passed(index, labels, decisions, predicted, change, powers)


def literal_bits(row: Row, powers: Any) -> np.ndarray:
    """Bits of each band for images with some mean squares, one after the other: noise of the fit, other signal."""
    found = np.zeros(row.log_ratio.shape)
    for place in np.ndindex(*found.shape):
        signal = float(row.fitted.variance[place])
        if signal > 1e-9:
            noise = signal / np.exp(float(row.log_ratio[place]))
            found[place] = float(row.fitted.counts[place[0], 0]) / 2 * np.log2(1 + float(powers[place]) / noise)
    return found


def literal_rate(row: Row, powers: Any) -> float:
    """The sum over all bands."""
    return float(literal_bits(row, powers).sum())
