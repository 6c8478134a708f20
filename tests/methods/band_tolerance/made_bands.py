"""The files of ``task=band_tolerance``, with made-up numbers of which the outcome is known."""

import json
from collections.abc import Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from methods.band_tolerance.cross_reading import cross_document, cross_reading_table
from methods.band_tolerance.transform import COLOURS, ORIENTATIONS
from stats.cue_retention import cue_tables
from stats.intervals import Resampling, Sample
from stats.predictions import Predictions
from tests.stats.drawn import drawn_predictions

HOW = Resampling(100, 0.95, seed=0)
TOLERANCES = (0.01, 0.15, 1.5)
CONTROL = "random_weights"
SIDE, LEVELS, PIXELS = 48, 3, 48 * 48
Bits = tuple[float, float, float]  # with the ends of their interval


def own_bits(number: int) -> Bits:
    """The bits of a network at the retention, with an interval."""
    bits = 1000.0 * (number + 1)
    return bits, 0.8 * bits, 1.25 * bits


def curve_rows(name: str, kind: str, seed: int, bits: Sequence[float], tolerances: Sequence[float]) -> pd.DataFrame:
    """Points of a curve, the last one with the fewest bits."""
    retention = np.linspace(0.99, 0.4, len(bits))
    table = pd.DataFrame({"classifier": name, "kind": kind, "wavelet": "db4", "seed": seed, "tolerance": tolerances})
    table = table.assign(fit_divergence=tolerances, bits=bits, retention=retention, accuracy=0.9 * retention)
    table["divergence"] = np.linspace(0.01, 1.4, len(bits))
    for measure in ("bits", "retention", "accuracy", "divergence"):
        table[f"{measure}_lower"], table[f"{measure}_upper"] = 0.95 * table[measure], 1.01 * table[measure]
    return table.assign(bits_per_pixel=table["bits"] / PIXELS)


def bits_row(name: str, kind: str, seed: int, bits: Bits, fit: float, **further: float) -> dict[str, Any]:
    """A line of ``bits.csv``."""
    usable = 0 < bits[0] < np.inf and 0 < fit < np.inf
    ratio = bits[0] / fit if usable else np.nan
    row: dict[str, Any] = {
        "classifier": name,
        "kind": kind,
        "wavelet": "haar" if kind == "second_wavelet" else "db4",
        "seed": seed,
    }
    row |= {"retention": 0.95, "bits": bits[0], "lower": bits[1], "upper": bits[2], "bits_per_pixel": bits[0] / PIXELS}
    row |= {"fit_bits": fit, "ratio": ratio, "ratio_lower": 0.9 * ratio, "ratio_upper": 1.1 * ratio}
    bandwidth = 2.0 if kind == "fit" else np.nan
    row |= {"bandwidth": bandwidth, "bandwidth_lower": bandwidth - 0.2, "bandwidth_upper": bandwidth + 0.1}
    return row | further


def spectrum_rows(name: str, kind: str, seed: int, tolerance: float, total: float, number: int) -> list[dict[str, Any]]:
    """The bands of one fit; their bits add up to ``total``, half of them in one band of a network's own."""
    places = [
        (level, orientation, colour)
        for level, orientation in [*product(range(1, LEVELS + 1), ORIENTATIONS), (LEVELS, "low_pass")]
        for colour in COLOURS
    ]
    shares = np.full(len(places), 0.5 / (len(places) - 1))
    shares[number % len(places)] = 0.5
    rows = []
    for (level, orientation, colour), share in zip(places, shares, strict=True):
        high = 0.5 ** (level + (orientation == "low_pass"))
        low = 0.0 if orientation == "low_pass" else high / 2
        row = {"classifier": name, "kind": kind, "wavelet": "db4", "seed": seed, "tolerance": tolerance, "level": level}
        row |= {"orientation": orientation, "colour": colour}
        row |= {"low_cycles_per_pixel": low, "high_cycles_per_pixel": high}
        row |= {"low_cycles_per_image": SIDE * low, "high_cycles_per_image": SIDE * high}
        row |= {"coefficients": PIXELS / 4**level, "log_ratio": 0.0, "noise": 1.0}
        rows.append(row | {"bits": share * total, "share": share})
    return rows


