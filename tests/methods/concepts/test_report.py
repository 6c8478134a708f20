"""The part of the report on concepts, from tables of a factorisation with a known outcome; and its figures."""

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from methods.concepts import report
from methods.concepts import tables as concept_tables
from methods.concepts.cards import Card, concept_cards, pixel_pictures, shortened, signed_picture
from methods.concepts.controls import CONCEPTS, kmeans_factor
from methods.concepts.figures import class_map
from methods.concepts.record import ConceptRecord
from report.page import Part, render_page
from study.records import arrays_of
from tests.methods.concepts.made_concepts import SUPERCLASSES, made_record

TITLES = {"a": "network A", "b": "network B"}


def control_rows(record: ConceptRecord, name: str) -> list[dict[str, object]]:
    concepts, _ = record.scaled()
    shuffled = np.random.default_rng(0).permutation(concepts)
    ones, _ = kmeans_factor(concepts, 8, 0, concepts)
    layers = {"layer:layer2": shuffled, "layer:layer4": concepts, "untrained layer:layer2": shuffled}
    factors = {CONCEPTS: concepts, "untrained": shuffled, **layers, "kmeans": ones}
    return [
        {"classifier": name, "control": control}
        | concept_tables.summary_row(factor, record.labels, record.predicted, SUPERCLASSES, None, 0, 99)
        | concept_tables.difference_columns(factor, concepts, record.labels, 100, 0)
        | {"error": 0.1}
        for control, factor in factors.items()
    ]


def write(root: Path, names: list[str], **options: int) -> None:
    folder = root / "concepts"
    folder.mkdir(parents=True)
    tables: dict[str, list[pd.DataFrame]] = {}
    for number, name in enumerate(names):
        record = made_record(seed=number, **options)
        np.savez(folder / f"{name}.npz", **arrays_of(record))
        made = {
            "concepts": concept_tables.concepts_table(record, SUPERCLASSES, 0, 99),
            "profile": concept_tables.profile_table(record),
            "classes": concept_tables.classes_table(record, SUPERCLASSES),
            "impurity": concept_tables.impurity_table(record),
        }
        for what, table in made.items():
            tables.setdefault(what, []).append(table.assign(classifier=name))
        tables.setdefault("controls", []).append(pd.DataFrame(control_rows(record, name)))
    for what, parts in tables.items():
        pd.concat(parts).to_csv(folder / f"{what}.csv", index=False)


def write_more(root: Path, names: list[str]) -> None:
    folder = root / "concepts"
    more: dict[str, list[dict[str, object]]] = {"stability": [], "ranks": [], "importance": [], "cues": []}
    for name in names:
        each = [{"classifier": name, "concept": concept, "cosine": 0.9, "chance": 0.5} for concept in range(8)]
        more["stability"] += each
        np.savez(folder / f"{name}-stability.npz", matrix=np.eye(8))
        more["ranks"] += [
            {"classifier": name, "k": k, "error": 1 / k, "heldout_error": 1.1 / k, "stability": 0.9, "chance": 0.4}
            for k in (4, 8, 16)
        ]
        more["importance"] += [
            {"classifier": name, "block": block, "concept": concept, "images": 5, "logit_drop": concept / 4,
             "changed": 0.1, "control_logit_drop": 0.1, "control_changed": 0.01}
            for block in ("layer2", "layer4") for concept in range(8)
        ]  # fmt: skip
        more["cues"] += [
            {"classifier": name, "cue": cue, "value": value, "concept": value, "auroc": 0.95 if cue == "shape" else 0.5,
             "null_upper": 0.6}
            for cue in ("shape", "colour") for value in range(4)
        ]  # fmt: skip
    for what, rows in more.items():
        pd.DataFrame(rows).to_csv(folder / f"{what}.csv", index=False)


def text_of(part: Part) -> str:
    """The words of the page, without its style and its markup."""
    page = re.sub(r"<style>.*?</style>", "", render_page("x", [part], {}), flags=re.DOTALL)
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", "", page))


