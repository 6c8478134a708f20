"""The numbers of every channel against loops."""

import math

import numpy as np
import pandas as pd
import pytest

from methods.band_tolerance.evaluation import Passed
from methods.band_tolerance.measures import (
    Measured,
    at_retention,
    band_bits,
    bandwidths,
    bits_table,
    curve_table,
    log_ratio_at,
    octaves,
    ratio,
    spectrum_table,
)
from methods.band_tolerance.rows import Row
from methods.band_tolerance.transform import COLOURS
from stats.bootstrap import resample_counts
from stats.rate_retention import bandwidth, bits_at_retention, quantile_interval
from tests.methods.band_tolerance.made_channels import (
    HOW,
    IMAGES,
    NAMES,
    ROWS,
    SIZE,
    TOLERANCES,
    literal_bits,
    literal_rate,
)


def powers_of(passed: Passed, row: Row) -> np.ndarray:
    """Mean squares over all images."""
    values: np.ndarray = passed.powers[str(row.fitted.wavelet)].mean(axis=0)
    return values


def test_the_rows_are_the_fits_their_spreads_and_pairs() -> None:
    kinds = [(row.classifier, row.kind, row.seed) for row in ROWS]
    assert kinds.count(("a", "fit", 0)) == kinds.count(("a", "fit", 1)) == kinds.count(("untrained", "fit", 0)) == 3
    assert [(row.classifier, row.readers) for row in ROWS if row.kind == "common"] == [
        ("a", (0, 1)), ("a", (0, 2)), ("b", (1, 2)),
    ]  # fmt: skip
    for row in ROWS:
        if row.kind == "fit":
            assert row.readers == ((0, 1, 2, 3) if row.tolerance == 0.15 else (NAMES.index(row.classifier),))
            at = TOLERANCES.index(row.tolerance)
            assert np.array_equal(row.log_ratio, row.fitted.log_ratio[at])
        if row.kind == "common":
            pair = [next(each for each in ROWS if each.classifier == NAMES[reader] and each.kind == "fit"
                         and each.tolerance == 0.15) for reader in row.readers]  # fmt: skip
            for place in np.ndindex(7, 3):
                assert row.log_ratio[place] == min(each.log_ratio[place] for each in pair)


@pytest.mark.parametrize("kind", ["even", "water_filling"])
def test_spreads_have_multiples_of_the_bits_of_the_fit(kind: str) -> None:
    for name in NAMES[:3]:
        fit = next(row for row in ROWS if (row.classifier, row.kind, row.seed, row.tolerance) == (name, "fit", 0, 0.15))
        rates = [literal_rate(row, row.fitted.variance) for row in ROWS if (row.classifier, row.kind) == (name, kind)]
        factors = np.array(rates) / literal_rate(fit, fit.fitted.variance)
        assert factors.tolist() == pytest.approx(sorted(factors.round(2)), rel=1e-6)
        assert 1 in factors.round(6)


def test_estimates_and_resamples_equal_loops(passed: Passed, measured: Measured) -> None:
    counts = np.concatenate(list(resample_counts(IMAGES, HOW.resamples, HOW.seed)))
    for number, row in enumerate(ROWS):
        column, powers = row.column, passed.powers[str(row.fitted.wavelet)]
        columns = {
            "retention": passed.predicted[:, number, column] == passed.decisions[:, column],
            "accuracy": passed.predicted[:, number, column] == passed.labels[:, column],
            "divergence": passed.divergence[:, number, column],
        }
        for name, values in columns.items():
            interval = measured.intervals[name]
            assert interval.estimate[number] == pytest.approx(sum(values.tolist()) / IMAGES)
            assert interval.lower[number] <= interval.estimate[number] <= interval.upper[number]
            expected = [np.repeat(values, each).mean() for each in counts]
            np.testing.assert_allclose(measured.resampled[name][:, number], expected, rtol=1e-6, atol=1e-7)
        assert measured.intervals["bits"].estimate[number] == pytest.approx(literal_rate(row, powers.mean(axis=0)))
        for resample in (0, 17):
            of_resample = np.repeat(powers, counts[resample], axis=0).mean(axis=0)
            found = measured.resampled["bits"][resample, number]
            assert found == pytest.approx(literal_rate(row, of_resample), rel=1e-5)
        lower, upper = np.quantile(measured.resampled["bits"][:, number], [0.05, 0.95])
        assert measured.intervals["bits"].lower[number] == pytest.approx(lower)
        assert measured.intervals["bits"].upper[number] == pytest.approx(upper)


