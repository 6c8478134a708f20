"""Part of the report: the concepts that a network's layers and the pixels share, and what they are set against."""

import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from methods.concepts.cards import Card, concept_cards
from methods.concepts.controls import LAYER, OWN, UNTRAINED, control_name
from methods.concepts.figures import class_map, control_dots, layer_entropies
from methods.concepts.files import ConceptFile
from methods.concepts.pictures import pixel_pictures
from methods.concepts.report_words import called, card_table, control_table, deepest, finding
from report.page import Part, Section

FOLDER = "concepts"
FILES = ("concepts.csv", "controls.csv", "profile.csv", "classes.csv")
METHOD = "Concepts shared by images, neurons and pixels: arXiv 2012.12516."
MOST_CARDS = 40
MOST_CLASSES = 100

FOUND = "<strong>What is found.</strong> "
WHAT = (
    "<strong>What a concept is.</strong> The pixels of the images and the activations of several layers were taken "
    "apart together, into a few parts that only add up. Each part, a <em>concept</em>, is at once a group of images, "
    "a group of neurons in every layer, and a picture. Its <em>class entropy</em> says how it is spread over the "
    "classes: 0 where all of it is in one class, 1 where all classes have equally much. No label had a part in the "
    "search, so what agrees with the classes was in the network or in the pixels. "
)
READING = (
    "<strong>How to read it.</strong> Grey bars: what the same concepts have when the labels are shuffled; dots left "
    "of them keep to classes. The other rows are controls, factorised or grouped in as many parts. In the left panel "
    "compare only what overlaps with what overlaps: a cluster of k-means with few images has a low entropy whatever "
    "it is. In the right panel every image is in one cluster, that of its strongest part, and all rows can be "
    "compared. "
)
CANNOT = (
    "<strong>What this cannot show.</strong> That a concept goes with a class does not say that the network uses it: "
    "removing it does (<em>importance</em>, if it was measured). Another number of concepts or another start may give "
    "others: see how well they are found again. Intervals are over images, with the factorisation as it is."
)
CARDS = (
    "A card for each concept, those that keep to classes best first. The title has its number, the class that most of "
    "it is in, and how much. Left: its pixels, minus the mean image; grey is as in the mean image, brighter, darker "
    "and coloured is more or less than that (where the mean is warm, plain grey looks blue). It is an average, so what "
    "moves about blurs. Middle: the images with most of it. Right: how it is spread over the blocks, in per cent. A "
    "concept that is mostly pixels is colour or light at a place; one that is in late layers only is what the network "
    "has made of them. "
)
MAP = (
    "How much of each concept (columns) is in each class (rows); every column adds up to 1. A dark cell is a concept "
    "of one class; a column of several pale cells is something that these classes share. "
)
LAYERS = (
    "Concepts of one layer alone, from the first to the last. Where the line falls, classes come apart. Open circles: "
    "the same layer with random weights. Dashed: the concepts of all blocks together. "
)


def read(root: Path, labels: Mapping[str, str]) -> Part | None:
    """The part, or ``None`` where no concepts were searched.

    Args:
        root: The study's folder.
        labels: What people call each classifier.
    """
    files = [root / FOLDER / name for name in FILES]
    if not all(path.exists() for path in files):
        return None
    concepts, controls, profile, classes = (read_concepts(path) for path in files)
    sections, figures = [controls_section(concepts, controls, labels)], {"concepts_controls": dots(controls, labels)}
    found = [path for name in names_of(controls) if (path := root / FOLDER / f"{name}.npz").exists()]
    for path in found:
        if of(concepts, path.stem)["dead"].all():
            continue
        own, name = of(concepts, path.stem), labels.get(path.stem, path.stem)
        cards, shares = f"concepts_{safe(path.stem)}", f"concepts_classes_{safe(path.stem)}"
        figures[cards] = draw_cards(ConceptFile.load(path), own, of(profile, path.stem))
        figures[shares] = draw_classes(of(classes, path.stem), own)
        sections.append(Section(f"Concepts of {name}", CARDS + fewer_cards(own), cards, {"Concepts": card_table(own)}))
        sections.append(Section(f"Concepts and classes of {name}", MAP + fewer_classes(of(classes, path.stem)), shares))
    layers = layer_table(controls, labels)
    if len(layers):
        figures["concepts_layers"] = layer_entropies(layers)
        sections.append(Section("Which layer holds the classes", LAYERS + deepest(layers), "concepts_layers"))
    return Part(sections, figures, [*files, *found], method=METHOD)


def read_concepts(path: Path) -> pd.DataFrame:
    """A table of concepts, in which classes keep their names, be they ``007`` or ``null``."""
    names = ("classifier", "class", "superclass", "top_class", "top_superclass", "block")
    kinds = dict.fromkeys(names, str)
    return pd.read_csv(path, dtype=kinds, keep_default_na=False, na_values=[""])


