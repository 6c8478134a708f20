"""A study of classifiers alone: chosen analyses, a page without cross evaluation, and nothing of autoencoders."""

import json
import re
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from omegaconf import DictConfig, OmegaConf

import run
import tasks.registry
import tasks.report
import tasks.study
from report.page import Part
from study.artifact import Artifact
from study.autoencoders import has_autoencoders
from study.folder import study_folder
from study.pages import titles_of
from tasks.registry import ANALYSIS, Task
from tests.studies import compose

ALONE = ("autoencoder=none", "train_classifier.epochs=1", "study=alone")
MEASURED = (*ALONE, "analyses=[counting]")
ATTACK = ("robustness.alone.attack.epsilon=0.02", "robustness.alone.attack.steps=2")
ATTACKED = ("analyses=[robustness,counting]", *ATTACK)


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """An analysis as issues to come will add them: a task, and a part of the report."""
    calls: list[str] = []

    def measure(cfg: DictConfig) -> float:
        calls.append(cfg.task)
        path = study_folder(cfg).root / "counting" / "counts.csv"
        artifact = Artifact([path], path.with_suffix(".json"), {}, {}, precious=False)
        if not artifact.exists():
            with artifact.making(7.0) as temporary:
                pd.DataFrame({"classifier": list(cfg.classifiers), "count": 7}).to_csv(temporary[path], index=False)
        return 7.0

    def read(root: Path, titles: Mapping[str, str]) -> Part | None:
        path = root / "counting" / "counts.csv"
        if not path.exists():
            return None
        figure = Figure()
        figure.subplots().bar(list(titles.values()), pd.read_csv(path)["count"])
        values = {"counts": pd.read_csv(path, index_col=0)}
        method = "A. Author, “Counting” (arXiv 0000.00000)."
        return Part("tests/tasks/counting.html.j2", values, {"counting": figure}, [path], method)

    module = ModuleType("counting")
    module.run, module.read = measure, read  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "counting", module)
    task = Task("counting", "counts", ANALYSIS, None, function="counting:run", report=("counting",))
    for user in (tasks.registry, tasks.study, tasks.report):
        monkeypatch.setattr(user, "TASKS", (*tasks.registry.TASKS, task))
    monkeypatch.setitem(tasks.registry.BY_NAME, "counting", task)
    return calls


def page_of(studies: Path, study: str = "alone") -> str:
    return (studies / study / "report" / "index.html").read_text(encoding="utf-8")


def test_classifiers_are_trained_and_analysed_and_nothing_else(tmp_path: Path, counted: list[str]) -> None:
    cfg = compose(tmp_path, *ALONE, *ATTACKED)
    assert run.run(cfg) == 7.0
    assert counted == ["counting"]
    made = {str(path.relative_to(tmp_path / "alone")) for path in (tmp_path / "alone").rglob("*") if path.is_file()}
    folders = {name.split("/")[0] for name in made}
    assert folders == {"classifiers", "counting", "report", "jobs", "robustness"}
    page = page_of(tmp_path)
    for text in ("What was counted", "Field of view", "How they were trained", "under attack",
                 "PGD, L∞ ≤ 0.02, 2 steps", "A. Author, “Counting” (arXiv 0000.00000)."):  # fmt: skip
        assert text in page
    assert "1803.08337" not in page
    targets = re.findall(r'(?:href|src)="([^"#][^"]*)"', page)
    assert {"figures/counting.png", "figures/counting.pdf", "../counting/counts.csv"} <= set(targets)
    assert not [target for target in targets if not (tmp_path / "alone" / "report" / target).is_file()]


def test_the_page_shows_what_the_trainings_found(tmp_path: Path) -> None:
    run.run(compose(tmp_path, *ALONE, *ATTACK, "analyses=[robustness]", "controls=[random_weights]"))
    table = pd.read_csv(tmp_path / "alone" / "robustness" / "alone.csv", index_col=0)
    for name in ("vgg_compact", "resnet_compact"):
        record = json.loads((tmp_path / "alone" / "classifiers" / f"{name}.json").read_text())
        for value in (record["objective"], *table.loc[name, ["accuracy", "robust_accuracy"]]):
            assert f"<td>{value:.3f}</td>" in page_of(tmp_path)
    assert "not at all: random weights" in page_of(tmp_path)


