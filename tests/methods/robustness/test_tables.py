"""Tables of accuracies under attack, and what the report says of them, on made-up predictions."""

from pathlib import Path

import numpy as np
import pytest

from methods.robustness.report import finding, read
from methods.robustness.tables import accuracy_rows, masking_rows


def test_rows_hold_the_clean_accuracy_at_no_budget() -> None:
    clean = np.array([[[1, 0]], [[1, 1]]])
    attacked = {"pgd": np.array([[[[0, 0]]], [[[1, 0]]]]), "bpda": np.zeros((2, 1, 1, 2), int)}
    table = accuracy_rows(clean, attacked, ["a"], [("linf", 0.1)], ["plain", "own"])
    found = [tuple(row) for row in table[["defence", "attack", "epsilon", "accuracy"]].to_numpy()]
    assert found == [
        ("plain", "pgd", 0.0, 1.0), ("plain", "pgd", 0.1, 0.5), ("own", "pgd", 0.0, 0.5), ("own", "pgd", 0.1, 0.0),
        ("own", "bpda", 0.0, 0.5), ("own", "bpda", 0.1, 0.0),
    ]  # fmt: skip


def test_masking_counts_what_the_stronger_attack_missed() -> None:
    pgd, worst = np.array([[[[1]]], [[[1]]], [[[0]]]]), np.array([[[[0]]], [[[1]]], [[[0]]]])
    table = masking_rows(np.array([[[1]], [[0]], [[0]]]), pgd, worst, ["a"], [("l2", 0.5)], ["own"])
    assert table["missed"].tolist() == table["no_gradient"].tolist() == pytest.approx([1 / 3])


@pytest.mark.parametrize(
    ("known", "words"), [(0.9, "to protect"), (0.1, "makes things worse"), (0.5, "no effect can be told")]
)
def test_the_report_says_what_the_predictions_say(known: float, words: str) -> None:
    random = np.random.default_rng(0)
    shape = (200, 2, 1, 3)
    worst = random.random(shape) < np.array([0.5, 0.5, known])
    predictions = {
        "norms": np.array(["linf"]), "epsilons": np.array([4 / 255]),
        "defences": np.array(["plain", "pretrained", "own"]),
        "attacks": np.array(["fgsm", "pgd", "transfer", "bpda"]), "clean": np.ones((200, 2, 3), bool), "worst": worst,
        "right": np.repeat(worst[..., None], 4, axis=-1),
    }  # fmt: skip
    text = finding(predictions, "linf")
    assert words in text
    assert "ε = 4/255" in text
    assert "no sign that gradients mislead" in text


def test_a_study_without_attacks_has_no_part(tmp_path: Path) -> None:
    assert read(tmp_path, {}) is None
