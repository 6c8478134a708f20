"""Part of the report: how far concepts can be trusted, what the network does without them, and planted ones."""

import html
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from methods.concepts.figures import importance_dots, impurity_curves, rank_curves, stability_matrix
from methods.concepts.report import FOLDER, names_of, of, read_concepts, safe
from methods.concepts.report_words import number
from report.page import Part, Section

Drawn = tuple[list[Section], dict[str, Figure], list[Path]]
NOTHING: Drawn = ([], {}, [])
STABLE = (
    "The same blocks were factorised again from other starts, and every concept was matched with one of each: 1 is the "
    "same pattern of pixels and neurons. By chance, with each concept’s neurons shuffled within its blocks, matches "
    "have the level beside it. A concept that is not found again well above that is one way to cut up the images of "
    "several: do not build on it alone. "
)
MATRIX = (
    "Rows are the concepts, columns their matches in other starts, mean over these. A dark diagonal says that they are "
    "found again; a dark cell beside it, that two concepts are nearly one."
)
RANKS = (
    "What more concepts buy. Left: what is left of pixels and activations in the images factorised; and, in images "
    "held out, what half of the columns tells of the other half. The first can only fall; where the second stops "
    "falling, further concepts describe single images. Right: how well the concepts are found again from another "
    "start. A good number is one beyond which images held out gain little while the match falls. "
)
IMPURE = (
    "An image is <em>impure</em> where its neighbours, those with the most similar mix of concepts, are of other "
    "classes than it is. Accuracy of the network by impurity: where the line falls, images among strangers are those "
    "that the network gets wrong. Neighbours of images held out are images factorised. Bars: 95 % intervals. It is no "
    "alarm for new images, since their own label has to be known; an image with a wrong label is both impure and an "
    "error. "
)
MATTERS = (
    "One concept at a time was taken out of a layer’s activation, in images held out that have most of it, and the "
    "rest of the network run on: of every neuron the share that the concept explains. Filled: by how much the logit of "
    "the class that the network said falls; hollow: by how much when as much is taken out of random channels. Where "
    "both are alike, the network does not care for the concept in particular. Each dot is from few images: small "
    "differences may be chance. "
)
PLANTED = (
    "These images were drawn, so what is in them is known. For each value of each cue: the concept that tells best "
    "which images have it, no concept for two values. AUROC 1: always right, 0.5: no better than guessing. "
)


def read(root: Path, labels: Mapping[str, str]) -> Part | None:
    """The part, or ``None`` where nothing of it was measured.

    Args:
        root: The study's folder.
        labels: What people call each classifier.
    """
    folder = root / FOLDER
    drawn = [part(folder, labels) for part in (planted, stability, ranks, importance, impurity)]
    sections = [section for found, _, _ in drawn for section in found]
    if not sections:
        return None
    figures = {name: figure for _, found, _ in drawn for name, figure in found.items()}
    return Part(sections, figures, [path for _, _, found in drawn for path in found])


def table_of(path: Path) -> pd.DataFrame | None:
    """A table, or ``None`` if it is missing or has no row."""
    table = read_concepts(path) if path.exists() else pd.DataFrame()
    return table if len(table) else None


def planted(folder: Path, labels: Mapping[str, str]) -> Drawn:
    """Whether cues of drawn images appear as concepts."""
    path = folder / "cues.csv"
    table = table_of(path)
    if table is None:
        return NOTHING
    told, tables = [], {}
    for name in names_of(table):
        own, called = of(table, name), labels.get(name, name)
        found, given = own["auroc"] > own["null_upper"], int((own["concept"] >= 0).sum())
        told.append(
            f"{html.escape(called)}: {found.sum()} of {len(own)} values appear as a concept ({given} have one, "
            f"mean AUROC {own['auroc'].mean():.3f}; by chance the best of all has at most "
            f"{own['null_upper'].iloc[0]:.3f}, in 95 of 100 shuffles). Found of each cue: "
            f"{by_cue(own.assign(found=found))}."
        )
        tables[f"Cues and concepts of {called}"] = cue_table(own)
    return [Section("Do planted cues appear as concepts?", PLANTED + " ".join(told), tables=tables)], {}, [path]


def by_cue(table: pd.DataFrame) -> str:
    """How many values of each cue were found, in words."""
    parts = table.groupby("cue", sort=False)["found"].agg(["sum", "size"])
    return ", ".join(f"{html.escape(str(cue))} {found} of {size}" for cue, found, size in parts.itertuples())


def cue_table(cues: pd.DataFrame) -> pd.DataFrame:
    """Which concept stands for which value."""
    names = cues["cue"].astype(str) + " " + cues["value"].astype(str)
    concepts = ["–" if concept < 0 else str(concept) for concept in cues["concept"]]
    columns = {"concept": concepts, "AUROC": cues["auroc"].map(number), "chance": cues["null_upper"].map(number)}
    return pd.DataFrame(columns).set_index(names)


