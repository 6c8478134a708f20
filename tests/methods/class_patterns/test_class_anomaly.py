"""Tables of patterns: costs, triggers and shapes that are known beforehand."""

import numpy as np
import pandas as pd
import pytest

from methods.class_patterns.class_anomaly import calibrated_threshold, class_anomaly_table
from methods.class_patterns.planted_backdoor import trigger_table
from methods.class_patterns.simplicity import simplicity, simplicity_table
from methods.class_patterns.summaries import simplicity_means, trigger_means
from tests.methods.class_patterns.made_patterns import CLASSES, made_patterns

COUNTS = [10, 20, 40]


def learned(rates: dict[str, list[float]], seeds: int = 2) -> pd.DataFrame:
    """Success of patterns with learned colours, evenly spread around given means over seeds."""
    return pd.DataFrame(
        {"class": name, "method": "neural_cleanse", "pixels": count, "seed": seed, "success": rate + sign * 0.05}
        for name, curve in rates.items()
        for count, rate in zip(COUNTS, curve, strict=True)
        for seed, sign in zip(range(seeds), (1, -1), strict=True)
    )


def test_a_class_that_needs_few_pixels_is_first_and_flagged() -> None:
    generator = np.random.default_rng(0)
    rates = {name: sorted(generator.uniform(0.1, 0.7, 3)) for name in CLASSES[:-1]}
    rates[CLASSES[5]] = [0.9, 0.92, 0.94]
    table = class_anomaly_table(learned(rates), CLASSES, pixels=144)
    assert table["class"].tolist()[0] == CLASSES[5]
    assert set(table["class"]) == set(CLASSES[:-1])  # the last one was not searched
    for row in table.to_dict("records"):
        curve = [0.0, *rates[row["class"]]]
        reached = curve[-1] >= 0.5
        expected = np.interp(0.5, curve, [0, *COUNTS]) if reached else 144
        assert row["pixels"] == pytest.approx(expected, rel=1e-6)
        assert row["statistic"] == pytest.approx(np.log(expected))
        assert row["label"] == CLASSES.index(row["class"])
        assert row["median_pixels"] == pytest.approx(table["pixels"].median())
        assert row["flagged"] == (row["anomaly_index"] > calibrated_threshold(7, 0.05))


def test_expensive_classes_are_not_flagged_because_others_are_more_expensive_still() -> None:
    rates = {name: [0.02, 0.05 + number / 100, 0.2 + number / 50] for number, name in enumerate(CLASSES)}
    tables = []
    for cheap in (1, 2, 3):
        ends = {name: 0.9 if number < cheap else 0.7 for number, name in enumerate(CLASSES)}
        success = learned(rates)
        whole = success[success["pixels"] == 40].assign(pixels=144, success=lambda table: table["class"].map(ends))  # noqa: B023
        tables.append(class_anomaly_table(pd.concat([success, whole]), CLASSES, 144))
    assert not any(table["flagged"].any() for table in tables)


def test_of_two_classes_none_stands_out() -> None:
    assert class_anomaly_table(learned({name: [0.1, 0.5, 0.9] for name in CLASSES[:2]}), CLASSES, 144).empty
    nothing = learned({name: [0.1, 0.5, 0.9] for name in CLASSES}).assign(method="pattern")
    assert class_anomaly_table(nothing, CLASSES, 144).empty


def test_the_trigger_is_found_where_it_is() -> None:
    found, trigger = made_patterns(), np.zeros((12, 12), dtype=bool)
    trigger[8:11, 8:11] = True
    found.masks[3][trigger] = 0.9
    found.masks[4][trigger] = 0.0
    table = trigger_table(found, trigger, 3, [0.0, 0.125], seed=0)
    assert sorted(table["pixels"].unique()) == [9, 18]
    assert table["target"].sum() == 2
    of_target = table[table["class"] == CLASSES[3]].set_index("pixels")
    assert of_target["recall"].tolist() == [1.0, 1.0]
    assert of_target["overlap"].to_dict() == {9: 1.0, 18: 0.5}
    assert (table[table["class"] == CLASSES[4]]["recall"] == 0).all()


def test_shapes_are_those_of_the_pixels_shown() -> None:
    found = made_patterns()
    table = simplicity_table(found, 0.25, seed=1)
    assert table["class"].tolist() == CLASSES
    assert table["pixels"].tolist() == [36] * len(CLASSES)
    expected = simplicity(found.pixels(2, 0.25, 1), found.canvases[2])
    row = table.iloc[2]
    assert {name: row[name] for name in expected} == pytest.approx(expected)


def test_differences_of_shapes_are_paired_and_leave_out_noise() -> None:
    made = simplicity_table(made_patterns(), 0.25, seed=0)
    noise = made.assign(kind="noise", components=1000)
    both = [
        pd.concat([made, noise]).assign(classifier="a"),
        made.assign(classifier="b", components=made["components"] + 2),
    ]
    table = simplicity_means(pd.concat(both))
    pieces = table[table["shape"] == "components"].set_index("classifier")
    assert pieces["mean"].to_dict() == pytest.approx(
        {"a": made["components"].mean(), "b": made["components"].mean() + 2}
    )
    assert pieces.loc["b", ["difference", "lower", "upper"]].to_numpy(dtype=float).tolist() == [2, 2, 2]
    assert np.isnan(pieces.loc["a", ["difference", "lower", "upper"]].to_numpy(dtype=float)).all()
    assert "pixels" not in table["shape"].tolist()


def test_means_of_triggers_are_by_target_kind_and_size() -> None:
    columns = ["classifier", "target", "kind", "pixels", "recall", "overlap"]
    rows = [("a", True, "own", 9, 1.0, 0.5), ("a", True, "own", 9, 0.5, 0.0), ("a", False, "own", 9, 0.1, 0.1)]
    table = trigger_means(pd.DataFrame(rows, columns=columns))
    assert table.to_numpy().tolist() == [["a", True, "own", 9, 0.75, 0.25], ["a", False, "own", 9, 0.1, 0.1]]
    assert trigger_means(pd.DataFrame(columns=columns)).empty
