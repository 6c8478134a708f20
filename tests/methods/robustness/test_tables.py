"""Tables of accuracies under attack, and what the report says of them, on made-up predictions."""

import re
from pathlib import Path

import numpy as np
import pytest

from methods.robustness.module import ATTACKS, DEFENCES, RobustnessResult
from methods.robustness.report import read
from methods.robustness.tables import accuracy_table, findings, masking_table, tables
from networks.attacks import ThreatModel
from report.page import render_page
from study.step import write


def test_rows_hold_the_clean_accuracy_at_no_budget() -> None:
    clean = np.array([[[1, 0, 0]], [[1, 1, 1]]], bool)
    right = np.zeros((2, 1, 1, 3, 4), bool)
    right[1, 0, 0, DEFENCES.index("plain"), ATTACKS.index("pgd")] = True
    made = RobustnessResult(
        ["a"], [ThreatModel("linf", 0.1)], np.arange(2), np.zeros((2, 1), int), clean, right, clean, clean[:, None]
    )
    table = accuracy_table(made)
    table = table[table["defence"].isin(["plain", "own"]) & table["attack"].isin(["pgd", "bpda"])]
    found = [tuple(row) for row in table[["defence", "attack", "epsilon", "accuracy"]].to_numpy()]
    assert found == [
        ("plain", "pgd", 0.0, 1.0), ("plain", "pgd", 0.1, 0.5), ("own", "pgd", 0.0, 0.5), ("own", "pgd", 0.1, 0.0),
        ("own", "bpda", 0.0, 0.5), ("own", "bpda", 0.1, 0.0),
    ]  # fmt: skip


def test_masking_counts_what_the_stronger_attack_missed() -> None:
    right = np.ones((3, 1, 1, 3, 4), bool)
    right[2, ..., ATTACKS.index("pgd")] = False
    right[0, ..., ATTACKS.index("bpda")] = False
    vanishing = np.broadcast_to(np.array([True, False, False])[:, None, None], (3, 1, 3))
    made = RobustnessResult(
        ["a"], [ThreatModel("l2", 0.5)], np.arange(3), np.zeros((3, 1), int), np.ones((3, 1, 3), bool), right,
        vanishing, np.ones((3, 1, 1, 1), bool),
    )  # fmt: skip
    table = masking_table(made)
    assert table["defence"].tolist() == list(DEFENCES)
    assert table["missed"].tolist() == table["no_gradient"].tolist() == pytest.approx([1 / 3] * 3)


def result(known: float) -> RobustnessResult:
    """Random predictions under one threat: right with .5 alone and with ``known`` behind the own autoencoder."""
    random = np.random.default_rng(0)
    right = random.random((200, 2, 1, 3)) < np.array([0.5, 0.5, known])
    return RobustnessResult(
        ["a", "b"], [ThreatModel("linf", 4 / 255)], np.arange(200), np.zeros((200, 2), int),
        np.ones((200, 2, 3), bool), np.repeat(right[..., None], 4, axis=-1), np.zeros((200, 2, 3), bool),
        random.random((200, 1, 2, 2)) < 0.4,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("known", "words"), [(0.9, "protects even"), (0.1, "makes things worse"), (0.5, "show no effect")]
)
def test_the_page_says_what_the_predictions_say(known: float, words: str, tmp_path: Path) -> None:
    (tmp_path / "robustness").mkdir()
    for name, content in tables(result(known)).items():
        write(content, tmp_path / "robustness" / name)
    part = read(tmp_path, {"a": "A", "b": "B"})
    assert part is not None
    page = re.sub(r"\s+", " ", render_page("title", [part], {}))
    assert words in page
    assert "ε = 4/255" in page
    assert "no sign that gradients mislead" in page


def test_findings_are_means_over_images_and_classifiers() -> None:
    made = result(0.7)
    [row] = findings(made).to_dict("records")
    worst = made.worst[:, :, 0].astype(float)
    differences = [np.mean(image[:, 2]) - np.mean(image[:, 0]) for image in worst]
    assert row["gain"] == pytest.approx(np.mean(differences))
    assert row["gain_error"] == pytest.approx(1.96 * np.std(differences, ddof=1) / np.sqrt(200))
    assert row["worst_own"] == pytest.approx(worst[..., 2].mean())
    shares = made.transferred[:, 0].mean(axis=0)
    assert row["on_itself"] == pytest.approx((shares[0, 0] + shares[1, 1]) / 2)
    assert row["on_others"] == pytest.approx((shares[0, 1] + shares[1, 0]) / 2)


def test_a_study_without_attacks_has_no_part(tmp_path: Path) -> None:
    assert read(tmp_path, {}) is None
