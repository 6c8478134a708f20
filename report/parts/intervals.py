"""How sure the study's numbers and its order are: ``intervals/``, as ``task=intervals`` writes it."""

import hashlib
import html
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from report.figures import intervals as interval_figures
from report.page import Part, Section
from report.study import row_names
from stats.names import ORIGINAL, PRETRAINED

TABLES = ("accuracy", "accuracy_top5", "differences", "rrc", "nmi")
WIDEST_MATRIX = 8
OWN = "own A_i"
SPREAD = {"seed_std": "standard deviation", "seed_min": "smallest", "seed_max": "largest"}


def read(root: Path, labels: Mapping[str, str]) -> Part | None:
    """The part of a study in which ``task=intervals`` has run.

    Args:
        root: The study's folder.
        labels: What people call each classifier.
    """
    folder = root / "intervals"
    files = [*(folder / f"{name}.csv" for name in TABLES), folder / "order.json"]
    if not all(path.exists() for path in files):
        return None
    tables = {name: pd.read_csv(folder / f"{name}.csv") for name in TABLES}
    order = json.loads((folder / "order.json").read_text(encoding="utf-8"))
    classifiers = list(dict.fromkeys(tables["rrc"]["classifier"]))
    names = Names(labels)
    series = forest_series(tables["accuracy"], classifiers, names)
    widest = order["widest"]
    drawn = {
        "intervals_accuracy": interval_figures.forest(series),
        "intervals_chain": interval_figures.chain_chances(
            pd.DataFrame(order["thresholds"]), None if widest is None else (widest["from"], widest["to"])
        ),
    }
    sections = [numbers_section(tables, order, classifiers, series, names, warning(root)), order_section(order, names)]
    if order["seeds"] is not None:
        ranks = pd.DataFrame(order["seeds"]["ranks"]).T[list(order["seeds"]["mean_rank"])]
        drawn["intervals_seeds"] = interval_figures.ranks_by_seed(ranks.rename(columns=names.column))
        sections.append(seeds_section(tables, order["seeds"], classifiers, names))
    lead = ""
    if widest is not None:
        lead = f"Of resamples of the test images {100 * widest['same_order_share']:.1f} % give exactly this order."
    return Part(sections, drawn, files, lead=lead)


class Names:
    """Names as people read them.

    Args:
        labels: What people call each classifier.
    """

    def __init__(self, labels: Mapping[str, str]) -> None:
        self._labels, self._rows = labels, row_names(labels)

    def column(self, name: str) -> str:
        """Of a classifier."""
        return self._labels.get(name, name.replace("_", " "))

    def row(self, name: str) -> str:
        """Of a source of images."""
        return self._rows.get(name, name.replace("_", " "))


def warning(root: Path) -> str:
    """A sentence where the predictions are not those that the intervals were made from."""
    predictions, provenance = root / "cross_evaluation" / "predictions.npz", root / "intervals" / "provenance.json"
    if not (predictions.exists() and provenance.exists()):
        return ""
    used = json.loads(provenance.read_text(encoding="utf-8"))["inputs"]["predictions"]
    with predictions.open("rb") as file:
        same = hashlib.file_digest(file, "sha256").hexdigest() == used
    text = "<strong>These intervals are of an earlier cross evaluation: run task=intervals, then task=report.</strong> "
    return "" if same else text


def forest_series(accuracy: pd.DataFrame, classifiers: list[str], names: Names) -> dict[str, pd.DataFrame]:
    """For originals, A_S, own A_i and each control: every classifier's accuracy, with its interval."""
    columns = set(accuracy["classifier"])
    sources = [name for name in dict.fromkeys(accuracy["autoencoder"]) if name not in columns]
    first = [name for name in (ORIGINAL, PRETRAINED) if name in sources]
    series = {}
    for source in [*first, OWN, *(name for name in sources if name not in first)]:
        row = accuracy["classifier"] if source == OWN else source
        found = accuracy[accuracy["autoencoder"] == row].set_index("classifier")
        name = OWN if source == OWN else names.row(source)
        series[name] = found.loc[classifiers, ["estimate", "lower", "upper"]].rename(index=names.column)
    return series