def names_of(table: pd.DataFrame) -> list[str]:
    """The classifiers of a table."""
    names: list[str] = table["classifier"].unique().tolist()
    return names


def of(table: pd.DataFrame, name: str) -> pd.DataFrame:
    """The rows of a classifier."""
    return table[table["classifier"] == name].reset_index(drop=True)


def safe(name: str) -> str:
    """A name for a file."""
    return re.sub(r"[^A-Za-z0-9_.-]", "_", name)


def controls_section(concepts: pd.DataFrame, controls: pd.DataFrame, labels: Mapping[str, str]) -> Section:
    """What the concepts hold beside all controls, in words and numbers."""
    told = " ".join(
        finding(of(concepts, name), of(controls, name), labels.get(name, name)) for name in names_of(controls)
    )
    tables = {
        f"Concepts and controls of {labels.get(name, name)}": control_table(of(controls, name))
        for name in names_of(controls)
    }
    return Section("Concepts: what images, neurons and pixels share", FOUND + told + " " + WHAT + READING + CANNOT,
                   "concepts_controls", tables)  # fmt: skip


def dots(controls: pd.DataFrame, labels: Mapping[str, str]) -> Figure:
    """The figure of all controls."""
    named = controls.replace({"classifier": dict(labels)})
    if "cluster_entropy" not in named:
        named["cluster_entropy"] = np.nan
    return control_dots(named.assign(control=[control_name(str(control)) for control in named["control"]]))


def draw_cards(file: ConceptFile, concepts: pd.DataFrame, profile: pd.DataFrame) -> Figure:
    """Cards of the live concepts, the lowest class entropy first."""
    pictures = pixel_pictures(file)
    blocks = [str(block) for block in file.blocks]
    shares = profile.pivot(index="concept", columns="block", values="share")[blocks]
    cards = []
    for row in shown_concepts(concepts).to_dict("records"):
        concept = int(row["concept"])
        title = f"{concept} · {called(row['top_class'])[:24]}, {row['top_class_mass']:.0%}"
        note = "" if pd.isna(row["class_entropy"]) else f"entropy {row['class_entropy']:.2f}"
        cards.append(Card(
            title, note, file.top_images[concept], None if pictures is None else pictures[concept],
            {block: float(shares.loc[concept, block]) for block in blocks},  # type: ignore[arg-type]
        ))  # fmt: skip
    return concept_cards(cards)


def shown_concepts(concepts: pd.DataFrame) -> pd.DataFrame:
    """The live concepts that have a card, the lowest class entropy first."""
    alive = concepts[~concepts["dead"].astype(bool)]
    return alive.sort_values("class_entropy", kind="stable").head(MOST_CARDS)


def fewer_cards(concepts: pd.DataFrame) -> str:
    """That some have no card, if so."""
    left = int((~concepts["dead"].astype(bool)).sum()) - MOST_CARDS
    return f"{left} more have no card here; the table has them." if left > 0 else ""


def draw_classes(classes: pd.DataFrame, concepts: pd.DataFrame) -> Figure:
    """Concepts by class, concepts in the order of the classes that they have most of."""
    order: list[str] = classes["class"].unique().tolist()
    wide = classes.pivot(index="class", columns="concept", values="share")
    parents: dict[str, str] = {}
    if "superclass" in classes:
        parents = dict(zip(classes["class"], classes["superclass"], strict=True))
        order.sort(key=parents.__getitem__)
    shares = wide.loc[order, shown_concepts(concepts)["concept"].tolist()]
    if len(shares) > MOST_CLASSES:
        kept = set(shares.max(axis=1).nlargest(MOST_CLASSES).index)
        shares = shares[[name in kept for name in shares.index]]
    values = shares.to_numpy()
    columns = np.lexsort((-values.max(axis=0), values.argmax(axis=0)))
    groups = [parents[str(name)] for name in shares.index] if parents else None
    return class_map(shares.iloc[:, columns].rename_axis(None, axis=1), groups)


def fewer_classes(classes: pd.DataFrame) -> str:
    """That some classes are not shown, if so."""
    count = classes["class"].nunique()
    if count <= MOST_CLASSES:
        return ""
    return f"Of {count} classes those {MOST_CLASSES} are shown that some concept has most of."


def layer_table(controls: pd.DataFrame, labels: Mapping[str, str]) -> pd.DataFrame:
    """Class entropies of single layers in the order of the network, with those of all blocks and of random weights."""
    own = controls[controls["control"] == OWN].set_index("classifier")["class_entropy"]
    entropies = controls.set_index(["classifier", "control"])["class_entropy"].to_dict()
    single = controls[controls["control"].str.startswith(LAYER)]
    keys = zip(single["classifier"], single["control"], strict=True)
    untrained = [entropies.get((name, f"{UNTRAINED} {control}"), np.nan) for name, control in keys]
    single = single.assign(
        layer=single["control"].str.removeprefix(LAYER), together=single["classifier"].map(own), untrained=untrained
    )
    return single.replace({"classifier": dict(labels)})
