"""Tables of the page on band tolerance: numbers with their intervals as text."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from methods.band_tolerance.figures import in_words, outside_words
from methods.band_tolerance.rows import EVEN, FIT, WATER_FILLING
from methods.band_tolerance.spectrum_figures import COLOUR_NAMES, band_names
from methods.band_tolerance.transform import COLOURS, LOW_PASS
from report.words import measure
from stats.names import ACCURACY

Line = Mapping[Any, Any]  # of a table, by column
CURVE = ["classifier", "kind", "seed"]
KINDS = {
    EVEN: "bits spread evenly",
    WATER_FILLING: "bits spread by water-filling",
    "second_seed": "second seed of the fit",
}
MOST_PAIRS = 30
LAWS = {
    "predicted_rrc": "RRC predicted from the common bands",
    "dominance": "share of the bits of j that i lets in",
}


def with_extents(bits: pd.DataFrame, curve: pd.DataFrame) -> pd.DataFrame:
    """The table of bits with the fewest and most bits that were measured of each curve: ``smallest``, ``largest``."""
    ends = curve.groupby(CURVE)["bits"].agg(smallest="min", largest="max").reset_index()
    return bits.merge(ends, how="left", on=CURVE)


def bits_text(row: Line) -> str:
    """The bits of a row with their interval; in words where they are beyond what was measured."""
    ends = (float(row["smallest"]), float(row["largest"]))
    if not 0 < row["bits"] < np.inf:
        return outside_words(row["bits"], *ends)
    lower, upper = (
        in_words(value) if 0 < value < np.inf else outside_words(value, *ends) for value in (row["lower"], row["upper"])
    )
    return f"{in_words(row['bits'])} [{lower}, {upper}]"


def measured_text(row: Line, name: str) -> str:
    """A number with its interval to two digits, or a dash."""
    if not np.isfinite(row[name]):
        return "–"
    return f"{row[name]:.2f} [{row[f'{name}_lower']:.2f}, {row[f'{name}_upper']:.2f}]"


def share_text(row: Line, name: str) -> str:
    """A share with its interval in per cent, or a dash."""
    if not np.isfinite(row[name]):
        return "–"
    return f"{100 * row[name]:.1f} % [{100 * row[f'{name}_lower']:.1f}, {100 * row[f'{name}_upper']:.1f}]"


def bits_table(bits: pd.DataFrame, first: pd.DataFrame, names: Mapping[str, str], at_target: bool) -> pd.DataFrame:
    """Bits, particularity and bandwidth of each network; its retention, too, if that is not the wanted one."""
    fits, filled = bits[bits["kind"] == FIT], bits[bits["kind"] == WATER_FILLING].set_index("classifier")
    by_network, ratios, rows = first.to_dict("index"), filled.to_dict("index"), {}
    for name in names:
        row = by_network[name]
        line = {} if at_target else {"decisions kept": f"{100 * row['retention']:.3g} %"}
        line["bits per image"] = bits_text(row)
        line["bits per pixel"] = f"{row['bits_per_pixel']:.3f}" if 0 < row["bits"] < np.inf else "–"
        line["particularity"] = measured_text(ratios[name], "ratio") if name in ratios else "–"
        line["bandwidth in octaves"] = measured_text(row, "bandwidth")
        of_seeds = fits[fits["classifier"] == name]
        if of_seeds["seed"].nunique() > 1:
            ends = [of_seeds.iloc[int(find(of_seeds["bits"]))] for find in (np.argmin, np.argmax)]
            line[f"range over {of_seeds['seed'].nunique()} seeds"] = " to ".join(point_text(end) for end in ends)
        rows[name] = line
    return pd.DataFrame(list(rows.values()), index=list(names.values()))


def point_text(row: Any) -> str:
    """The bits of a row without their interval."""
    if 0 < row["bits"] < np.inf:
        return in_words(row["bits"])
    return outside_words(row["bits"], row["smallest"], row["largest"])


def control_table(bits: pd.DataFrame, names: Mapping[str, str]) -> pd.DataFrame:
    """The bits of every control beside those of the fit at the same retention."""
    rows, index = [], []
    fits = bits[bits["kind"] == FIT].drop_duplicates("classifier").set_index("classifier").to_dict("index")
    for row in bits[bits["kind"] != FIT].to_dict("records"):
        own = fits[row["classifier"]] | {"bits": row["fit_bits"]}
        index.append(f"{names.get(row['classifier'], row['classifier'])}: {kind_text(row)}")
        rows.append(
            {
                "decisions kept": f"{100 * row['retention']:.3g} %",
                "bits per image": bits_text(row),
                "bits of the fit": point_text(own),
                "ratio": measured_text(row, "ratio"),
            }
        )
    return pd.DataFrame(rows, index=index)


def kind_text(row: Line) -> str:
    """What a control is."""
    kind = str(row["kind"])
    return f"wavelet {row['wavelet']}" if kind == "second_wavelet" else KINDS.get(kind, kind.replace("_", " "))


def curve_table(curve: pd.DataFrame, names: Mapping[str, str]) -> pd.DataFrame:
    """Bits, decisions kept, accuracy and divergence of every fit at every tolerance."""
    fits = curve[curve["kind"] == FIT]
    several, rows, index = fits["seed"].nunique() > 1, [], []
    for row in fits.to_dict("records"):
        seed = f", seed {row['seed']}" if several else ""
        index.append(f"{names[row['classifier']]}{seed}, {row['tolerance']:g} nats")
        interval = f"[{in_words(row['bits_lower'])}, {in_words(row['bits_upper'])}]"
        rows.append(
            {
                "bits per image": f"{in_words(row['bits'])} {interval}",
                "decisions kept": share_text(row, "retention"),
                **({"accuracy": share_text(row, "accuracy")} if measure() == ACCURACY else {}),
                "KL, nats": f"{row['divergence']:.3f}",
            }
        )
    return pd.DataFrame(rows, index=index)


def points_at(curve: pd.DataFrame, first: pd.DataFrame, tolerance: float) -> pd.DataFrame:
    """The point of the first fit of each network at a tolerance."""
    rows = curve[(curve["kind"] == FIT) & np.isclose(curve["tolerance"], tolerance)]
    return rows[rows["seed"] == rows["classifier"].map(first["seed"])].set_index("classifier")


def octave_shares(spectra: pd.DataFrame) -> pd.DataFrame:
    """Share of each octave in the bits of each network, coarse to fine, the low-pass first."""
    return by_octave(spectra.assign(key=spectra["classifier"]), ["key"])


def by_octave(spectra: pd.DataFrame, keys: list[str]) -> pd.DataFrame:
    """Shares summed over orientations and colours, or within each of further keys."""
    rows = []
    for _, part in spectra.groupby(keys, sort=False):
        octaves = part.groupby([part["orientation"] == LOW_PASS, "level"])["share"].sum().sort_index()
        rows.append(dict(zip(reversed(band_names(part, "cycles_per_image")), octaves.tolist()[::-1], strict=True)))
    return pd.DataFrame(rows, index=[str(part["key"].iloc[0]) for _, part in spectra.groupby(keys, sort=False)])


def colour_shares(spectra: pd.DataFrame) -> pd.DataFrame:
    """Share of each colour and octave in the bits of each network; columns pairs of a colour and its frequencies."""
    parts: dict[tuple[str, str], pd.Series] = {}
    for colour in COLOURS:
        part = spectra[spectra["colour"] == colour]
        table = by_octave(part.assign(key=part["classifier"]), ["key"])
        parts |= {(colour, str(name)): table[name] for name in table.columns}
    return pd.DataFrame(parts)


def octave_table(spectrum: pd.DataFrame, names: Mapping[str, str], compared: float) -> pd.DataFrame:
    """Shares by octave and by colour of every fit at the compared tolerance, controls too."""
    rows = spectrum[np.isclose(spectrum["tolerance"], compared)].copy()
    seeds = rows.loc[rows["kind"] == FIT, "seed"].nunique() > 1
    rows["key"] = [
        names.get(row["classifier"], row["classifier"])
        + ((f", seed {row['seed']}" if seeds else "") if row["kind"] == FIT else f": {kind_text(row)} (control)")
        for row in rows.to_dict("records")
    ]
    octaves = by_octave(rows, CURVE)
    colours = pd.DataFrame(
        [part.groupby("colour")["share"].sum().reindex(list(COLOURS)) for _, part in rows.groupby(CURVE, sort=False)]
    ).set_axis([COLOUR_NAMES[colour] for colour in COLOURS], axis=1)
    shares = pd.concat([octaves.reset_index(drop=True), colours.reset_index(drop=True)], axis=1)
    return shares.map(lambda share: f"{100 * share:.1f} %").set_axis(octaves.index, axis=0)


def law_table(law: Mapping[str, Mapping[str, float | None]]) -> pd.DataFrame | None:
    """Rank correlations of RRC with what spectra predict."""
    rows = {
        LAWS[name]: {
            "rank correlation with RRC": row["spearman"],
            "other images": f"[{row['lower_images']:.2f}, {row['upper_images']:.2f}]",
        }
        for name, row in law.items()
        if row["spearman"] is not None
    }
    return pd.DataFrame.from_dict(rows, orient="index") if rows else None


def pair_table(pairs: pd.DataFrame, names: Mapping[str, str]) -> pd.DataFrame:
    """RRC of ordered pairs with its predictions, ascending; of many pairs those that are predicted worst."""
    if len(pairs) > MOST_PAIRS:
        misses = (pairs["rrc"] - pairs["predicted_rrc"]).abs()
        pairs = pairs.loc[(misses if misses.notna().any() else pairs["rrc"]).nlargest(MOST_PAIRS).index]
    pairs = pairs.sort_values("rrc", kind="stable") if len(pairs) else pairs
    rows = [
        {
            "RRC": measured_text(row, "rrc"),
            "predicted from the common bands": row["predicted_rrc"],
            "share of the bits of j that i lets in": row["dominance"],
        }
        for row in pairs.to_dict("records")
    ]
    return pd.DataFrame(
        rows, index=[f"B_{names[i]} → {names[j]}" for i, j in zip(pairs["source"], pairs["classifier"], strict=True)]
    )


def fewest_and_most(first: pd.DataFrame, names: Mapping[str, str]) -> list[tuple[str, str]]:
    """Name and bits of the network with the fewest and of that with the most."""
    ordered = first.sort_values("bits", kind="stable")
    return [(names[str(ordered.index[end])], point_text(ordered.iloc[end])) for end in (0, -1)]
