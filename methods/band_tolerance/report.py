"""The section of the page on band tolerance; its prose is in ``report.html.j2``."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.figure import Figure

from methods.band_tolerance import figures, spectrum_figures, tables
from methods.band_tolerance.rows import EVEN, FIT, WATER_FILLING
from report.figures.matrices import accuracy_matrix
from report.names import IMAGES, classifier_title, order_text
from report.page import Part
from report.parts.cues import KEPT, retention_figure, row_title
from report.parts.intervals import WIDEST_MATRIX, cells, neighbour_table
from report.tables import read_table
from report.words import measure
from stats.names import ACCURACY, ORIGINAL
from study.records import read_arrays

TEMPLATE = "methods/band_tolerance/report.html.j2"
FILES = (
    "bits.csv", "curve.csv", "spectrum.csv", "cross_reading.csv", "cues.csv", "cue_pairs.csv", "order.json",
    "pictures.npz",
)  # fmt: skip
MOST_PICTURES = 4  # networks whose pictures are on the page
MOST_PIXELS = 280_000  # of one picture of all networks of a figure together: its files have about 6 MB
LARGEST_PICTURE = 480  # pixels; of larger ones the middle is shown


def read(root: Path, titles: Mapping[str, str]) -> Part | None:
    """The section, or ``None`` if no bands were fitted.

    Args:
        root: The study's folder.
        titles: The display name of each classifier.
    """
    files = [root / "band_tolerance" / name for name in FILES]
    if not all(path.exists() for path in files):
        return None
    bits, curve, spectrum, reading = (read_table(path) for path in files[:4])
    cues, pairs = read_table(files[4], index="number"), read_table(files[5])
    order = json.loads(files[6].read_text(encoding="utf-8"))
    controls = order["controls"]
    names = {
        name: classifier_title(name, titles) + (" (control)" if name in controls else "")
        for name in bits.loc[bits["kind"] == FIT, "classifier"].unique()
    }
    networks = [name for name in names if name not in controls]
    bits = tables.with_extents(bits, curve)
    first = bits[bits["kind"] == FIT].drop_duplicates("classifier").set_index("classifier")
    share = f"{100 * order['retention']:g} %"
    at_target = bool(np.isclose(first.loc[networks, "retention"], order["retention"]).all())
    compared = compared_spectra(spectrum, first, order["compared"])
    compared = compared[compared["classifier"].isin(networks)]
    at_compared = tables.points_at(curve, first, order["compared"])
    drawn = {
        "band_bits": figures.bits_bars(
            bars(bits, first, names, controls), bits_label(share, at_target), order["pixels"]
        ),
        "band_curves": figures.retention_curves(
            curves(curve, first, names), sum(name not in controls for name in names), order["retention"]
        ),
        "band_spectra": spectra_figure(compared, at_compared, names),
        "band_octaves": spectrum_figures.octave_widths(
            tables.octave_shares(compared).rename(index=names),
            first.loc[networks],
            f"{share} of decisions kept" if at_target else "the measured retention",
        ),
        "band_reading": reading_figure(reading, names, order["labels"]),
    }
    arrays = read_arrays(files[7])
    shown = pictured(arrays["classifiers"].tolist(), first)
    of_pictures, photographs = picture_figures(arrays, shown, names)
    drawn |= of_pictures
    if len(law_pairs(reading)) and order["law"]:
        drawn["band_law"] = figures.law_scatter(law_pairs(reading))
    outside = first.loc[networks, "bits"].isin([0, np.inf])
    ends = tables.fewest_and_most(first.loc[networks], names)
    headline = facts(ends, share) if at_target and not outside.any() else []
    values = {
        "order": order,
        "level": f"{100 * order['level']:g} %",
        "share": share,
        "given": measure() == ACCURACY,
        "at_target": at_target,
        "networks": len(networks),
        "controls": [names[name] for name in controls if name in names],
        "fewest_most": ends,
        "bits_table": tables.bits_table(bits, first, names, at_target),
        "control_table": tables.control_table(bits, names),
        "outside": [names[name] for name in outside.index[outside]],
        "as_rows": len(networks) > spectrum_figures.BLOCKS,
        "constant": [names.get(name, name) for name in order["constant"]],
        "particular": particular(bits, networks),
        "curve_table": tables.curve_table(curve, names),
        "octave_table": tables.octave_table(spectrum, names, order["compared"]),
        "octaves": int(compared["level"].nunique()),
        "reading_tables": reading_tables(reading, names, order),
        "orders": None if order["no_order"] else orders(order, names),
        "law": tables.law_table(order["law"] or {}),
        "law_pairs": tables.pair_table(law_pairs(reading), names),
        "photographs": photographs,
        "pictured": [names[name] for name in shown],
        "cues": cues.rename(index=lambda name: row_title(name, names)),
        "cue_rows": cues.to_dict("index"),
        "kept": cues[cues.index.str.startswith(KEPT)]["estimate"].min() if len(cues) else np.nan,
    }
    if len(cues):
        guessing = float(cues["estimate"]["guessing"])
        drawn["band_cues"] = retention_figure(pairs, networks, names, guessing, letter="B")
    return Part(TEMPLATE, values, drawn, files, facts=headline)


def bits_label(share: str, at_target: bool) -> str:
    """What bits of a figure are."""
    return f"bits per image at {share} of decisions kept" if at_target else "bits per image at the measured retention"


def facts(ends: Sequence[tuple[str, str]], share: str) -> list[tuple[str, str]]:
    """The headline: the fewest and the most bits of the networks."""
    low, high = ends[0][1], ends[-1][1]
    return [(f"bits per image, {share} kept", low if low == high else f"{low} to {high}")]


def bars(bits: pd.DataFrame, first: pd.DataFrame, names: Mapping[str, str], controls: Sequence[str]) -> pd.DataFrame:
    """What :func:`methods.band_tolerance.figures.bits_bars` draws, in the order of the names."""
    made = first.loc[list(names), ["bits", "lower", "upper", "smallest", "largest"]].copy()
    seeds = bits[bits["kind"] == FIT].groupby("classifier")["bits"].agg(["min", "max"])
    made[["seed_min", "seed_max"]] = seeds.loc[made.index]
    for kind in (EVEN, WATER_FILLING):
        made[kind] = bits[bits["kind"] == kind].set_index("classifier")["bits"].reindex(made.index)
    return made.assign(name=list(names.values()), control=[name in controls for name in names])


def curves(
    curve: pd.DataFrame, first: pd.DataFrame, names: Mapping[str, str]
) -> list[tuple[str, dict[str, pd.DataFrame]]]:
    """Of each network the points of its first fit and of water-filling, ascending in bits."""
    made = []
    for name, title in names.items():
        own = curve[curve["classifier"] == name].sort_values("bits")
        fit = own[(own["kind"] == FIT) & (own["seed"] == first["seed"].to_dict()[name])]
        filled = own[own["kind"] == WATER_FILLING]
        made.append((title, {"fit": fit} | ({WATER_FILLING: filled} if len(filled) else {})))
    return made


def compared_spectra(spectrum: pd.DataFrame, first: pd.DataFrame, compared: float) -> pd.DataFrame:
    """The bands of the first fit of every network at the compared tolerance."""
    rows = spectrum[(spectrum["kind"] == FIT) & np.isclose(spectrum["tolerance"], compared)]
    return rows[rows["seed"] == rows["classifier"].map(first["seed"])]


def spectra_figure(spectra: pd.DataFrame, at: pd.DataFrame, names: Mapping[str, str]) -> Figure:
    """The spectra as blocks, or of many networks as rows.

    Args:
        spectra: Result of :func:`compared_spectra`, without controls.
        at: ``bits`` and ``retention`` at the compared tolerance, by network.
        names: Display names.
    """
    parts = {str(name): part for name, part in spectra.groupby("classifier", sort=False)}
    if len(parts) > spectrum_figures.BLOCKS:
        return spectrum_figures.spectrum_rows(tables.colour_shares(spectra).rename(index=names))
    points = at.to_dict("index")
    notes = {
        name: f"{figures.in_words(points[name]['bits'])} bits, {100 * points[name]['retention']:.0f} % kept"
        for name in parts
    }
    return spectrum_figures.spectra([(names[name], notes[name], part) for name, part in parts.items()])


def reading_figure(reading: pd.DataFrame, names: Mapping[str, str], labels: str) -> Figure:
    """Heat map of the retention of each classifier (columns) on what passes each channel (rows)."""
    shown = "top-1 accuracy" if labels == "labels" else "decisions kept"
    return accuracy_matrix(matrix(reading, "retention", names), baselines=1, label=shown)


def matrix(reading: pd.DataFrame, values: str, names: Mapping[str, str]) -> pd.DataFrame:
    """A column of cross reading as a matrix with the names that people read, controls last."""
    wide = reading.pivot(index="source", columns="classifier", values=values).rename_axis(index=None, columns=None)
    wide = wide.loc[
        [name for name in (ORIGINAL, *names) if name in wide.index], [n for n in names if n in wide.columns]
    ]
    return wide.rename(index={ORIGINAL: IMAGES} | {name: f"B_{names[name]}" for name in names}, columns=names)


def reading_tables(
    reading: pd.DataFrame, names: Mapping[str, str], order: Mapping[str, Any]
) -> dict[str, pd.DataFrame]:
    """The numbers of cross reading by caption, and the neighbours in the order."""
    shown = {"Decisions kept" if order["labels"] == "decisions" else "Accuracy": "retention"}
    if "rrc" in reading:
        shown["Relative rates of change"] = "rrc"
    made = {}
    for caption, column in shown.items():
        table = reading.rename(columns={column: "estimate", f"{column}_lower": "lower", f"{column}_upper": "upper"})
        table = table[table["estimate"].notna()]
        few = table["classifier"].nunique() <= WIDEST_MATRIX
        made[caption] = matrix(table.assign(text=cells(table) if few else table["estimate"]), "text", names)
    widest = order["certainty"] and order["certainty"]["widest"]
    neighbours = neighbour_table(widest["neighbours"], names) if widest else None
    return made | ({} if neighbours is None else {"Neighbours in the order": neighbours})


def law_pairs(reading: pd.DataFrame) -> pd.DataFrame:
    """The ordered pairs of classifiers with a prediction from their spectra."""
    return reading[reading["dominance"].notna() & reading["rrc"].notna()] if "dominance" in reading else reading[:0]


def orders(order: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    """The order by bands and that by autoencoders in words, with how sure they are and how they agree."""
    own, others = order["order"]["widest"], order["autoencoders"]
    theirs = others and others["order"]
    certain = order["certainty"]["widest"]
    return {
        "own": own and named_order(own["order"], names),
        "range": own,
        "same": certain and certain["same_order_share"],
        "compared": others is not None,
        "theirs": theirs and named_order(theirs["order"], names),
        "positions": others and others["positions"],
        "pairs": others and others["pairs"],
    }


def named_order(groups: Sequence[Sequence[str]], names: Mapping[str, str]) -> str:
    """An order in one line, with the names that people read."""
    return order_text([[names.get(name, name) for name in group] for group in groups])


def pictured(classifiers: Sequence[str], first: pd.DataFrame) -> list[str]:
    """The networks whose pictures are shown: all, or of many some from those with the fewest bits to the most."""
    if len(classifiers) <= MOST_PICTURES:
        return list(classifiers)
    by_bits = first.loc[list(classifiers), "bits"].sort_values(kind="stable").index
    positions = np.linspace(0, len(by_bits) - 1, MOST_PICTURES).round().astype(int)
    return [str(by_bits[position]) for position in positions]


def picture_figures(
    arrays: Mapping[str, Any], shown: Sequence[str], names: Mapping[str, str]
) -> tuple[dict[str, Figure], list[dict[str, Any]]]:
    """The pictures of every photograph, few networks to a figure, and what the page says of them.

    Returns:
        The figures by name; and for each photograph its ``title``, the names of its ``figures``, and the ``height`` and
        ``width`` of its middle if that is shown alone, else ``None``.
    """
    rows = [arrays["classifiers"].tolist().index(name) for name in shown]
    drawn: dict[str, Figure] = {}
    photographs = []
    for number, title in enumerate(arrays["titles"].tolist()):
        original, passed = (middle(arrays[f"{what}_{number}"]) for what in ("original", "passed"))
        cropped = original.shape != arrays[f"original_{number}"].shape
        each = max(1, min(MOST_PICTURES, MOST_PIXELS // original[0].size))
        parts = [range(start, min(start + each, len(rows))) for start in range(0, len(rows), each)]
        made = {
            f"band_pictures_{number}_{place}": spectrum_figures.pictures(
                original,
                passed[[rows[position] for position in part]],
                arrays["retentions"][[rows[position] for position in part]],
                [names[shown[position]] for position in part],
            )
            for place, part in enumerate(parts)
        }
        size = original.shape[-2:] if cropped else (None, None)
        photographs.append({"title": title, "figures": list(made), "height": size[0], "width": size[1]})
        drawn |= made
    return drawn, photographs


def middle(pictures: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """The middle of large pictures ``(..., H, W)``: smaller copies would lose the noise of the fine bands."""
    top, left = (max(0, side - LARGEST_PICTURE) // 2 for side in pictures.shape[-2:])
    return pictures[..., top : top + LARGEST_PICTURE, left : left + LARGEST_PICTURE]


def particular(bits: pd.DataFrame, networks: Sequence[str]) -> dict[str, int]:
    """For how many networks the ratio of water-filling's bits to their own was measured, and is above or below 1."""
    ratios = bits[(bits["kind"] == WATER_FILLING) & bits["classifier"].isin(networks) & bits["ratio"].notna()]
    above, below = int((ratios["ratio_lower"] > 1).sum()), int((ratios["ratio_upper"] < 1).sum())
    return {"measured": len(ratios), "above": above, "below": below}
