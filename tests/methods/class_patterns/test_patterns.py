"""Masks by their definition, and tables of made-up predictions counted by hand."""

import dataclasses
import time
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from methods.class_patterns.patterns import (
    centre_patch,
    paste,
    pattern_image,
    pixel_count,
    plan_evaluation,
    random_pixels,
    top_pixels,
)
from methods.class_patterns.success import PatternPredictions, success_by_source, success_rates, success_table
from methods.class_patterns.summaries import curves, margins, mean_over_classes, transfer_means, transfer_summary
from stats.proportion import wilson_interval
from tests.methods.class_patterns.made_patterns import made_patterns


@pytest.mark.parametrize(
    ("budget", "count"), [(0.05, 115), (0.0, 0), (1.0, 2304), (0, 0), (1, 1), (2304, 2304), (0.5 / 2304, 1)]
)
def test_a_budget_is_a_share_or_a_number(budget: float, count: int) -> None:
    assert pixel_count(budget, 2304) == count


@pytest.mark.parametrize("budget", [-0.1, 1.1, -1, 2305, float("nan")])
def test_a_budget_out_of_range_is_an_error(budget: float) -> None:
    with pytest.raises(ValueError, match="give a share from"):
        pixel_count(budget, 2304)


def test_top_pixels_are_those_of_numpy_and_nested() -> None:
    scores = torch.rand(7, 9, generator=torch.Generator().manual_seed(0))
    before = torch.zeros(7, 9, dtype=torch.bool)
    for count in range(64):
        found = top_pixels(scores, count, seed=3)
        expected = np.sort(scores.numpy().ravel())[::-1][:count]
        assert np.array_equal(np.sort(scores[found].numpy())[::-1], expected)
        assert not (before & ~found).any()
        before = found
    assert before.all()
    for count in (-1, 64):
        with pytest.raises(ValueError, match="expected 0 to 63"):
            top_pixels(scores, count, 0)
    with pytest.raises(ValueError, match="no numbers"):
        top_pixels(torch.full((2, 2), float("nan")), 1, 0)


def test_chance_decides_ties_evenly_and_a_seed_decides_chance() -> None:
    scores = torch.zeros(4, 5)
    scores[1, 2], scores[3] = 2.0, -1.0
    drawn = torch.stack([top_pixels(scores, 6, seed) for seed in range(600)])
    assert (drawn.sum(dim=(1, 2)) == 6).all()
    assert drawn[:, 1, 2].all()
    assert not drawn[:, 3].any()
    tied = torch.ones(4, 5, dtype=torch.bool)
    tied[1, 2], tied[3] = False, False
    shares = drawn.float().mean(dim=0)[tied]
    assert ((shares - 5 / 14).abs() < 0.09).all()  # four standard deviations
    assert torch.equal(drawn[5], top_pixels(scores, 6, 5))
    assert torch.equal(random_pixels((4, 5), 6, 5), top_pixels(torch.ones(4, 5), 6, 5))


def test_a_centre_patch_is_a_square_in_the_centre() -> None:
    patch = centre_patch((9, 9), 25, seed=0)
    expected = torch.zeros(9, 9, dtype=torch.bool)
    expected[2:7, 2:7] = True
    assert torch.equal(patch, expected)
    even = centre_patch((8, 6), 16, seed=0)
    assert torch.equal(even.nonzero().amin(dim=0), torch.tensor([2, 1]))
    assert even.sum() == 16
    assert centre_patch((8, 6), 20, seed=0)[even].all()


def test_pasting_is_the_canvas_within_and_the_image_without() -> None:
    images, canvas = torch.rand(4, 3, 5, 6), torch.rand(3, 5, 6)
    mask = torch.rand(5, 6)
    made = paste(images, canvas, mask)
    for image, channel, row, column in ((0, 0, 0, 0), (3, 2, 4, 5), (1, 1, 2, 3)):
        weight = mask[row, column]
        expected = weight * canvas[channel, row, column] + (1 - weight) * images[image, channel, row, column]
        torch.testing.assert_close(made[image, channel, row, column], expected)
    assert torch.equal(paste(images, canvas, torch.ones(5, 6, dtype=torch.bool)), canvas.expand(4, -1, -1, -1))
    assert torch.equal(paste(images, canvas, torch.zeros(5, 6, dtype=torch.bool)), images)
    with pytest.raises(ValueError, match=r"\(5, 6\), \(6, 6\), \(5, 6\)"):
        paste(images, torch.rand(3, 6, 6), mask)


def test_a_pattern_picture_tells_nothing_of_what_is_absent() -> None:
    canvas = np.full((3, 2, 2), 255, np.uint8)
    picture = pattern_image(canvas, np.array([[True, False], [False, False]]))
    assert picture.shape == (2, 2, 4)
    assert picture[0, 0].tolist() == [255, 255, 255, 255]  # white is seen, as it is opaque
    assert not picture.reshape(4, 4)[1:].any()