def cell(row: Mapping[Any, Any]) -> str:
    """An estimate with its interval."""
    return f"{row['estimate']:.3f} [{row['lower']:.3f}, {row['upper']:.3f}]"


def matrix(table: pd.DataFrame, rows: str, columns: str) -> pd.DataFrame:
    """A long table of intervals as a matrix of texts; empty where a cell is not there."""
    texts = table.assign(text=[cell(row) for row in table.to_dict("records")])
    names = list(dict.fromkeys(table[columns]))
    wide = texts.pivot(index=rows, columns=columns, values="text")
    return wide.loc[list(dict.fromkeys(table[rows])), names].fillna("").rename_axis(columns=None)


def training_or_signal(differences: pd.DataFrame) -> str:
    """How much of what A_i gains over A_S more training gives as well, where the control was made."""
    gained = differences.groupby("minus")["estimate"].mean()
    if not {PRETRAINED, "extra_training"} <= set(gained.index):
        return ""
    total, signal = 100 * float(gained[PRETRAINED]), 100 * float(gained["extra_training"])
    return (
        f"On their own autoencoders’ images the classifiers are {total:.1f} points better than on A<sub>S</sub>’s, on "
        f"average. Training A<sub>S</sub> on for as long without a classifier gives {total - signal:.1f} of them; the "
        f"other {signal:.1f} come from the classifiers’ own signal."
    )


def numbers_section(
    tables: Mapping[str, pd.DataFrame],
    order: Mapping[str, Any],
    classifiers: list[str],
    series: Mapping[str, pd.DataFrame],
    names: Names,
    caution: str,
) -> Section:
    """How sure the accuracies, differences, RRC and nMI are."""
    level = f"{100 * order['level']:g} %"
    differences = tables["differences"].assign(
        classifier=tables["differences"]["classifier"].map(names.column),
        minus="own A_i − " + tables["differences"]["minus"].map(names.row),
    )
    nmi = tables["nmi"].assign(autoencoder=tables["nmi"]["autoencoder"].map(names.row))
    shown = {
        f"Accuracy, with {level} intervals": pd.DataFrame(
            {name: [cell(row) for row in table.to_dict("records")] for name, table in series.items()},
            index=[names.column(name) for name in classifiers],
        )
    }
    if len(differences):
        shown["What the own autoencoder changes, on the same images"] = matrix(differences, "classifier", "minus")
    if len(classifiers) <= WIDEST_MATRIX:
        rrc = tables["rrc"].assign(
            autoencoder=tables["rrc"]["autoencoder"].map(names.row),
            classifier=tables["rrc"]["classifier"].map(names.column),
        )
        shown["Relative rates of change"] = matrix(rrc, "autoencoder", "classifier")
    shown["Normalised mutual information, mean"] = matrix(nmi, "autoencoder", "kind")
    clear = int(((tables["differences"]["lower"] > 0) | (tables["differences"]["upper"] < 0)).sum())
    text = (
        f"{caution}Dots are this study’s accuracies, lines {level} intervals: how far other images of the same kind "
        f"would move them ({order['images']:,} images, {order['resamples']:,} resamples, the same for every network). "
        "All networks saw the same images, so whether one dot lies above another is told by the table of differences, "
        f"not by overlapping lines: {clear} of its {len(differences)} intervals leave out 0. The intervals cannot show "
        "what another training would change, and where all images were right they have no width although the truth may "
        f"be off by {3 / order['images']:.2g}. {training_or_signal(tables['differences'])}"
    )
    return Section("How sure are these numbers?", text, "intervals_accuracy", shown)


