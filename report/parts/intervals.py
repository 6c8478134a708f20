"""Confidence intervals of the study's numbers and of its order: ``intervals/``, as ``task=intervals`` writes it."""

import json
from collections.abc import Mapping
from itertools import groupby
from pathlib import Path
from typing import Any

import pandas as pd

from report.figures import intervals as interval_figures
from report.names import classifier_title, order_text, source_title
from report.page import Part
from report.provenance import is_outdated
from report.tables import read_table
from report.words import in_words, measure
from stats.names import ORIGINAL, OWN, PRETRAINED, in_measure

TEMPLATE = "report/templates/intervals.html.j2"
TABLES = ("accuracy", "accuracy_top5", "differences", "gains", "rrc", "nmi")
WIDEST_MATRIX = 8  # classifiers
MOST_SPREAD = 10  # rows of the table of relative rates of change that differ most between seeds
SPREAD = {"seed_std": "standard deviation", "seed_min": "smallest", "seed_max": "largest"}


def read(root: Path, titles: Mapping[str, str]) -> Part | None:
    """The part of a study in which ``task=intervals`` has run.

    Args:
        root: The study's folder.
        titles: Display name of each classifier.
    """
    folder = root / "intervals"
    paths = {name: folder / f"{in_measure(name, measure())}.csv" for name in TABLES}
    files = [*paths.values(), folder / "order.json"]
    if not all(path.exists() for path in files):
        return None
    tables = {name: read_table(path) for name, path in paths.items()}
    order = json.loads((folder / "order.json").read_text(encoding="utf-8"))
    widest, seeds = order["widest"], order["seeds"]
    level, classifiers = level_of(root), list(dict.fromkeys(tables["rrc"]["classifier"]))
    series = forest_series(tables["accuracy"], classifiers, titles)
    drawn = {
        f"intervals_{measure()}": interval_figures.forest(series),
        "intervals_chain": interval_figures.chain_chances(
            pd.DataFrame(order["thresholds"]), None if widest is None else (widest["from"], widest["to"])
        ),
    }
    values = {
        "level": level,
        "outdated": is_outdated(root, "intervals"),
        "order": order,
        "widest": widest,
        "seeds": seeds,
        "number_tables": number_tables(tables, series, titles, level),
        "intervals": len(tables["differences"]),
        "clear": int(tables["gains"]["clear"].sum()),
        "gains": tables["gains"].set_index("minus")["mean"].to_dict(),
        "neighbours": None if widest is None else neighbour_table(widest["neighbours"], titles),
        "correlations": correlation_table([row for row in order["correlations"] if row["spearman"] is not None]),
        "classifiers": len(classifiers),
    }
    if seeds is not None:
        ranks = pd.DataFrame(seeds["ranks"]).T[list(seeds["mean_rank"])]
        drawn["intervals_seeds"] = interval_figures.ranks_by_seed(ranks.rename(columns=titles))
        values |= {"by_rank": order_by_rank(seeds["mean_rank"], titles)}
        values |= {"seed_tables": seed_tables(tables, classifiers, titles)}
    return Part(TEMPLATE, values, drawn, files)


def level_of(root: Path) -> str:
    """The level of the study's intervals, as ``95 %``."""
    order = json.loads((root / "intervals" / "order.json").read_text(encoding="utf-8"))
    return f"{100 * order['level']:g} %"


def forest_series(accuracy: pd.DataFrame, classifiers: list[str], titles: Mapping[str, str]) -> dict[str, pd.DataFrame]:
    """For originals, A_S, own A_i and each control: the accuracy of every classifier, with its interval."""
    columns = set(accuracy["classifier"])
    sources = [name for name in dict.fromkeys(accuracy["autoencoder"]) if name not in columns]
    first = [name for name in (ORIGINAL, PRETRAINED) if name in sources]
    series = {}
    for source in [*first, OWN, *(name for name in sources if name not in first)]:
        row = accuracy["classifier"] if source == OWN else source
        of_source = accuracy[accuracy["autoencoder"] == row].set_index("classifier")
        name = OWN if source == OWN else source_title(source, titles)
        series[name] = of_source.loc[classifiers, ["estimate", "lower", "upper"]].rename(index=titles)
    return series


