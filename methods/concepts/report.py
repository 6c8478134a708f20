"""The part of the report on concepts: reads what the task has written; ``report.html.j2`` has the words."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from methods.concepts import figures
from methods.concepts.cards import Card, concept_cards, pixel_pictures
from methods.concepts.controls import CONCEPTS, LAYER, PERMUTED, UNTRAINED
from methods.concepts.record import ConceptRecord
from report.names import spaced
from report.page import Part
from report.tables import read_table
from report.text import file_key
from study.records import read_record

TEMPLATE = "methods/concepts/report.html.j2"
METHOD = "Concepts shared by images, neurons and pixels: arXiv 2012.12516."
FILES = ("concepts", "controls", "profile", "classes")
OPTIONAL = ("cues", "stability", "ranks", "importance", "impurity")
MOST_CARDS = 40
MOST_CLASSES = 100
SIGNIFICANT = 0.05
NAMES = {  # of the controls, for people
    CONCEPTS: "the network’s concepts",
    UNTRAINED: "untrained network",
    PERMUTED: "labels permuted",
    "pixels": "pixels alone",
    "activations": "activations alone",
    "kmeans": "k-means",
    "pca": "PCA",
    "published": "published algorithm",
}
MEASURES = {  # columns of controls.csv, and their headings
    "cluster_entropy": "within clusters",
    "superclass_entropy": "super-class entropy",
    "purity": "purity",
    "nmi": "NMI",
    "ari": "ARI",
    "superclass_nmi": "NMI, super-classes",
    "knn_impurity_auroc": "AUROC of impurity for errors",
    "knn_accuracy": "accuracy of neighbours",
    "error": "relative squared error",
}
IMAGES = {"fitted": "images factorised", "heldout": "images held out"}
Tables = Mapping[str, pd.DataFrame]


def read(root: Path, titles: Mapping[str, str]) -> Part | None:
    """The part, or ``None`` where the task has not run.

    Args:
        root: Folder of the study.
        titles: Display name of each classifier.
    """
    folder = root / "concepts"
    if not all((folder / f"{name}.csv").exists() for name in FILES):
        return None
    paths = [path for name in (*FILES, *OPTIONAL) if (path := folder / f"{name}.csv").exists()]
    tables = dict.fromkeys(OPTIONAL, pd.DataFrame(columns=["classifier"])) | {
        path.stem: read_table(path, "cue", "value") for path in paths
    }
    controls = renamed(tables["controls"], titles)
    dots = figures.control_dots(controls.assign(control=controls["control"].map(control_name)))
    classifiers, drawn = [], {"concepts_controls": dots}
    for name in tables["controls"]["classifier"].unique():
        selected = {
            table: content[content["classifier"] == name].reset_index(drop=True) for table, content in tables.items()
        }
        record, matrix = folder / f"{name}.npz", folder / f"{name}-stability.npz"
        key = file_key(name)
        classifiers.append({"title": titles.get(name, name), "key": key} | described(selected))
        drawn |= {f"concepts_{what}{key}": figure for what, figure in draw(selected, record, matrix).items()}
        paths += [path for path in (record, matrix) if path.exists()]
    layers, ranks = layer_table(controls), renamed(tables["ranks"], titles)
    impurity = renamed(tables["impurity"], titles)
    shared = {"layers": (figures.layer_entropies, layers), "ranks": (figures.rank_curves, ranks)}
    shared["impurity"] = (figures.impurity_curves, impurity)
    drawn |= {f"concepts_{what}": drawer(table) for what, (drawer, table) in shared.items() if len(table)}
    lowest = layers.sort_values("class_entropy", kind="stable").drop_duplicates("classifier").sort_index()
    values = {
        "classifiers": classifiers,
        "cards": MOST_CARDS,
        "most_classes": MOST_CLASSES,
        "lowest": lowest.to_dict("records"),
        "ranks": rank_table(ranks),
        "impurity": impurity_bins(impurity),
        "impurity_table": impurity_table(impurity),
    }
    return Part(TEMPLATE, values, drawn, paths, METHOD)


def renamed(table: pd.DataFrame, titles: Mapping[str, str]) -> pd.DataFrame:
    """A table with display names of the classifiers."""
    return table.replace({"classifier": dict(titles)})


def control_name(control: str) -> str:
    """Display name of a control; one layer of an untrained network is ``untrained layer:<name>``."""
    if control.startswith(f"{UNTRAINED} {LAYER}"):
        return f"{control.removeprefix(f'{UNTRAINED} {LAYER}')} alone, untrained"
    return f"{control.removeprefix(LAYER)} alone" if control.startswith(LAYER) else NAMES.get(control, control)


def described(tables: Tables) -> dict[str, Any]:
    """What the template says of one classifier: counts, rows of tables, and tables to print."""
    concepts, controls = tables["concepts"], tables["controls"]
    rows = {row["control"]: row for row in controls.to_dict("records")}
    alive = concepts[~concepts["dead"].astype(bool)]
    optional = {"cues": cue_values, "stability": stability_values, "importance": importance_values}
    return {
        "alive": len(alive),
        "dead": len(concepts) - len(alive),
        "significant": int((alive["q"] < SIGNIFICANT).sum()),
        "concepts": rows[CONCEPTS],
        "is_significant": rows[CONCEPTS]["p"] < SIGNIFICANT,
        "untrained": rows.get(UNTRAINED),
        "controls": control_table(controls),
        "card_table": card_table(concepts),
        "class_count": tables["classes"]["class"].nunique(),
    } | {name: describe(tables[name]) if len(tables[name]) else None for name, describe in optional.items()}


def draw(tables: Tables, record: Path, matrix: Path) -> dict[str, Figure]:
    """The figures of one classifier, by what their names begin with."""
    drawn = {}
    concepts, cosines, importance = (tables[name] for name in ("concepts", "stability", "importance"))
    if record.exists() and not concepts["dead"].all():
        drawn[""] = draw_cards(read_record(ConceptRecord, record), concepts, tables["profile"])
        drawn["classes_"] = draw_classes(tables["classes"], concepts)
    if len(cosines) and matrix.exists():
        with np.load(matrix) as file:
            drawn["stability_"] = figures.stability_matrix(file["matrix"], cosines["concept"].tolist())
    if len(importance):
        drawn["importance_"] = figures.importance_dots(importance)
    return drawn


def shown_concepts(concepts: pd.DataFrame) -> pd.DataFrame:
    """The live concepts that have a card, the lowest class entropy first."""
    alive = concepts[~concepts["dead"].astype(bool)]
    return alive.sort_values("class_entropy", kind="stable").head(MOST_CARDS)


def draw_cards(record: ConceptRecord, concepts: pd.DataFrame, profile: pd.DataFrame) -> Figure:
    """Cards of the concepts."""
    pictures, blocks = pixel_pictures(record), [str(block) for block in record.blocks]
    shares = profile.pivot(index="concept", columns="block", values="share")[blocks]
    cards = []
    for row in shown_concepts(concepts).to_dict("records"):
        concept = int(row["concept"])
        title = f"{concept} · {spaced(row['top_class'])[:24]}, {row['top_class_mass']:.0%}"
        note = "" if pd.isna(row["class_entropy"]) else f"entropy {row['class_entropy']:.2f}"
        picture = None if pictures is None else pictures[concept]
        cards.append(Card(title, note, record.top_images[concept], picture, shares.loc[concept].to_dict()))
    return concept_cards(cards)


def draw_classes(classes: pd.DataFrame, concepts: pd.DataFrame) -> Figure:
    """Concepts by class, the concepts in the order of the classes with most of their mass."""
    order: list[str] = classes["class"].unique().tolist()
    wide = classes.pivot(index="class", columns="concept", values="share")
    parents = dict(zip(classes["class"], classes["superclass"], strict=True)) if "superclass" in classes else {}
    if parents:
        order.sort(key=parents.__getitem__)
    shares = wide.loc[order, shown_concepts(concepts)["concept"].tolist()]
    shares = shares[shares.index.isin(shares.max(axis=1).nlargest(MOST_CLASSES).index)]
    values = shares.to_numpy()
    columns = np.lexsort((-values.max(axis=0), values.argmax(axis=0)))
    groups = [parents[str(name)] for name in shares.index] if parents else None
    return figures.class_map(shares.iloc[:, columns].rename_axis(None, axis=1), groups)


def control_table(controls: pd.DataFrame) -> pd.DataFrame:
    """All numbers of the concepts and controls of a classifier."""
    shown = pd.DataFrame(index=[control_name(str(control)) for control in controls["control"]])
    shown["concepts"] = controls["concepts"].to_numpy()
    shown["class entropy"] = digits(controls["class_entropy"])
    shown["permuted labels"] = intervals(controls, "null_mean", "null_lower", "null_upper")
    shown["p"] = controls["p"].map("{:.2g}".format).to_numpy()
    others = controls.mask(controls["control"].isin([CONCEPTS, PERMUTED]))  # a dash: no difference to themselves
    for heading, column in (("difference", "difference"), ("difference within clusters", "cluster_difference")):
        shown[heading] = intervals(others, column, f"{column}_lower", f"{column}_upper", "+")
    for column, heading in MEASURES.items():
        if controls[column].notna().any():
            shown[heading] = digits(controls[column])
    return shown


def intervals(table: pd.DataFrame, value: str, lower: str, upper: str, sign: str = "") -> list[str]:
    """Numbers with the ends of their intervals, a dash where there is none."""
    columns = table[[value, lower, upper]].itertuples(index=False)
    return ["–" if pd.isna(middle) else f"{middle:{sign}.3f} [{low:.3f}, {high:.3f}]" for middle, low, high in columns]


def digits(values: pd.Series, form: str = ".3f") -> list[str]:
    """Numbers as text, a dash where there is none."""
    return ["–" if pd.isna(value) else f"{value:{form}}" for value in values]


def card_table(concepts: pd.DataFrame) -> pd.DataFrame:
    """The numbers of each concept."""
    table = pd.DataFrame({
        "top class": concepts["top_class"].fillna("–").map(spaced), "of the concept": concepts["top_class_mass"],
        "class entropy": concepts["class_entropy"], "with permuted labels": concepts["null_mean"], "p": concepts["p"],
        "share of all concepts": concepts["mass"], "images": concepts["images"],
    })  # fmt: skip
    if concepts["superclass_entropy"].notna().any():
        table.insert(5, "top super-class", concepts["top_superclass"].fillna("–").map(spaced))
        table.insert(6, "super-class entropy", concepts["superclass_entropy"])
    for column in table.select_dtypes("float"):
        table[column] = digits(table[column])
    return table.set_index(concepts["concept"].astype(str) + concepts["dead"].map({True: " (dead)", False: ""}))


def layer_table(controls: pd.DataFrame) -> pd.DataFrame:
    """Class entropies of single layers in the order of the network, with those of all blocks and of random weights."""
    entropies = controls.set_index(["classifier", "control"])["class_entropy"].to_dict()
    single = controls[controls["control"].str.startswith(LAYER)]
    keys = list(zip(single["classifier"], single["control"], strict=True))
    return single.assign(
        layer=single["control"].str.removeprefix(LAYER),
        together=[entropies[name, CONCEPTS] for name, _ in keys],
        untrained=[entropies.get((name, f"{UNTRAINED} {control}"), np.nan) for name, control in keys],
    )


def cue_values(cues: pd.DataFrame) -> dict[str, Any]:
    """How many values of planted cues have a concept."""
    above = cues["auroc"] > cues["null_upper"]
    names = cues["cue"].astype(str) + " " + cues["value"].astype(str)
    concepts = ["–" if concept < 0 else str(concept) for concept in cues["concept"]]
    columns = {"concept": concepts, "AUROC": digits(cues["auroc"]), "by chance": digits(cues["null_upper"])}
    counts = cues.assign(above=above).groupby("cue", sort=False)["above"].agg(["sum", "size"])
    return {
        "above": int(above.sum()),
        "total": len(cues),
        "matched": int((cues["concept"] >= 0).sum()),
        "mean": cues["auroc"].mean(),
        "null_upper": cues["null_upper"].iloc[0],
        "counts": [f"{cue} {count} of {size}" for cue, count, size in counts.itertuples()],
        "table": pd.DataFrame(columns).set_index(names),
    }


def stability_values(cosines: pd.DataFrame) -> dict[str, Any]:
    """How similar concepts are to their matches in other starts."""
    columns = {"cosine with its match": digits(cosines["cosine"]), "by chance": digits(cosines["chance"])}
    return {
        "cosine": cosines["cosine"].mean(),
        "chance": cosines["chance"].mean(),
        "near": int((cosines["cosine"] > (1 + cosines["chance"]) / 2).sum()),
        "table": pd.DataFrame(columns).set_index(cosines["concept"]),
    }


def importance_values(importance: pd.DataFrame) -> dict[str, Any]:
    """In how many pairs of concept and layer the removal has a larger effect than the control, and where most."""
    excess = importance["logit_drop"] - importance["control_logit_drop"]
    columns = {
        "images": importance["images"],
        "decrease of the logit": digits(importance["logit_drop"]),
        "decisions changed": digits(importance["changed"], ".1%"),
        "decrease, random channels": digits(importance["control_logit_drop"]),
        "decisions changed, random channels": digits(importance["control_changed"], ".1%"),
    }
    rows = importance["block"] + ", concept " + importance["concept"].astype(str)
    return {
        "larger": int((excess > 0).sum()),
        "pairs": len(importance),
        "most": importance.to_dict("records")[int(excess.to_numpy().argmax())],
        "table": pd.DataFrame(columns).set_index(rows),
    }


def rank_table(ranks: pd.DataFrame) -> pd.DataFrame:
    """Errors and stability for each number of concepts."""
    names = {"heldout_error": "error of the other half, held out", "stability": "cosine with other starts"}
    if not len(ranks):
        return ranks
    shown = ranks.assign(k=ranks["k"].astype(str)).set_index("classifier")
    return shown.rename(columns=names | {"chance": "by chance"})


def impurity_bins(impurity: pd.DataFrame) -> list[dict[str, Any]]:
    """The bins of each classifier and kind of image, the purest first."""
    if not len(impurity):
        return []
    groups = impurity.assign(images=impurity["images"].map(IMAGES)).groupby(["classifier", "images"], sort=False)
    return [{"classifier": name, "images": kind, "bins": part.to_dict("records")} for (name, kind), part in groups]


def impurity_table(impurity: pd.DataFrame) -> pd.DataFrame:
    """Accuracy by impurity, a row for each classifier and kind of image."""
    cells: dict[str, dict[str, str]] = {}
    rows = impurity.to_dict("records")
    for row in sorted(rows, key=lambda row: row["low"]):
        heading = f"{100 * row['low']:.0f} – {100 * row['high']:.0f} %"
        text = f"{row['accuracy']:.1%} of {row['count']}"
        cells.setdefault(heading, {})[f"{row['classifier']}, {IMAGES[row['images']]}"] = text
    names = dict.fromkeys(f"{row['classifier']}, {IMAGES[row['images']]}" for row in rows)
    return pd.DataFrame(cells, index=list(names)).fillna("–")
