"""The report's parts on concepts, from tables of a factorisation with a known outcome; and their figures."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from methods.concepts import report, report_trust
from methods.concepts import tables as concept_tables
from methods.concepts.cards import Card, concept_cards, shortened, signed_picture
from methods.concepts.controls import OWN, kmeans_factor
from methods.concepts.figures import class_map
from methods.concepts.files import ConceptFile
from methods.concepts.pictures import pixel_pictures
from report.page import render_page
from tests.methods.concepts.made_concepts import SUPERCLASSES, made_file

LABELS = {"a": "network A", "b": "network B"}


def control_rows(file: ConceptFile, name: str) -> list[dict[str, object]]:
    own, _ = file.scaled()
    shuffled = np.random.default_rng(0).permutation(own)
    ones, _ = kmeans_factor(own, 8, 0)
    layers = {"layer:layer2": shuffled, "layer:layer4": own, "untrained layer:layer2": shuffled}
    factors = {OWN: own, "untrained": shuffled, **layers, "kmeans": ones}
    return [
        {"classifier": name, "control": control}
        | concept_tables.summary_row(factor, file.labels, file.predicted, SUPERCLASSES, seed=0, permutations=99)
        | concept_tables.difference_columns(factor, own, file.labels, 100)
        | {"error": 0.1}
        for control, factor in factors.items()
    ]


def write(root: Path, names: list[str], **options: int) -> None:
    place = root / "concepts"
    place.mkdir(parents=True)
    tables: dict[str, list[pd.DataFrame]] = {}
    for number, name in enumerate(names):
        file = made_file(seed=number, **options)
        file.save(place / f"{name}.npz")
        made = {
            "concepts": concept_tables.concepts_table(file, SUPERCLASSES, 0, 99),
            "profile": concept_tables.profile_table(file),
            "classes": concept_tables.classes_table(file, SUPERCLASSES),
            "impurity": concept_tables.impurity_table(file),
        }
        for what, table in made.items():
            tables.setdefault(what, []).append(table.assign(classifier=name))
        tables.setdefault("controls", []).append(pd.DataFrame(control_rows(file, name)))
    for what, parts in tables.items():
        pd.concat(parts).to_csv(place / f"{what}.csv", index=False)


def write_more(root: Path, names: list[str]) -> None:
    place = root / "concepts"
    more: dict[str, list[dict[str, object]]] = {"stability": [], "ranks": [], "importance": [], "cues": []}
    for name in names:
        each = [{"classifier": name, "concept": concept, "cosine": 0.9, "chance": 0.5} for concept in range(8)]
        more["stability"] += each
        np.savez(place / f"{name}-stability.npz", matrix=np.eye(8))
        more["ranks"] += [
            {"classifier": name, "k": k, "error": 1 / k, "heldout_error": 1.1 / k, "stability": 0.9, "chance": 0.4}
            for k in (4, 8, 16)
        ]
        more["importance"] += [
            {"classifier": name, "block": block, "concept": concept, "logit_drop": concept / 4, "changed": 0.1,
             "control_logit_drop": 0.1, "control_changed": 0.01}
            for block in ("layer2", "layer4") for concept in range(8)
        ]  # fmt: skip
        more["cues"] += [
            {"classifier": name, "cue": cue, "value": value, "concept": value, "auroc": 0.95 if cue == "shape" else 0.5,
             "null_upper": 0.6}
            for cue in ("shape", "colour") for value in range(4)
        ]  # fmt: skip
    for what, rows in more.items():
        pd.DataFrame(rows).to_csv(place / f"{what}.csv", index=False)


def test_the_part_says_what_the_tables_say(tmp_path: Path) -> None:
    write(tmp_path, ["a", "b"], dead=3)
    part = report.read(tmp_path, LABELS)
    assert part is not None
    first = part.sections[0].text
    assert "<strong>network A</strong>: 7 concepts with a mean class entropy of 0." in first
    assert "7 of them keep to classes" in first
    assert "so training made concepts keep to classes" in first
    assert "Died out, and not counted: 1." in first
    assert set(part.figures) == {
        "concepts_controls", "concepts_a", "concepts_b", "concepts_classes_a", "concepts_classes_b", "concepts_layers",
    }  # fmt: skip
    assert {section.figure for section in part.sections} == set(part.figures)
    assert "network A: lowest in layer4" in part.sections[-1].text
    tables = part.sections[0].tables
    assert tables is not None
    table = tables["Concepts and controls of network A"]
    assert list(table.index) == [
        "the network’s concepts",
        "untrained network",
        "layer2 alone",
        "layer4 alone",
        "layer2 alone, untrained",
        "k-means",
    ]
    assert str(table.loc["untrained network", "entropy − own"]).startswith("+0.")
    cards = part.sections[1].tables
    assert cards is not None
    assert list(cards["Concepts"].loc["3 (dead)"].iloc[:4]) == ["–"] * 4
    page = render_page("x", "y", [], part.sections, {})
    assert "What this cannot show" in page
    assert all(path.exists() for path in part.files)


def test_what_was_measured_beside_has_its_sections(tmp_path: Path) -> None:
    assert report_trust.read(tmp_path, LABELS) is None
    write(tmp_path, ["a", "b"])
    part = report_trust.read(tmp_path, LABELS)
    assert part is not None
    assert [section.figure for section in part.sections] == ["concepts_impurity"]
    assert "network A, images held out:" in part.sections[0].text
    write_more(tmp_path, ["a", "b"])
    part = report_trust.read(tmp_path, LABELS)
    assert part is not None
    assert {section.figure for section in part.sections} - {None} == set(part.figures)
    text = " ".join(section.text for section in part.sections)
    assert "Found of each cue: shape 4 of 4, colour 0 of 4" in text
    assert "8 of 8 concepts are nearer to their match" in text
    assert "concept 7 in layer2, without which the logit falls by 1.75 (control 0.10)" in text
    assert {path.name for path in part.files} >= {"cues.csv", "a-stability.npz", "ranks.csv", "importance.csv"}


def test_optional_tables_may_be_missing_or_empty(tmp_path: Path) -> None:
    write(tmp_path, ["a"])
    place = tmp_path / "concepts"
    (place / "impurity.csv").unlink()
    pd.DataFrame(columns=["classifier", "cue", "value", "concept", "auroc", "null_upper"]).to_csv(
        place / "cues.csv", index=False
    )
    assert report_trust.read(tmp_path, {}) is None
    controls = pd.read_csv(place / "controls.csv")
    controls[controls["control"] == OWN].drop(columns="cluster_entropy").to_csv(place / "controls.csv", index=False)
    part = report.read(tmp_path, {})
    assert part is not None
    assert "concepts_layers" not in part.figures
    (place / "report.csv").unlink()
    assert report.read(tmp_path, {}) is None


def test_a_picture_has_no_scale_and_the_mean_image_is_grey() -> None:
    file = made_file(concepts=5)
    pictures = pixel_pictures(file)
    assert pictures is not None
    assert np.allclose(pictures.sum(axis=(1, 2, 3)), 0)
    file.factors[0][0] = 3 * file.mean_image.ravel()
    file.factors[0][1] *= 100
    file.factors[0][2] = 0
    again = pixel_pictures(file)
    assert again is not None
    assert np.allclose(again[[0, 2]], 0)
    assert np.allclose(again[1], pictures[1])
    assert np.allclose(signed_picture(again[0]), 0.5)
    file.blocks[0] = "layer1"
    assert pixel_pictures(file) is None


def test_colours_of_a_difference_are_symmetric() -> None:
    difference = np.random.default_rng(0).normal(size=(3, 5, 4))
    one, other = signed_picture(difference), signed_picture(-difference)
    assert one.shape == (5, 4, 3)
    assert np.allclose(one + other, 1)


@pytest.mark.parametrize("count", [1, 7])
def test_every_concept_has_a_card(count: int) -> None:
    card = Card("0 · cat, 50%", "entropy 0.5", np.zeros((3, 3, 4, 4), np.uint8), None, {"pixels": 0.2, "fc": 0.8})
    figure = concept_cards([card] * count)
    assert len(figure.axes) == 4 * count
    assert figure.get_figwidth() < 9
    assert shortened("features.12.block.conv") == "…2.block.conv"


@pytest.mark.parametrize(("classes", "concepts_shown"), [(4, 6), (100, 40)])
def test_a_map_names_every_class_and_concept(classes: int, concepts_shown: int) -> None:
    table = pd.DataFrame(np.full((classes, concepts_shown), 1 / classes), index=[f"c{n}" for n in range(classes)])
    figure = class_map(table, ["one"] * (classes // 2) + ["two"] * (classes - classes // 2))
    ax = figure.axes[0]
    assert [text.get_text() for text in ax.get_yticklabels()] == list(table.index)
    assert [text.get_text() for text in ax.texts] == ["one", "two"]
    assert figure.get_figheight() < 13