def test_the_part_says_what_the_tables_say(tmp_path: Path) -> None:
    assert report.read(tmp_path, TITLES) is None
    write(tmp_path, ["a", "b"], dead=3)
    part = report.read(tmp_path, TITLES)
    assert part is not None
    text = text_of(part)
    assert "network A: 7 concepts with a mean class entropy of 0." in text
    assert "7 of these concepts keep to classes" in text
    assert "training made the concepts keep to classes" in text
    assert "1 further concepts are in no image and are not counted." in text
    assert set(part.figures) == {
        "concepts_controls", "concepts_a", "concepts_b", "concepts_classes_a", "concepts_classes_b", "concepts_layers",
        "concepts_impurity",
    }  # fmt: skip
    page = render_page("x", [part], {})
    assert all(page.count(f'src="figures/{name}.png"') == 1 for name in part.figures)
    assert "lowest in layer4 for network A" in text
    [first, _] = part.values["classifiers"]
    table = first["controls"]
    assert list(table.index) == [
        "the network’s concepts",
        "untrained network",
        "layer2 alone",
        "layer4 alone",
        "layer2 alone, untrained",
        "k-means",
    ]
    assert str(table.loc["untrained network", "difference"]).startswith("+0.")
    assert list(first["card_table"].loc["3 (dead)"].iloc[:4]) == ["–"] * 4
    assert "What this cannot show" in text
    assert "network A, images held out: accuracy" in text
    assert all(path.exists() for path in part.files)


def test_further_measurements_have_their_sections(tmp_path: Path) -> None:
    write(tmp_path, ["a", "b"])
    write_more(tmp_path, ["a", "b"])
    part = report.read(tmp_path, TITLES)
    assert part is not None
    page, text = render_page("x", [part], {}), text_of(part)
    assert all(page.count(f'src="figures/{name}.png"') == 1 for name in part.figures)
    kinds = {"concepts_ranks", "concepts_stability_a", "concepts_importance_a", "concepts_importance_b"}
    assert kinds < set(part.figures)
    assert "By cue: shape 4 of 4 and colour 0 of 4." in text
    assert "4 of 8 values have a concept above chance" in text
    assert "8 of 8 concepts are nearer to their match" in text
    assert "concept 7 in layer2: the logit decreases by 1.75 (control 0.10)" in text
    assert {path.name for path in part.files} >= {"cues.csv", "a-stability.npz", "ranks.csv", "importance.csv"}


def test_optional_tables_may_be_missing_or_empty(tmp_path: Path) -> None:
    write(tmp_path, ["a"])
    folder = tmp_path / "concepts"
    (folder / "impurity.csv").unlink()
    pd.DataFrame(columns=["classifier", "cue", "value", "concept", "auroc", "null_upper"]).to_csv(
        folder / "cues.csv", index=False
    )
    part = report.read(tmp_path, {})
    assert part is not None
    assert "planted" not in text_of(part)
    assert "concepts_impurity" not in part.figures
    controls = pd.read_csv(folder / "controls.csv")
    controls[controls["control"] == CONCEPTS].to_csv(folder / "controls.csv", index=False)
    part = report.read(tmp_path, {})
    assert part is not None
    assert "concepts_layers" not in part.figures
    assert "Which layer" not in text_of(part)
    (folder / "controls.csv").unlink()
    assert report.read(tmp_path, {}) is None


def test_names_are_escaped(tmp_path: Path) -> None:
    write(tmp_path, ["a"])
    part = report.read(tmp_path, {"a": "<b>A</b>"})
    assert part is not None
    assert "<b>" not in render_page("x", [part], {})


def test_a_picture_has_no_scale_and_the_mean_image_is_grey() -> None:
    record = made_record(concepts=5)
    pictures = pixel_pictures(record)
    assert pictures is not None
    assert np.allclose(pictures.sum(axis=(1, 2, 3)), 0)
    [pixels, *_] = record.block_factors  # a view
    pixels[0] = 3 * record.mean_image.ravel()
    pixels[1] *= 100
    pixels[2] = 0
    again = pixel_pictures(record)
    assert again is not None
    assert np.allclose(again[[0, 2]], 0)
    assert np.allclose(again[1], pictures[1])
    assert np.allclose(signed_picture(again[0]), 0.5)
    record.blocks[0] = "layer1"
    assert pixel_pictures(record) is None


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