def test_a_second_run_skips_what_is_there(tmp_path: Path, counted: list[str]) -> None:
    run.run(compose(tmp_path, *MEASURED))
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "alone").rglob("*.*") if "jobs" not in path.parts}
    run.run(compose(tmp_path, *MEASURED))
    after = {path: path.stat().st_mtime_ns for path in before}
    assert after == before
    assert counted == ["counting", "counting"]


@pytest.mark.slow
def test_analyses_are_part_of_a_study_with_autoencoders_too(finished: Path, tmp_path: Path, counted: list[str]) -> None:
    shutil.copytree(finished, tmp_path, dirs_exist_ok=True)
    width = run.run(compose(tmp_path, "analyses=[counting]"))
    assert width == run.run(compose(finished))  # still that of the order
    page = page_of(tmp_path, "smoke")
    assert "What was counted" in page
    assert "Cross-classifier accuracy" in page
    assert "1803.08337" in page


def test_a_report_shows_what_was_measured_so_far(tmp_path: Path, counted: list[str]) -> None:
    """With autoencoders chosen, but none made yet: as of a study that began with an analysis."""
    run.run(compose(tmp_path, *MEASURED))
    (tmp_path / "alone" / "report" / "index.html").unlink()
    run.run(compose(tmp_path, "task=report", "study=alone"))
    assert "What was counted" in page_of(tmp_path)


def test_weights_of_ones_own_are_not_looked_for(finished: Path, tmp_path: Path) -> None:
    weights = finished / "smoke" / "classifiers" / "vgg_compact.safetensors"
    run.run(compose(tmp_path, *ALONE, "classifiers=[vgg_compact]", "classifier=vgg_compact",
                    f"classifier.weights={weights}"))  # fmt: skip
    assert "<td>elsewhere</td>" in page_of(tmp_path)


def test_images_may_be_smaller_than_an_autoencoder_takes(tmp_path: Path) -> None:
    run.run(compose(tmp_path, *ALONE, "data.size=7", "classifiers=[resnet_compact]"))
    assert "7 × 7" in page_of(tmp_path)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["measurements=[robustness]"], r"measurements=\['robustness'\] needs autoencoders, and autoencoder=none says"),
        (["controls=[second_start]"], r"controls=\['second_start'\] needs autoencoders, .*autoencoder=segnet_compact"),
        (
            ["analyses=[robustness]", "robustness.alone.attack.norm=l1"],
            r"robustness.alone.attack.norm=l1: give linf or l2",
        ),
        (["seeds=[0,1]"], r"seeds=\[0, 1\] needs autoencoders"),
        (["task=finetune"], r"task=finetune needs autoencoders"),
        (["task=cross_evaluate"], r"task=cross_evaluate needs autoencoders"),
        (["analyses=[clas_patterns]"], r"analyses: there is no clas_patterns; did you mean class_patterns\?"),
        (["task=report"], r"vgg_compact.safetensors does not exist. Make it with: .*task=train_classifier classifier"),
    ],
)
def test_what_cannot_be_done_alone_is_said_before_any_work(overrides: list[str], message: str, tmp_path: Path) -> None:
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        run.run(compose(tmp_path, *ALONE, *overrides))
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and "jobs" not in path.parts]


def test_a_signal_makes_no_autoencoder_of_none(tmp_path: Path) -> None:
    assert not has_autoencoders(compose(tmp_path, *ALONE, "objective=no_switches"))
    assert has_autoencoders(compose(tmp_path, "objective=no_switches"))
    assert np.isfinite(run.run(compose(tmp_path, *ALONE, "objective=no_switches")))


def test_classifiers_with_the_same_title_are_told_apart() -> None:
    titles = {"vgg": "VGG", "vgg_wide": "VGG", "resnet": "ResNet"}
    configs = {name: OmegaConf.create({"title": title}) for name, title in titles.items()}
    assert titles_of(configs) == {"vgg": "VGG (vgg)", "vgg_wide": "VGG (vgg_wide)", "resnet": "ResNet"}