HITS = np.array([[1, 0], [1, 1], [0, 1], [1, 0]])
CLEAN, LABELS, TARGETS = np.array([0, 1, 1, 2]), np.array([0, 1, 2, 2]), np.array([0, 1])


def test_success_counts_images_that_are_not_of_the_class_already() -> None:
    table = success_rates(HITS, CLEAN, TARGETS)
    assert table["images"].tolist() == [3, 2]
    assert table["success"].tolist() == pytest.approx([2 / 3, 0])
    assert table["clean"].tolist() == [0.25, 0.5]
    assert table["overall"].tolist() == [0.75, 0.5]
    lower, upper = wilson_interval([2 / 3, 0], [3, 2])
    assert np.allclose(table[["lower", "upper"]].to_numpy().T, [lower, upper])
    none = success_rates(HITS, np.zeros(4, int), TARGETS).iloc[0]
    assert np.isnan(none["success"])
    assert (none["lower"], none["upper"], none["images"], none["clean"]) == (0, 1, 0, 1)


def rows(methods: list[str], masks: list[str], seeds: list[int]) -> pd.DataFrame:
    columns = {"pair": 0, "method": methods, "mask": masks, "budget": 0.1, "pixels": 1, "seed": seeds}
    return pd.DataFrame(columns)


def test_hard_masks_stand_beside_the_soft_ones_they_come_from() -> None:
    table = rows(["pattern", "pattern", "pattern", "random"], ["soft", "hard", "hard", "hard"], [0, 0, 1, 0])
    made = success_table(table.assign(success=[0.9, 0.5, 0.4, 0.1]))
    assert made["success"].tolist() == [0.5, 0.4, 0.1]
    assert made["gap"].tolist()[0] == pytest.approx(0.4)
    assert made["soft"].isna().tolist() == [False, True, True]


def test_success_by_source_leaves_out_what_is_of_the_class_already() -> None:
    table = rows(["pattern", "pattern"], ["hard", "hard"], [0, 1]).assign(target=0)
    predictions = PatternPredictions(np.arange(4), LABELS, CLEAN, HITS)
    found = success_by_source(predictions, table, ["a", "b", "c"])
    found = found.set_index("source")
    assert (found["class"] == "a").all()
    assert found["images"].to_dict() == {"b": 1, "c": 2}  # the image of a is seen as a
    assert found["success"].to_dict() == {"b": 1.0, "c": 0.5}


def test_success_by_source_is_that_of_a_loop_to_the_last_bit() -> None:
    random, classes = np.random.default_rng(0), [f"class {label}" for label in range(6)]
    images, pairs = 90, [(target, pair) for target in range(5) for pair in range(3)]
    labels = random.integers(0, 5, images)  # no image of the last class
    clean = np.where(random.random(images) < 0.8, labels, random.integers(0, 5, images))
    clean[labels == 2] = 2  # nothing is left of this class for its own patterns
    table = pd.DataFrame(
        {"target": target, "pair": pair, "method": method, "mask": "hard", "budget": budget, "seed": 0}
        for target, pair in pairs for method in ("pattern", "neural_cleanse", "random") for budget in (0.05, 0.2)
    )  # fmt: skip
    hits = random.integers(0, 2, (images, len(table)), dtype=np.uint8)
    expected = []
    groups: Any = table[table["method"] != "random"].groupby(["target", "method", "budget"], sort=False)
    for (target, method, budget), part in groups:
        shares = hits[:, part.index].mean(axis=1, dtype=np.float64)
        for source in range(5):
            used = (labels == source) & (clean != target)
            if used.any():
                expected.append(
                    (classes[int(str(target))], classes[source], method, budget, shares[used].mean(), used.sum())
                )
    found = success_by_source(PatternPredictions(np.arange(images), labels, clean, hits), table, classes)
    assert len(found) == len(expected) < 5 * 5 * 4
    assert list(found.itertuples(index=False, name=None)) == expected
    nothing = success_by_source(PatternPredictions(np.arange(images), labels, clean, hits), table[:0], classes)
    assert nothing.columns.tolist() == found.columns.tolist()
    assert nothing.empty


def test_a_thousand_classes_are_summarised_in_seconds() -> None:
    random, count = np.random.default_rng(0), 1000
    methods = ("pattern", "neural_cleanse")
    table = pd.DataFrame({"target": np.repeat(np.arange(count), 2), "method": methods * count})
    table = table.assign(mask="hard", budget=0.05, seed=0)
    hits = random.integers(0, 2, (2 * count, len(table)), dtype=np.uint8)
    labels, clean = np.arange(2 * count) % count, random.integers(0, count, 2 * count)
    start = time.perf_counter()
    found = success_by_source(PatternPredictions(labels, labels, clean, hits), table, [str(k) for k in range(count)])
    assert time.perf_counter() - start < 20
    assert 0.99 < len(found) / (2 * count * count) <= 1


