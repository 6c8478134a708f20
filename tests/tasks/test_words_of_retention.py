"""In a study with decisions as labels, accuracy is called retention: in tables, figures, sentences and files."""

import re
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text

import run
import tasks.report
from report.words import in_words, words_of
from study.folder import StudyFolder
from tests.studies import compose

MEASURED = ("labels=decisions", "measurements=[noise_curves,robustness,signal_statistics,probe]", "probe.epochs=1",
            "robustness.images=6", "robustness.steps=2", "robustness.alone.attack.steps=2", "pretrain.epochs=2",
            "robustness.alone.attack.epsilon=0.02", "finetune.epochs=1", "train_classifier.epochs=8")  # fmt: skip
EXPLAINED = "What other studies call accuracy is then <em>retention</em>"


def test_a_study_with_decisions_says_retention_everywhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    drawn: list[str] = []
    write = tasks.report.write_figure

    def noted(figure: Figure, *arguments: Any) -> None:
        drawn.extend(text.get_text() for text in figure.findobj(Text))
        write(figure, *arguments)

    monkeypatch.setattr(tasks.report, "write_figure", noted)
    run.run(compose(tmp_path, *MEASURED))
    study = tmp_path / "smoke"
    page = " ".join((study / "report" / "index.html").read_text().split())
    assert EXPLAINED in page
    assert not re.search("accura", page.replace(EXPLAINED, ""), flags=re.IGNORECASE)
    assert not [text for text in drawn if "accura" in text.lower()]
    assert any("retention" in text for text in drawn)
    named = [str(path.relative_to(study)) for path in study.rglob("*") if "accura" in path.name]
    assert not named
    for path in study.rglob("*.csv"):
        columns = [column for column in pd.read_csv(path).columns if "accura" in column]
        # what band tolerance and readers of other cues measure against labels is an accuracy where there are some
        assert not columns or path.parent.name == "band_tolerance" or "jobs" in path.parts, path
    made = [line for line in capsys.readouterr().out.splitlines() if "val/accuracy" not in line]
    assert not [line for line in made if "accura" in line.lower()]
    assert {path.name for path in (study / "cross_evaluation").glob("*retention*")} == {
        "retention.csv", "retention_top5.csv", "retention_by_seed.csv"
    }  # fmt: skip


def test_the_words_of_a_template_change_and_those_of_users_do_not(tmp_path: Path) -> None:
    assert in_words("Accuracy and accuracy") == "Accuracy and accuracy"
    assert StudyFolder(tmp_path).measure == "accuracy"
    (tmp_path / "decisions").mkdir()
    with words_of(StudyFolder(tmp_path).measure):
        assert in_words("Accuracy and accuracy") == "Retention and retention"
        assert in_words("accuracy_net") == "accuracy_net"
    assert in_words("accuracy") == "accuracy"