def number_tables(
    tables: Mapping[str, pd.DataFrame],
    series: Mapping[str, pd.DataFrame],
    titles: Mapping[str, str],
    level: str,
) -> dict[str, pd.DataFrame]:
    """The tables of numbers with their intervals, by caption."""
    columns = {name: cells(table) for name, table in series.items()}
    shown = {in_words(f"Accuracy, with {level} intervals"): pd.DataFrame(columns)}
    if len(tables["differences"]):
        differences = titled(tables["differences"], titles)
        differences["minus"] = f"{OWN} − " + differences["minus"].map(lambda name: source_title(name, titles))
        caption = in_words("Accuracy on the own autoencoder minus accuracy on other sources")
        shown[caption] = matrix(differences, "classifier", "minus")
    if tables["rrc"]["classifier"].nunique() <= WIDEST_MATRIX:
        shown["Relative rates of change"] = matrix(titled(tables["rrc"], titles), "autoencoder", "classifier")
    shown["Normalised mutual information, mean"] = matrix(titled(tables["nmi"], titles), "autoencoder", "kind")
    return shown


def titled(table: pd.DataFrame, titles: Mapping[str, str]) -> pd.DataFrame:
    """A long table with the names that people read."""
    named = table.copy()
    if "autoencoder" in table:
        named["autoencoder"] = table["autoencoder"].map(lambda name: source_title(name, titles))
    if "classifier" in table:
        named["classifier"] = table["classifier"].map(lambda name: classifier_title(name, titles))
    return named


def cells(table: pd.DataFrame) -> pd.Series:
    """Estimates with their intervals, as text."""
    texts = [f"{row['estimate']:.3f} [{row['lower']:.3f}, {row['upper']:.3f}]" for row in table.to_dict("records")]
    return pd.Series(texts, table.index, dtype=object)


def matrix(table: pd.DataFrame, rows: str, columns: str) -> pd.DataFrame:
    """A long table of intervals as a matrix of texts; empty where there is no such cell."""
    wide = table.assign(text=cells(table)).pivot(index=rows, columns=columns, values="text")
    wide = wide.loc[list(dict.fromkeys(table[rows])), list(dict.fromkeys(table[columns]))]
    return wide.fillna("").rename_axis(columns=None)


def neighbour_table(neighbours: list[dict[str, Any]], titles: Mapping[str, str]) -> pd.DataFrame | None:
    """The neighbours in the order, with the share of resamples that agree."""
    if not neighbours:
        return None
    shares = {
        f"{titles.get(pair['first'], pair['first'])} {pair['relation']} {titles.get(pair['second'], pair['second'])}": (
            f"{100 * pair['share']:.1f} %"
        )
        for pair in neighbours
    }
    return pd.DataFrame.from_dict(shares, orient="index", columns=["share of resamples"])


def correlation_table(rows: list[dict[str, Any]]) -> pd.DataFrame | None:
    """Correlations of the position in the order with other numbers, each with both of its intervals."""
    if not rows:
        return None
    return pd.DataFrame(
        {
            "position": [row["position"] for row in rows],
            "correlation": [row["spearman"] for row in rows],
            "other images": [f"[{row['lower_images']:.2f}, {row['upper_images']:.2f}]" for row in rows],
            "other images and classifiers": [f"[{row['lower']:.2f}, {row['upper']:.2f}]" for row in rows],
        },
        index=[row["covariate"] for row in rows],
    )


def order_by_rank(mean_rank: Mapping[str, float], titles: Mapping[str, str]) -> str:
    """Classifiers by mean rank, ascending, in one line."""
    groups = groupby(mean_rank, key=lambda name: mean_rank[name])
    return order_text([[titles.get(name, name) for name in group] for _, group in groups])


def seed_tables(
    tables: Mapping[str, pd.DataFrame], classifiers: list[str], titles: Mapping[str, str]
) -> dict[str, pd.DataFrame]:
    """How far other seeds move the numbers, by caption."""
    of_own = tables["accuracy"].query("autoencoder == classifier").set_index("classifier").loc[classifiers]
    others = titled(tables["rrc"].query("autoencoder != classifier"), titles).nlargest(MOST_SPREAD, "seed_std")
    others = others.set_index(others["autoencoder"] + " → " + others["classifier"])
    columns = ["estimate", *SPREAD]
    return {
        in_words("Accuracy on the own autoencoder over the seeds"): of_own.rename(index=titles)[columns].rename(
            columns=SPREAD
        ),
        "Relative rates of change that differ most between seeds": others[columns].rename(columns=SPREAD),
    }