def test_on_the_images_of_the_fit_the_bits_are_those_of_the_fit() -> None:
    for row in ROWS:
        if row.kind == "fit":
            rates = row.fitted.rates()[TOLERANCES.index(row.tolerance)]
            np.testing.assert_allclose(band_bits(row, row.fitted.variance), rates, rtol=1e-9, atol=1e-12)


def test_the_curve_has_a_line_for_every_row(passed: Passed, measured: Measured) -> None:
    table = curve_table(measured)
    assert len(table) == len(ROWS)
    for line, row in zip(table.to_dict("records"), ROWS, strict=True):
        assert [line[name] for name in ("classifier", "kind", "seed")] == [row.classifier, row.kind, row.seed]
        rate = literal_rate(row, powers_of(passed, row))
        assert line["bits"] == pytest.approx(rate)
        assert line["bits_per_pixel"] == pytest.approx(rate / (SIZE[0] * SIZE[1]))
        if row.kind in ("fit", "second_wavelet"):
            assert line["fit_divergence"] == pytest.approx(0.9 * row.tolerance)
        else:
            assert math.isnan(line["fit_divergence"])


def test_the_spectrum_is_the_bits_of_every_band(passed: Passed, measured: Measured) -> None:
    table = spectrum_table(measured)
    fits = [row for row in ROWS if row.kind in ("fit", "second_wavelet")]
    assert len(table) == len(fits) * 7 * 3
    lines = iter(table.to_dict("records"))
    for row in fits:
        expected = literal_bits(row, powers_of(passed, row))
        for band in range(7):
            for colour in range(3):
                line, place = next(lines), (band, colour)
                assert line["colour"] == COLOURS[colour]
                assert line["level"] == (1, 1, 1, 2, 2, 2, 2)[band]
                assert line["orientation"] == (*("horizontal", "vertical", "diagonal") * 2, "low_pass")[band]
                assert line["bits"] == pytest.approx(expected[place])
                assert line["share"] == pytest.approx(expected[place] / expected.sum())
                assert line["coefficients"] == (96, 96, 96, 24, 24, 24, 24)[band]
                low, high = ((0.25, 0.5), (0.125, 0.25), (0.0, 0.125))[0 if band < 3 else 1 if band < 6 else 2]
                assert [line["low_cycles_per_pixel"], line["high_cycles_per_pixel"]] == [low, high]
                assert line["high_cycles_per_image"] == pytest.approx(high * math.sqrt(SIZE[0] * SIZE[1]))
                variance = row.fitted.variance[place]
                assert line["noise"] ** 2 == pytest.approx(variance / math.exp(row.log_ratio[place]))


def test_octaves_are_sums_over_orientations_and_colours() -> None:
    of_bands = np.random.default_rng(0).exponential(size=(5, 10, 3))
    found = octaves(of_bands, 3)
    for number in range(5):
        levels = [sum(of_bands[number, 3 * level + k].sum() for k in range(3)) for level in range(3)]
        assert found[number].tolist() == pytest.approx(levels[::-1])  # coarse to fine, without the low-pass


def lines_of(table: pd.DataFrame, name: str, kind: str, seed: int = 0) -> dict[str, float]:
    [line] = table[(table["classifier"] == name) & (table["kind"] == kind) & (table["seed"] == seed)].to_dict("records")
    return {str(key): value for key, value in line.items()}


