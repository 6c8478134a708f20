"""The report's part on patterns, from made-up tables with a known outcome."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from methods.class_patterns.figures import ABSENT, on_lilac, pattern_grid
from methods.class_patterns.files import PatternFile
from methods.class_patterns.report import read
from report.page import render_page

CLASSES = [f"class {number}" for number in range(8)]
GAINS = {"pattern": 0.4, "random": 0.1, "centre": 0.05, "saliency": 0.3}


def write(root: Path, classifiers: list[str], sure: bool = True) -> None:
    place, generator = root / "class_patterns", np.random.default_rng(0)
    place.mkdir(parents=True)
    records, transfer, sources = [], [], []
    for name in classifiers:
        for label, known in enumerate(CLASSES):
            for method, gain in GAINS.items():
                noise = 0 if sure else generator.normal(0, 0.5)
                base = {"classifier": name, "class": known, "pair": label, "method": method, "images": 30, "clean": 0.1}
                for budget in (0.05, 0.2):
                    soft = 0.9 if method == "pattern" else np.nan
                    rate = gain + noise
                    records.append(
                        base | {"budget": budget, "seed": 0, "success": rate, "soft": soft, "gap": soft - rate}
                    )
            records.append(base | {"method": "canvas", "budget": 1.0, "seed": -1, "success": 0.7})
            transfer += [
                {"source": other, "class": known, "pair": label, "kind": "own", "budget": 0.05, "seed": 0,
                 "success": 0.4 if other == name else 0.1, "target": name}
                for other in classifiers
            ]  # fmt: skip
            sources += [
                {"classifier": name, "class": known, "source": other, "method": "pattern", "budget": 0.05,
                 "success": 0.5, "images": 3}
                for other in CLASSES if other != known
            ]  # fmt: skip
        count = len(CLASSES)
        PatternFile(
            masks=generator.random((count, 6, 6), dtype=np.float32),
            canvases=generator.integers(256, size=(count, 3, 6, 6), dtype=np.uint8),
            targets=np.arange(count),
            kinds=np.array(["own"] * (count - 1) + ["noise"]),
            numbers=np.zeros(count, int),
            sources=np.zeros(count, int),
            searched=np.arange(4),
            classes=np.array(CLASSES),
        ).save(place / f"{name}.npz")
    for file, rows in (("success", records), ("transfer", transfer), ("by_source", sources)):
        pd.DataFrame(rows).to_csv(place / f"{file}.csv", index=False)


def test_the_part_says_what_the_tables_say(tmp_path: Path) -> None:
    write(tmp_path, ["a", "b"])
    part = read(tmp_path, {"a": "network A", "b": "network B"})
    assert part is not None
    first, *others = part.sections
    assert "network A 40% (most salient pixels, the best control, 30%: +10 points [10, 10])" in first.text
    assert "Mean on their own networks 40%, on others 10%" in others[-2].text
    assert set(part.figures) == {
        "patterns_a", "patterns_b", "patterns_budget", "patterns_transfer", "patterns_by_source",
    }  # fmt: skip
    assert {section.figure for section in part.sections} == set(part.figures)
    assert first.tables is not None
    table = next(iter(first.tables.values()))
    assert list(table.loc["network A, whole canvas"]) == ["–", "–", "70.0%"]
    assert len(part.files) == 5
    page = render_page("x", "y", [], part.sections, {})
    assert "What this cannot show" in page


def test_a_margin_that_may_be_chance_is_called_so(tmp_path: Path) -> None:
    write(tmp_path, ["a"], sure=False)
    part = read(tmp_path, {})
    assert part is not None
    assert "which may be chance" in part.sections[0].text
    assert "none to travel to" in part.sections[-2].text


def test_a_study_without_patterns_has_no_part(tmp_path: Path) -> None:
    assert read(tmp_path, {}) is None


def test_white_grey_and_black_pixels_are_seen_on_lilac() -> None:
    rgba = np.zeros((1, 3, 4), np.uint8)
    rgba[0, 0] = 255
    rgba[0, 1] = (0, 0, 0, 255)
    assert on_lilac(rgba)[0].tolist() == [[255] * 3, [0] * 3, list(ABSENT)]


@pytest.mark.parametrize("classes", [1, 15])
def test_a_grid_has_a_place_for_every_class(classes: int) -> None:
    pictures: dict[str, list[np.ndarray]] = {
        "own": [np.zeros((4, 4, 4), np.uint8)] * classes,
        "noise": [np.zeros(0, np.uint8)] * classes,
    }
    figure = pattern_grid(pictures, ["name"] * classes)
    assert len(figure.axes) == 2 * classes
    assert figure.get_figwidth() < 9
