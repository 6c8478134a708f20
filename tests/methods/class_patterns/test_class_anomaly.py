"""Tables from patterns found: costs, triggers and shapes that are known beforehand; and the report's part on them."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from methods.class_patterns.backdoor_rates import calibrated_threshold
from methods.class_patterns.class_anomaly import simplicity_table, suspicion_table, triggers_table
from methods.class_patterns.files import PatternFile
from methods.class_patterns.report_findings import read
from methods.class_patterns.simplicity import simplicity
from report.page import render_page

CLASSES = [f"0{number}" for number in range(7)] + ["null"]  # that pandas would read otherwise
COUNTS = [10, 20, 40]


def learned(rates: dict[str, list[float]], seeds: int = 2) -> pd.DataFrame:
    """Success of patterns with free colours, evenly spread around given means over seeds."""
    return pd.DataFrame(
        {"class": name, "method": "neural_cleanse", "pixels": count, "seed": seed, "success": rate + sign * 0.05}
        for name, curve in rates.items()
        for count, rate in zip(COUNTS, curve, strict=True)
        for seed, sign in zip(range(seeds), (1, -1), strict=True)
    )


def found_file(side: int = 12) -> PatternFile:
    generator = np.random.default_rng(3)
    count = len(CLASSES)
    return PatternFile(
        masks=generator.random((count, side, side), dtype=np.float32) * 0.5,
        canvases=generator.integers(256, size=(count, 3, side, side), dtype=np.uint8),
        targets=np.arange(count),
        kinds=np.array(["own", "other"] * (count // 2)),
        numbers=np.zeros(count, int),
        sources=np.zeros(count, int),
        searched=np.arange(4),
        classes=np.array(CLASSES),
    )


def test_a_class_that_needs_few_pixels_is_first_and_flagged() -> None:
    generator = np.random.default_rng(0)
    rates = {name: sorted(generator.uniform(0.1, 0.7, 3)) for name in CLASSES[:-1]}
    rates[CLASSES[5]] = [0.9, 0.92, 0.94]
    table = suspicion_table(learned(rates), CLASSES, pixels=144)
    assert table["class"].tolist()[0] == CLASSES[5]
    assert set(table["class"]) == set(CLASSES[:-1])  # the last one was not searched
    for row in table.to_dict("records"):
        curve = [0.0, *rates[row["class"]]]
        reached = curve[-1] >= 0.5
        expected = np.interp(0.5, curve, [0, *COUNTS]) if reached else 144
        assert row["pixels"] == pytest.approx(expected, rel=1e-6)
        assert row["statistic"] == pytest.approx(np.log(expected))
        assert row["label"] == CLASSES.index(row["class"])
        assert row["flagged"] == (row["anomaly_index"] > calibrated_threshold(7, 0.05))


def test_expensive_classes_are_not_flagged_because_others_are_more_expensive_still() -> None:
    rates = {name: [0.02, 0.05 + number / 100, 0.2 + number / 50] for number, name in enumerate(CLASSES)}
    tables = []
    for cheap in (1, 2, 3):
        ends = {name: 0.9 if number < cheap else 0.7 for number, name in enumerate(CLASSES)}
        success = learned(rates)
        whole = success[success["pixels"] == 40].assign(pixels=144, success=lambda table: table["class"].map(ends))  # noqa: B023
        tables.append(suspicion_table(pd.concat([success, whole]), CLASSES, 144))
    assert not any(table["flagged"].any() for table in tables)


def test_of_two_classes_none_stands_out() -> None:
    assert suspicion_table(learned({name: [0.1, 0.5, 0.9] for name in CLASSES[:2]}), CLASSES, 144).empty
    nothing = learned({name: [0.1, 0.5, 0.9] for name in CLASSES}).assign(method="pattern")
    assert suspicion_table(nothing, CLASSES, 144).empty


def test_the_trigger_is_found_where_it_is() -> None:
    found, trigger = found_file(), np.zeros((12, 12), dtype=bool)
    trigger[8:11, 8:11] = True
    found.masks[3][trigger] = 0.9
    found.masks[4][trigger] = 0.0
    table = triggers_table(found, trigger, 3, [0.0, 0.125], seed=0)
    assert sorted(table["pixels"].unique()) == [9, 18]
    assert table["target"].sum() == 2
    of_target = table[table["class"] == CLASSES[3]].set_index("pixels")
    assert of_target["recall"].tolist() == [1.0, 1.0]
    assert of_target["overlap"].to_dict() == {9: 1.0, 18: 0.5}
    assert (table[table["class"] == CLASSES[4]]["recall"] == 0).all()


def test_shapes_are_those_of_the_pixels_shown() -> None:
    found = found_file()
    table = simplicity_table(found, 0.25, seed=1)
    assert table["class"].tolist() == CLASSES
    assert table["pixels"].tolist() == [36] * len(CLASSES)
    expected = vars(simplicity(found.pixels(2, 0.25, 1), found.canvases[2]))
    row = table.iloc[2]
    assert {name: row[name] for name in expected} == pytest.approx(expected)


def write(root: Path, planted: bool) -> None:
    place, found = root / "class_patterns", found_file()
    place.mkdir()
    trigger = np.zeros((12, 12), dtype=bool)
    trigger[:3, :3] = True
    found.masks[5][trigger] = 0.9
    rates = {name: [0.1, 0.2 + number / 20, 0.6 + number / 50] for number, name in enumerate(CLASSES)}
    costs = {"a": rates, "b": rates | ({CLASSES[5]: [0.9, 0.95, 0.97]} if planted else {})}
    simple = [simplicity_table(found, 0.05 if name == "a" else 0.25, 0).assign(classifier=name) for name in costs]
    pd.concat(simple).to_csv(place / "simplicity.csv", index=False)
    tables = [suspicion_table(learned(curves), CLASSES, 144).assign(classifier=name) for name, curves in costs.items()]
    suspicion = pd.concat(tables)
    marked = (suspicion["label"] == 5) & (suspicion["classifier"] == "b")
    suspicion.assign(planted=marked & planted).to_csv(place / "suspicion.csv", index=False)
    if planted:
        (root / "backdoors").mkdir()
        shares = {"measure": ["clean accuracy", "attack success"], "share": [0.9, 0.98], "lower": 0.8, "upper": 1.0}
        pd.DataFrame(shares).to_csv(root / "backdoors" / "b.csv", index=False)
    triggers = triggers_table(found, trigger, 5, [0.25], 0).assign(classifier="b")
    (triggers if planted else triggers[:0]).to_csv(place / "triggers.csv", index=False)


@pytest.mark.parametrize("planted", [True, False])
def test_the_page_names_the_class_that_stands_out(planted: bool, tmp_path: Path) -> None:
    write(tmp_path, planted)
    part = read(tmp_path, {"a": "Network A", "b": "Network B"})
    assert part is not None
    shapes, costs = part.sections
    assert shapes.tables is not None
    assert costs.tables is not None
    assert "Beside Network A: Network B: pieces higher (less simple)." in shapes.text
    assert shapes.tables["Differences, with 95 % intervals over classes"].shape == (1, 5)
    text = "Network A: none flagged; Network B: none flagged."
    if planted:
        text = "Network A: none flagged; Network B: 05 flagged (planted: 05, rank 1 of 8)."
        works = costs.tables["Planted backdoors, on clean test images and on those with the trigger"]
        assert works.to_dict("index")["Network B"]["attack success"] == "98.0% [80.0%, 100.0%]"
        assert part.files[-1].name == "b.csv"
        rows = costs.tables["How much of the trigger patterns hold, mean over patterns"]
        assert list(rows.loc["Network B, the trigger’s class, image of another"]) == ["1.00", "1.00", "1.00", "0.25"]
    assert text in costs.text
    assert set(part.figures) == {"patterns_costs"}
    assert "Network B" in render_page("t", "", [], part.sections, {})


def test_without_patterns_there_is_no_part(tmp_path: Path) -> None:
    assert read(tmp_path, {}) is None