def test_means_are_over_classes_and_margins_are_paired() -> None:
    generator = np.random.default_rng(0)
    easy = generator.random(40)
    records = [
        {"classifier": "x", "class": f"{label}", "pair": label, "method": method, "budget": 0.05, "seed": seed,
         "success": easy[label] + gain + seed / 10}
        for label in range(40) for method, gain in (("pattern", 0.2), ("random", 0.1)) for seed in (0, 1)
    ]  # fmt: skip
    table = pd.DataFrame(records)
    mean, lower, upper = mean_over_classes(table[table["method"] == "random"])
    assert mean == pytest.approx(easy.mean() + 0.15)
    half = 1.96 * easy.std() / 40**0.5
    assert (upper - lower) / 2 == pytest.approx(half, rel=0.1)
    margin = margins(table, 0.05).iloc[0]
    assert [margin["margin"], margin["lower"], margin["upper"]] == pytest.approx([0.1] * 3)  # the classes cancel
    assert margin["best"]
    curve = curves(table).set_index("method")
    means = curve["success"].to_dict()
    assert means["pattern"] - means["random"] == pytest.approx(0.1)
    assert curve["seeds"].tolist() == pytest.approx([0.1 / 2**0.5] * 2)
    alone = mean_over_classes(table[table["class"] == "3"])
    assert np.isnan(alone[1:]).all()


def test_every_control_has_as_many_pixels_as_the_pattern() -> None:
    three = dataclasses.replace(made_patterns(6), kinds=np.array(["own", "other", "learned"]))
    other = dataclasses.replace(three, masks=three.masks[::-1].copy(), canvases=255 - three.canvases)
    linear = torch.nn.Linear(3 * 6 * 6, len(three.classes))
    classifier = torch.nn.Sequential(torch.nn.Flatten(), linear)
    made = list(plan_evaluation({0: three, 4: other}, classifier, [0.25, 1.0], chunk=5))
    table = pd.DataFrame([entry.row for entry in made])
    for mask, _, row in made:
        if row["mask"] == "hard":
            assert int(mask.sum()) == row["pixels"] == round(36 * row["budget"])
    counted = table[table["mask"] == "hard"].groupby(["pair", "method"]).size().to_dict()
    own = {"pattern": 4, "random": 4, "centre": 2, "saliency": 2, "canvas": 1}
    expected = {(pair, method): count for pair in (0, 1) for method, count in own.items()}
    assert counted == expected | {(2, "neural_cleanse"): 2 * len({0.25, 0.4, 0.7, 1.0})}  # its cost, too
    assert set(table["seed"]) == {-1, 0, 4}
    for _, canvas, row in made:  # controls without a seed use the canvases of the first search
        searched = other if row["seed"] == 4 else three
        assert np.array_equal(canvas.numpy(), searched.canvases[row["pair"]])
    [salient] = [
        mask for mask, _, row in made if row["method"] == "saliency" and row["pair"] == 1 and row["pixels"] == 9
    ]
    weights = linear.weight[1].reshape(3, 6, 6).abs().amax(dim=0)  # the gradient of a linear network
    assert weights[salient].min() > weights[~salient].max()


def test_the_best_control_is_the_nearest_and_only_one() -> None:
    gains = {"pattern": 0.5, "random": 0.1, "saliency": 0.3, "centre": 0.3, "neural_cleanse": 0.9}
    records = [
        {"classifier": name, "class": str(label), "pair": label, "method": method, "budget": 0.05, "success": gain}
        for name in "xy" for label in range(3) for method, gain in gains.items()
    ]  # fmt: skip
    table = margins(pd.DataFrame(records), 0.05)
    assert table["control"].tolist() == ["random", "saliency", "centre"] * 2
    assert table["best"].tolist() == [False, True, False] * 2


def test_means_of_a_transfer_are_over_classes() -> None:
    records = [
        ("x", "x", "a", 0.2),
        ("x", "x", "a", 0.4),
        ("x", "x", "b", 0.9),
        ("x", "y", "a", 0.1),
        ("y", "y", "a", 0.5),
    ]
    means = transfer_means(pd.DataFrame(records, columns=["source", "target", "class", "success"]))
    assert means["success"].tolist() == pytest.approx([0.6, 0.1, 0.5])
    summary = transfer_summary(means).iloc[0]
    assert summary.to_dict() == pytest.approx({"same_classifier": 0.55, "other_classifiers": 0.1})
    alone = transfer_summary(means[:1]).iloc[0]
    assert np.isnan(alone["other_classifiers"])
