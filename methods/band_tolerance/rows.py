"""Which channels are evaluated, and by which classifiers: the rows of an evaluation."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import torch

from methods.band_tolerance.channel import even_log_ratio, water_filling_log_ratio
from methods.band_tolerance.evaluation import Channel
from methods.band_tolerance.job import Fitted

FIT, EVEN, WATER_FILLING, COMMON = "fit", "even", "water_filling", "common"
SPREADS = {EVEN: even_log_ratio, WATER_FILLING: water_filling_log_ratio}
FACTORS = {  # of the bits of the fit at the compared tolerance
    EVEN: (1, 2, 4, 8, 16, 24),
    WATER_FILLING: (0.25, 0.5, 1, 1.7, 3, 6),
}
MOST_PAIRS = 300  # of classifiers, up to which their common channels are evaluated


@dataclass(frozen=True)
class Row:
    """One channel of an evaluation.

    Attributes:
        classifier: The classifier that it was fitted to, or that sees it; of a common channel, the first one.
        kind: ``fit``; ``even`` or ``water_filling`` (the bits of a fit, spread otherwise); ``common`` (band by band the
            lower ρ of two fits); or the control that the fit is for.
        seed: Seed of the fit.
        tolerance: Of the fit, in nats; NaN for other bits than those of a fit.
        log_ratio: log ρ, ``(bands, 3)``.
        fitted: The fit that bands and their variance come from.
        column: Position of the classifier among all.
        readers: Positions of the classifiers that see what passes.
    """

    classifier: str
    kind: str
    seed: int
    tolerance: float
    log_ratio: np.ndarray
    fitted: Fitted
    column: int
    readers: tuple[int, ...]

    @property
    def channel(self) -> Channel:
        """What the evaluation needs."""
        return self.fitted.channel(self.log_ratio, self.readers)

    @property
    def is_fit(self) -> bool:
        """Whether it is a fit, or one for a control, and not bits that were spread or combined otherwise."""
        return self.kind not in (EVEN, WATER_FILLING, COMMON)


def at_compared(rows: Sequence[Row], compared: float) -> list[int]:
    """Positions of the rows that all classifiers see: the fits, but for controls, at the compared tolerance."""
    return [number for number, row in enumerate(rows) if row.kind == FIT and row.tolerance == compared]


def rows_of_fits(names: Sequence[str], fits: Mapping[str, Mapping[int, Fitted]], compared: float) -> Iterator[Row]:
    """A row for every tolerance of every fit; at the compared one, all classifiers see what passes.

    Args:
        names: All classifiers, in the order of the columns.
        fits: Of each classifier the fit with each seed.
        compared: The tolerance, in nats.
    """
    everyone = tuple(range(len(names)))
    for name, by_seed in fits.items():
        for seed, fitted in by_seed.items():
            for tolerance, log_ratio in zip(fitted.tolerances.tolist(), fitted.log_ratio, strict=True):
                column = names.index(name)
                readers = everyone if tolerance == compared else (column,)
                yield Row(name, FIT, seed, tolerance, log_ratio, fitted, column, readers)


def rows_of_spreads(
    names: Sequence[str], fits: Mapping[str, Fitted], kinds: Sequence[str], compared: float
) -> Iterator[Row]:
    """Rows in which bits are spread evenly or by reverse water-filling, around the bits of the fit of a classifier."""
    for name, fitted in fits.items():
        rate = float(fitted.rates()[fitted.tolerances.tolist().index(compared)].sum())
        counts, variance = torch.from_numpy(fitted.counts), torch.from_numpy(fitted.variance)
        for kind, factor in [(each, factor) for each in kinds for factor in FACTORS[each]]:
            log_ratio = SPREADS[kind](max(factor * rate, 1e-3), counts, variance).numpy()
            column = names.index(name)
            yield Row(name, kind, 0, np.nan, log_ratio, fitted, column, (column,))


def rows_of_pairs(names: Sequence[str], fits: Mapping[str, Fitted], compared: float) -> Iterator[Row]:
    """Rows of what two fits have in common, band by band the lower ρ; both classifiers see it."""
    pairs = list(combinations(fits, 2))
    for one, other in pairs if len(pairs) <= MOST_PAIRS else []:
        ratios = [fits[name].log_ratio[fits[name].tolerances.tolist().index(compared)] for name in (one, other)]
        readers = (names.index(one), names.index(other))
        yield Row(one, COMMON, 0, compared, np.minimum(*ratios), fits[one], readers[0], readers)