def write_bands(
    root: Path,
    names: Sequence[str],
    bits: Mapping[str, Bits] = {},
    seeds: Sequence[int] = (0,),
    predictions: Predictions | None = None,
    autoencoders: bool = True,
    photograph: tuple[int, int] | None = (30, 45),
    retention: float = 0.95,
) -> dict[str, Any]:
    """Write the files.

    Args:
        root: The study's folder.
        names: The networks; a control is added.
        bits: Of some of them the bits at the retention, with their interval; 0 or infinite for those beyond the curve.
        seeds: Of the fits; each further one has 10 % more bits.
        predictions: Of cross reading; made up if there are none.
        autoencoders: Whether there are some to compare the order with.
        photograph: Height and width of the photograph, if there is one.
        retention: At which bits are compared, as the document says.

    Returns:
        The document ``order.json``.
    """
    folder = root / "band_tolerance"
    folder.mkdir(parents=True, exist_ok=True)
    curve, at_target, spectrum = [], [], []
    for number, name in enumerate([*names, CONTROL]):
        own = dict(bits).get(name, (np.inf,) * 3 if name == CONTROL else own_bits(number))
        scale = own_bits(number)[0] * (1 if name != CONTROL else 0.2)
        for seed in seeds if name != CONTROL else seeds[:1]:
            factor = 1 + 0.1 * seed
            points = [factor * scale * share for share in (2, 0.7, 0.1)]
            curve.append(curve_rows(name, "fit", seed, points, TOLERANCES))
            at_target.append(bits_row(name, "fit", seed, (factor * own[0], *own[1:]), factor * own[0]))
            spectrum += spectrum_rows(name, "fit", seed, 0.15, points[1], number)
            spectrum += spectrum_rows(name, "fit", seed, 1.5, points[2], number + 1)
        if name != CONTROL:
            for kind, more in (("even", 8.0), ("water_filling", 1.5)):
                curve.append(curve_rows(name, kind, 0, [more * scale * share for share in (3, 1)], [np.nan] * 2))
                at_target.append(bits_row(name, kind, 0, (more * scale, scale, 2 * more * scale), own[0]))
            for kind in ("second_seed", "second_wavelet"):
                curve.append(curve_rows(name, kind, 1, [0.72 * scale], [0.15]))
                single = (0.72 * scale, 0.6 * scale, 0.8 * scale)
                at_target.append(bits_row(name, kind, 1, single, 0.7 * scale, retention=0.87))
                spectrum += spectrum_rows(name, kind, 1, 0.15, 0.72 * scale, number)
    predictions = predictions or drawn_predictions(seeds=1, names=list(names), controls=[CONTROL])
    sample = Sample(predictions.top1, predictions.sources, HOW)
    law = law_of(names)
    other = drawn_predictions(seeds=2, names=list(names)) if autoencoders else None
    document = cross_document(predictions, sample, law, other, HOW)
    ordered = document["no_order"] is None
    cued = len({predictions.label_sets[column] for column in predictions.classifier_columns}) > 1
    cues, pairs = cue_tables(predictions, sample) if cued else (pd.DataFrame({"number": []}), pd.DataFrame({"rrc": []}))
    reading = cross_reading_table(predictions, sample, law if ordered else law.iloc[:0])
    document |= {"level": 0.95, "images": 120, "compared": 0.15, "retention": retention, "labels": "decisions"}
    document |= {"controls": [CONTROL], "pixels": PIXELS, "constant": []}
    tables = {
        "curve": pd.concat(curve), "bits": pd.DataFrame(at_target), "spectrum": pd.DataFrame(spectrum),
        "cross_reading": reading[reading["source"] != "pretrained"], "cues": cues, "cue_pairs": pairs,
    }  # fmt: skip
    for name, table in tables.items():
        table.to_csv(folder / f"{name}.csv", index=False)
    (folder / "order.json").write_text(json.dumps(document))
    np.savez(folder / "pictures.npz", allow_pickle=False, **pictures_of(names, photograph))
    return document


def law_of(names: Sequence[str]) -> pd.DataFrame:
    """Predictions for all ordered pairs."""
    generator = np.random.default_rng(0)
    pairs = [pair for pair in product(names, names) if pair[0] != pair[1]]
    law = pd.DataFrame(pairs, columns=["source", "classifier"])
    return law.assign(predicted_rrc=generator.random(len(law)), dominance=generator.random(len(law)))


def pictures_of(names: Sequence[str], photograph: tuple[int, int] | None) -> dict[str, Any]:
    """The arrays of ``pictures.npz``: the first network's curve ends at 98.7 %."""
    retentions = np.tile([0.99, 0.95, 0.8, 0.5], (len(names), 1))
    retentions[0, 0] = 0.987
    titles = np.array(["chelsea"] if photograph else [], dtype=str)
    arrays: dict[str, Any] = {"classifiers": np.array(names), "titles": titles, "retentions": retentions}
    if photograph:
        draw = np.random.default_rng(1)
        arrays["original_0"] = draw.integers(0, 256, (3, *photograph), dtype=np.uint8)
        arrays["passed_0"] = draw.integers(0, 256, (len(names), 4, 3, *photograph), dtype=np.uint8)
    return arrays
