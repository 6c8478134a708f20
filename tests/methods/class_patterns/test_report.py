"""The section of the page on patterns, from made-up tables with a known outcome."""

import html
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from methods.class_patterns import summaries
from methods.class_patterns.class_anomaly import class_anomaly_table
from methods.class_patterns.figures import ABSENT, on_lilac, pattern_grid
from methods.class_patterns.planted_backdoor import trigger_table
from methods.class_patterns.report import read, shape_values, source_matrices
from methods.class_patterns.simplicity import simplicity_table
from report.page import Part, render_page
from study.records import arrays_of
from tests.methods.class_patterns.made_patterns import CLASSES, made_patterns

GAINS = {"pattern": 0.4, "random": 0.1, "centre": 0.05, "saliency": 0.3}
CHEAP = CLASSES[5]
TITLES = {"a": "network A", "b": "network B"}


def text_of(part: Part) -> str:
    """The page without its tags."""
    page = render_page("t", [part], {})
    return " ".join(html.unescape(re.sub(r"<[^>]*>", "", page[page.index("<main>") :])).split())


def success_of(name: str, sure: bool, planted: bool) -> list[dict[str, object]]:
    generator, records = np.random.default_rng(0), []
    for label, known in enumerate(CLASSES):
        base = {"classifier": name, "class": known, "pair": label, "images": 30, "clean": 0.1}
        for method, gain in GAINS.items():
            noise = 0 if sure else generator.normal(0, 0.5)
            for budget in (0.05, 0.2):
                soft, rate = 0.9 if method == "pattern" else np.nan, gain + noise
                row = {"method": method, "budget": budget, "pixels": round(144 * budget), "seed": 0}
                records.append(base | row | {"success": rate, "soft": soft, "gap": soft - rate})
        records.append(base | {"method": "canvas", "budget": 1.0, "pixels": 144, "seed": -1, "success": 0.7})
        costs = [0.9, 0.95, 0.97] if planted and known == CHEAP else [0.1, 0.2 + label / 20, 0.6 + label / 50]
        records += [
            base | {"method": "neural_cleanse", "budget": count / 144, "pixels": count, "seed": 0, "success": rate}
            for count, rate in zip((10, 20, 40), costs, strict=True)
        ]
    return records


def write(root: Path, names: list[str], sure: bool = True, planted: bool = False) -> None:
    """What the task writes: of two classifiers, the second has more pieces and, if planted, a cheap class."""
    folder, patterns = root / "class_patterns", made_patterns()
    trigger = np.zeros((12, 12), dtype=bool)
    trigger[:3, :3] = True
    patterns.masks[5][trigger] = 0.9
    success = pd.DataFrame([row for name in names for row in success_of(name, sure, planted and name == "b")])
    transfer = pd.DataFrame(
        {"source": source, "class": known, "budget": 0.05, "seed": 0, "success": 0.4 if source == name else 0.1,
         "target": name}
        for name in names for source in names for known in CLASSES
    )  # fmt: skip
    sources = pd.DataFrame(
        {"classifier": name, "class": known, "source": other, "method": "pattern", "budget": 0.05, "success": 0.5}
        for name in names for known in CLASSES for other in CLASSES if other != known
    )  # fmt: skip
    budgets = {"a": 0.05, "b": 0.25}  # the shapes of "b" are those of larger patterns
    simple = pd.concat([simplicity_table(patterns, budgets[name], 0).assign(classifier=name) for name in names])
    anomaly = pd.concat(
        class_anomaly_table(part, CLASSES, 144).assign(classifier=name) for name, part in success.groupby("classifier")
    )
    anomaly["planted"] = (anomaly["label"] == 5) & (anomaly["classifier"] == "b") & planted
    triggers = trigger_table(patterns, trigger, 5, [0.25], 0).assign(classifier="b")[: None if planted else 0]
    tables = {
        "success": success, "transfer": transfer, "by_source": sources, "simplicity": simple,
        "class_anomaly": anomaly, "triggers": triggers,
    }  # fmt: skip
    tables |= {f"summary/{name}": summarise(tables, 0.05) for name, summarise in summaries.SUMMARIES.items()}
    (folder / "summary").mkdir(parents=True)
    for name, table in tables.items():
        table.to_csv(folder / f"{name}.csv", index=False)
    for name in names:
        np.savez(folder / f"{name}.npz", **arrays_of(patterns))
    if planted:
        (root / "backdoors").mkdir()
        shares = {"measure": ["clean accuracy", "attack success"], "share": [0.9, 0.98], "lower": 0.8, "upper": 1.0}
        pd.DataFrame(shares).to_csv(root / "backdoors" / "b.csv", index=False)