def order_section(order: Mapping[str, Any], names: Names) -> Section:
    """Whether other images would give the same order, and what goes with a place in it."""
    text = (
        "The line is the share of resamples of the images in which the classifiers are totally ordered at a threshold; "
        "shaded are the thresholds at which this study orders them. A share near 1 over a shaded range says that being "
        "a chain there is no accident of the images; it says nothing of another training. "
    )
    tables: dict[str, pd.DataFrame] = {}
    widest = order["widest"]
    if widest is None:
        text += "In this study there is no order at any threshold. "
    else:
        text += (
            f"At {widest['threshold']:.3f}, the middle of the widest order, {100 * widest['chain_share']:.1f} % of the "
            f"resamples are a chain and {100 * widest['same_order_share']:.1f} % have exactly this study’s groups in "
            "its order. "
        )
        if widest["neighbours"]:
            pairs = [f"{names.column(p['first'])} {p['relation']} {names.column(p['second'])}"
                     for p in widest["neighbours"]]  # fmt: skip
            shares = [f"{100 * p['share']:.1f} %" for p in widest["neighbours"]]
            caption = "Neighbours in the order (<: fewer autoencoders serve the first; =: equally many)"
            tables[caption] = pd.DataFrame({"share of resamples": shares}, index=pairs)
    if order["left_out"]:
        text += f"{order['left_out']} resamples are left out: in them a classifier was never right on its own images. "
    if found := [row for row in order["correlations"] if row["spearman"] is not None]:
        text += (
            "The last table asks whether a classifier’s place goes with what else is known of it (Spearman’s rank "
            f"correlation). Its wider interval allows for other classifiers too, and with {found[0]['classifiers']} "
            "of them it is as wide as it must be."
        )
        tables["The place in the order, and what goes with it"] = correlation_table(found)
    return Section("Would other images give the same order?", text, "intervals_chain", tables)


def correlation_table(rows: list[dict[str, Any]]) -> pd.DataFrame:
    """Correlations with both of their intervals."""
    places = {"serving": "autoencoders that serve it", "mean RRC": "mean RRC received"}
    return pd.DataFrame(
        {
            "place": [places[row["place"]] for row in rows],
            "correlation": [row["spearman"] for row in rows],
            "other images": [f"[{row['lower_images']:.2f}, {row['upper_images']:.2f}]" for row in rows],
            "other images and classifiers": [f"[{row['lower']:.2f}, {row['upper']:.2f}]" for row in rows],
        },
        index=[row["covariate"] for row in rows],
    )


def in_words(mean_rank: Mapping[str, float], names: Names) -> str:
    """Classifiers by mean rank, ascending, in one line."""
    text, before = "", None
    for name, rank in mean_rank.items():
        text += ("" if before is None else " = " if rank == before else " < ") + names.column(name)
        before = rank
    return text


def seeds_section(
    tables: Mapping[str, pd.DataFrame], seeds: Mapping[str, Any], classifiers: list[str], names: Names
) -> Section:
    """Whether other seeds would give the same order, and how far they move the numbers."""
    ranked = html.escape(in_words(seeds["mean_rank"], names))
    place = "the mean RRC that they receive"
    if seeds["threshold"] is not None:
        place = f"the number of autoencoders that serve them at the threshold {seeds['threshold']:.3f}"
    agreement = "" if seeds["kendall_w"] is None else (
        f" The seeds agree with Kendall’s W = {seeds['kendall_w']:.2f} (1: the same ranks with every seed; 0: none in "
        "common)."
    )  # fmt: skip
    text = (
        f"Every A<sub>i</sub> was trained with the seeds {', '.join(map(str, seeds['seeds']))}. With each of them "
        f"alone the classifiers are ranked by {place}; dots are ranks, bars their means. By mean rank: "
        f"<strong>{ranked}</strong>.{agreement} A few seeds "
        "show roughly how far training moves a number, and no more."
    )
    own = tables["accuracy"].query("autoencoder == classifier").set_index("classifier").loc[classifiers]
    others = tables["rrc"].query("autoencoder != classifier")
    others = others.set_index(
        others["autoencoder"].map(names.row) + " → " + others["classifier"].map(names.column)
    ).nlargest(10, "seed_std")
    shown = {
        "Own accuracy over the seeds": own.rename(index=names.column)[["estimate", *SPREAD]].rename(columns=SPREAD),
        "Relative rates of change that differ most between seeds": others[["estimate", *SPREAD]].rename(columns=SPREAD),
    }
    return Section("Would other seeds give the same order?", text, "intervals_seeds", shown)