@pytest.mark.parametrize("target", [0.3, 0.7, 0.85])
def test_bits_at_a_retention_are_those_of_each_curve(target: float, measured: Measured) -> None:
    table = bits_table(measured, target)
    assert np.isfinite(table["bits"]).any()
    assert not (table["kind"] == "common").any()
    rates, kept = (measured.intervals[name].estimate for name in ("bits", "retention"))
    for name, kind, seed in table[["classifier", "kind", "seed"]].itertuples(index=False):
        numbers = [k for k, row in enumerate(ROWS) if (row.classifier, row.kind, row.seed) == (name, kind, seed)]
        fit = [k for k, row in enumerate(ROWS) if (row.classifier, row.kind, row.seed) == (name, "fit", 0)]
        line = lines_of(table, name, kind, seed)
        if kind == "second_wavelet":  # a single point: the fit is read at its retention
            [number] = numbers
            at, bits = kept[number], rates[number]
            assert [line["lower"], line["upper"]] == list(quantile_interval(measured.resampled["bits"][:, number], 0.9))
        else:
            at, bits = target, bits_at_retention(rates[numbers], kept[numbers], target)
            resampled = [
                bits_at_retention(one[numbers], other[numbers], target)
                for one, other in zip(measured.resampled["bits"], measured.resampled["retention"], strict=True)
            ]
            assert [line["lower"], line["upper"]] == list(quantile_interval(np.array(resampled), 0.9))
        assert line["retention"] == at
        assert line["bits"] == pytest.approx(bits)
        own = bits_at_retention(rates[fit], kept[fit], at)
        assert line["fit_bits"] == pytest.approx(own)
        if np.isfinite(line["ratio"]):
            assert line["ratio"] == pytest.approx(bits / own)
            assert line["ratio_lower"] <= line["ratio_upper"]
        assert math.isnan(line["bandwidth"]) != (kind == "fit")


def test_a_fit_is_as_large_as_itself(measured: Measured) -> None:
    kept = measured.intervals["retention"].estimate[measured.where("a", "fit", 0)]
    table = bits_table(measured, float(np.mean([kept.min(), kept.max()])))
    own = table[(table["kind"] == "fit") & (table["seed"] == 0)]
    finite = own[np.isfinite(own["ratio"])]
    assert "a" in finite["classifier"].tolist()
    assert (finite[["ratio", "ratio_lower", "ratio_upper"]] == 1).all().all()


def test_a_ratio_without_bits_on_one_side_is_not_defined() -> None:
    some = np.array([1.0, 2.0, 3.0])
    for bits, resampled in ((0.0, some), (math.inf, some), (2.0, np.array([np.inf, np.inf, 2.0]))):
        assert math.isnan(ratio(bits, resampled, 2.0, some, 0.9)["ratio"])
        assert math.isnan(ratio(2.0, some, bits, resampled, 0.9)["ratio_upper"])
    assert ratio(4.0, 2 * some, 2.0, some, 0.9) == {"ratio": 2, "ratio_lower": 2, "ratio_upper": 2}


def test_bandwidths_are_those_of_the_spectrum_between_two_tolerances(passed: Passed, measured: Measured) -> None:
    numbers = measured.where("a", "fit", 0)
    kept = measured.intervals["retention"].estimate[numbers]
    target = float((np.sort(kept)[0] + np.sort(kept)[-1]) / 2)
    log_ratio, at = log_ratio_at(measured, numbers, target)
    assert at == target
    row = ROWS[numbers[0]]
    blend = Row("a", "fit", 0, np.nan, log_ratio, row.fitted, row.column, row.readers)
    of_bands = literal_bits(blend, powers_of(passed, row))
    levels = [of_bands[3:6].sum(), of_bands[:3].sum()]  # coarse, fine
    found = bandwidths(measured, numbers, target)
    assert found["bandwidth"] == pytest.approx(bandwidth(np.array(levels)))
    assert found["bandwidth_lower"] <= found["bandwidth_upper"]
    bits, _ = at_retention(measured, numbers, target)
    assert min(measured.intervals["bits"].estimate[numbers]) < bits < max(measured.intervals["bits"].estimate[numbers])