def stability(folder: Path, labels: Mapping[str, str]) -> Drawn:
    """Whether other starts find the same concepts."""
    path = folder / "stability.csv"
    table = table_of(path)
    if table is None:
        return NOTHING
    told, tables, drawn, files = [], {}, {}, [path]
    for name in names_of(table):
        own, called = of(table, name), labels.get(name, name)
        again = int((own["cosine"] > (1 + own["chance"]) / 2).sum())
        told.append(
            f"{html.escape(called)}: mean cosine {own['cosine'].mean():.3f}, by chance {own['chance'].mean():.3f}; "
            f"{again} of {len(own)} concepts are nearer to their match than half way from chance to 1."
        )
        columns = {"cosine with its match": own["cosine"].map(number), "by chance": own["chance"].map(number)}
        tables[f"How well each concept of {called} is found again"] = pd.DataFrame(columns).set_index(own["concept"])
        matrix = folder / f"{name}-stability.npz"
        if matrix.exists():
            with np.load(matrix) as file:
                drawn[called] = stability_matrix(file["matrix"], own["concept"].tolist())
            files.append(matrix)
    figures = {f"concepts_stability_{safe(name)}": figure for name, figure in drawn.items()}
    sections = [Section("Are the same concepts found again?", STABLE + " ".join(told), tables=tables)]
    sections += [
        Section(f"Concepts of {name} and their matches", MATRIX, f"concepts_stability_{safe(name)}") for name in drawn
    ]
    return sections, figures, files


def ranks(folder: Path, labels: Mapping[str, str]) -> Drawn:
    """What more concepts buy."""
    path = folder / "ranks.csv"
    table = table_of(path)
    if table is None:
        return NOTHING
    named = table.replace({"classifier": dict(labels)})
    shown = named.assign(k=named["k"].astype(str)).set_index("classifier").rename_axis(None)
    columns = {
        "heldout_error": "error of the other half, held out",
        "stability": "cosine with other starts",
        "chance": "by chance",
    }
    section = Section("How many concepts?", RANKS, "concepts_ranks", {"Numbers": shown.rename(columns=columns)})
    return [section], {"concepts_ranks": rank_curves(named)}, [path]


def impurity(folder: Path, labels: Mapping[str, str]) -> Drawn:
    """Whether images among images of other classes are those that the network gets wrong."""
    path = folder / "impurity.csv"
    table = table_of(path)
    if table is None:
        return NOTHING
    named = table.replace({"classifier": dict(labels)})
    shares = named.assign(row=named["classifier"] + ", " + named["images"].map(HELD))
    ends = [f"{100 * low:.0f} – {100 * high:.0f} %" for low, high in zip(shares["low"], shares["high"], strict=True)]
    texts = [f"{right:.1%} of {count}" for right, count in zip(shares["accuracy"], shares["count"], strict=True)]
    wide = shares.assign(column=ends, text=texts).pivot(index="row", columns="column", values="text")
    order = [*dict.fromkeys(end for _, end in sorted(zip(shares["low"], ends, strict=True)))]
    wide = wide.loc[shares["row"].unique(), order].fillna("–").rename_axis(None, axis=0).rename_axis(None, axis=1)
    section = Section(
        "Does the network err on images among strangers?", IMPURE + falls(named), "concepts_impurity",
        {"Accuracy by the share of neighbours of other classes": wide},
    )  # fmt: skip
    return [section], {"concepts_impurity": impurity_curves(named)}, [path]


HELD = {"fitted": "images factorised", "heldout": "images held out"}


def falls(table: pd.DataFrame) -> str:
    """Accuracy at both ends of the impurity, in words."""
    told = []
    for (name, images), part in table.groupby(["classifier", "images"], sort=False):
        first, last = part.iloc[0], part.iloc[-1]
        who = f"{html.escape(str(name))}, {HELD[str(images)]}"
        if len(part) > 1:
            told.append(
                f"{who}: {first['accuracy']:.0%} of {first['count']} purest, "
                f"{last['accuracy']:.0%} of {last['count']} most impure"
            )
        else:
            told.append(f"{who}: all have {100 * first['low']:.0f} to {100 * first['high']:.0f} % others around them")
    return f"{'; '.join(told)}."


def importance(folder: Path, labels: Mapping[str, str]) -> Drawn:
    """What the network does without a concept."""
    path = folder / "importance.csv"
    table = table_of(path)
    if table is None:
        return NOTHING
    sections, figures = [], {}
    for name in names_of(table):
        own, called = of(table, name), labels.get(name, name)
        figure = f"concepts_importance_{safe(name)}"
        figures[figure] = importance_dots(own)
        columns = {"images": own["images"]} if "images" in own else {}
        columns |= {
            "logit falls by": own["logit_drop"].map("{:.3f}".format),
            "decisions changed": own["changed"].map("{:.1%}".format),
            "logit falls by, random channels": own["control_logit_drop"].map("{:.3f}".format),
            "decisions changed, random channels": own["control_changed"].map("{:.1%}".format),
        }
        rows = own["block"] + ", concept " + own["concept"].astype(str)
        sections.append(
            Section(
                f"What {called} does without a concept", MATTERS + heaviest(own), figure,
                {"Every concept and layer": pd.DataFrame(columns).set_index(rows).rename_axis(None)},
            )
        )  # fmt: skip
    return sections, figures, [path]


def heaviest(table: pd.DataFrame) -> str:
    """The concept that matters most, and how many matter more than anything of their size, in words."""
    more = int((table["logit_drop"] > table["control_logit_drop"]).sum())
    best = table.to_dict("records")[int(np.argmax(table["logit_drop"] - table["control_logit_drop"]))]
    return (
        f"{more} of {len(table)} pairs of concept and layer cost more than the control. Most above it: concept "
        f"{best['concept']} in {html.escape(str(best['block']))}, without which the logit falls by "
        f"{best['logit_drop']:.2f} (control {best['control_logit_drop']:.2f}) and {best['changed']:.1%} of decisions "
        f"change ({best['control_changed']:.1%})."
    )