def test_the_section_says_what_the_tables_say(tmp_path: Path) -> None:
    write(tmp_path, ["a", "b"])
    part = read(tmp_path, TITLES)
    assert part is not None
    text = text_of(part)
    assert "network A 40 % (most salient pixels, the best control, 30 %: +10 points [10, 10]);" in text
    assert "The mean is 40 % on the classifier that the patterns were searched on and 10 % on others." in text
    assert set(part.figures) == {
        "patterns_a", "patterns_b", "patterns_budget", "patterns_transfer", "patterns_by_source", "patterns_costs",
    }  # fmt: skip
    page = render_page("t", [part], {})
    assert all(f'src="figures/{figure}.png"' in page for figure in part.figures)
    table = part.values["success_tables"]["Success by classifier, method and share of the pixels"]
    assert table.loc["network A, whole canvas"].tolist()[-1] == "70.0%"
    assert set(table.loc["network A, whole canvas"].tolist()[:-1]) == {"–"}
    assert len(part.files) == 8
    assert "What this cannot show" in text


def test_a_margin_that_may_be_chance_is_called_so(tmp_path: Path) -> None:
    write(tmp_path, ["a"], sure=False)
    part = read(tmp_path, {})
    assert part is not None
    text = text_of(part)
    assert "which may be chance" in text
    assert "Patterns on other classifiers" not in text
    assert "Compared with" not in text


@pytest.mark.parametrize("planted", [True, False])
def test_the_page_names_the_class_that_stands_out(planted: bool, tmp_path: Path) -> None:
    write(tmp_path, ["a", "b"], planted=planted)
    part = read(tmp_path, TITLES)
    assert part is not None
    text = text_of(part)
    assert "Compared with network A: network B: pieces higher (less simple)." in text
    assert part.values["shape_tables"]["Differences, with 95 % intervals over classes"].shape == (1, 5)
    expected = "network A: none flagged; network B: none flagged."
    if planted:
        expected = "network A: none flagged; network B: 05 flagged (planted: 05, rank 1 of 8)."
        tables = part.values["anomaly_tables"]
        works = tables["Planted backdoors, on test images with and without the trigger"]
        assert works.to_dict("index")["network B"]["attack success"] == "98.0% [80.0%, 100.0%]"
        assert part.files[-1].name == "b.csv"
        rows = tables["Share of the trigger that patterns hold, mean over patterns"]
        assert list(rows.loc["network B, target class, image of another class"]) == ["1.00", "1.00", "1.00", "0.25"]
    assert expected in text


@pytest.mark.parametrize(("upper", "words"), [(-0.1, "lower (less simple)"), (0.3, "higher (simpler)")])
def test_one_large_piece_is_simple(upper: float, words: str, tmp_path: Path) -> None:
    write(tmp_path, ["a", "b"])
    path = tmp_path / "class_patterns" / "summary" / "simplicity_means.csv"
    means = pd.read_csv(path)
    means.loc[(means["classifier"] == "b") & (means["shape"] == "largest_share"), ["lower", "upper"]] = (
        upper - 0.2,
        upper,
    )
    means.to_csv(path, index=False)
    part = read(tmp_path, TITLES)
    assert part is not None
    assert f"in the largest piece {words}" in text_of(part)


def test_without_photographs_there_are_no_shapes() -> None:
    empty = summaries.simplicity_means(pd.DataFrame(columns=["classifier", "class", "kind", "number", "seed"]))
    assert shape_values(empty)["shape_reference"] is None


def test_a_study_without_patterns_has_no_section(tmp_path: Path) -> None:
    assert read(tmp_path, {}) is None


def test_all_panels_of_sources_have_the_same_classes() -> None:
    rows = [("x", "b", "a", 0.1), ("x", "b", "c", 0.2), ("y", "a", "b", 0.3)]
    made = source_matrices(pd.DataFrame(rows, columns=["classifier", "class", "source", "success"]), ["a", "b", "c"])
    assert all(table.index.tolist() == ["a", "b"] for table in made.values())
    assert all(table.columns.tolist() == ["a", "b", "c"] for table in made.values())
    assert made["y"].loc["a", "b"] == 0.3
    assert made["x"].loc["a"].isna().all()


def test_white_grey_and_black_pixels_are_seen_on_lilac() -> None:
    rgba = np.zeros((1, 3, 4), np.uint8)
    rgba[0, 0] = 255
    rgba[0, 1] = (0, 0, 0, 255)
    assert on_lilac(rgba)[0].tolist() == [[255] * 3, [0] * 3, list(ABSENT)]


@pytest.mark.parametrize("classes", [1, 15])
def test_a_grid_has_axes_for_every_class(classes: int) -> None:
    pictures: dict[str, list[np.ndarray]] = {
        "own": [np.zeros((4, 4, 4), np.uint8)] * classes,
        "noise": [np.zeros(0, np.uint8)] * classes,
    }
    figure = pattern_grid(pictures, ["name"] * classes)
    assert len(figure.axes) == 2 * classes
    assert figure.get_figwidth() < 9
