"""Text that a configuration takes from the environment is recorded by the name of the variable."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

import run
from study.artifact import Artifact
from study.configuration import environment
from study.configuration.environment import by_name
from study.programs import program as find
from tests.studies import REPOSITORY, Program, compose

SECRET, TOKEN = "5b1f0e9c7a3d2846b1f0e9c7a3d28465b1f0e9c7", 'sec\'ret "token"\\ of\ttwo  words'


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environment, "VALUES", {})
    for name, value in {"WANDB_API_KEY": SECRET, "A_TOKEN": TOKEN, "A_PIN": "4711", "A_WORD": "cat"}.items():
        monkeypatch.setenv(name, value)


def recorded(tree: Any, digests: bool = False) -> Any:
    """How the resolved values of a configuration are recorded."""
    return by_name(OmegaConf.to_container(OmegaConf.create(tree), resolve=True), digests)


def test_text_is_recorded_by_name() -> None:
    assert recorded({
        "a": "${oc.env:WANDB_API_KEY}", "b": ["${..a}", {"c": "user:${oc.env:WANDB_API_KEY}@host"}],
        "d": "${oc.env:A_TOKEN,x}", "e": "${oc.env:NOT_SET,default}", "f": "${oc.decode:${oc.env:A_PIN}}",
        "g": "${oc.env:A_PIN}", "h": "${oc.env:A_WORD}", "i": "concatenate", "j": SECRET, "k": 0.5, "l": None,
    }) == {
        "a": "${oc.env:WANDB_API_KEY}", "b": ["${oc.env:WANDB_API_KEY}", {"c": "user:${oc.env:WANDB_API_KEY}@host"}],
        "d": "${oc.env:A_TOKEN}", "e": "default", "f": 4711,
        "g": "4711", "h": "${oc.env:A_WORD}", "i": "concatenate", "j": "${oc.env:WANDB_API_KEY}", "k": 0.5, "l": None,
    }  # fmt: skip


def test_what_a_decoded_text_holds_is_recorded_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("A_LIST", f"[{SECRET},{{key:another_secret}}]")
    assert recorded({"a": "${oc.decode:${oc.env:A_LIST}}"}) == {"a": ["${oc.env:A_LIST}", {"key": "${oc.env:A_LIST}"}]}


def test_errors_do_not_show_the_value() -> None:
    _ = recorded({"a": "${oc.env:A_TOKEN}", "b": "${oc.env:WANDB_API_KEY}"})
    text = run.EXPLAIN(ValueError(f"a={TOKEN!r}: wrong; b={SECRET}: wrong, too; {' '.join(TOKEN.split())}"))
    assert text == "a='${oc.env:A_TOKEN}': wrong; b=${oc.env:WANDB_API_KEY}: wrong, too; ${oc.env:A_TOKEN}"


def test_settings_of_another_value_are_other_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def artifact(value: str) -> Artifact:
        monkeypatch.setenv("A_TOKEN", value)
        plain: Any = OmegaConf.to_container(OmegaConf.create({"names": ["${oc.env:A_TOKEN}"]}), resolve=True)
        return Artifact([tmp_path / "a.csv"], tmp_path / "a.json", plain, {}, precious=True)

    with artifact("first secret").making(1.0) as temporary:
        temporary[tmp_path / "a.csv"].write_text("a\n")
    assert artifact("first secret").exists()
    with pytest.raises(
        ValueError, match=r"made with other settings: names was \['\$\{oc\.env:A_TOKEN\} sha256:"
    ) as caught:
        artifact("second secret").exists()
    assert "secret" not in str(caught.value) + (tmp_path / "a.json").read_text()


def test_numbers_of_the_environment_stay_numbers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLURM_ARRAY_TASK_ID", "3")
    cfg = compose(tmp_path, "seed='${oc.decode:${oc.env:SLURM_ARRAY_TASK_ID}}'")
    assert by_name(OmegaConf.to_container(cfg, resolve=True))["seed"] == 3


def holding(folder: Path, text: str) -> list[Path]:
    """The files in a folder that hold a text."""
    return [path for path in folder.rglob("*") if path.is_file() and text.encode() in path.read_bytes()]


@pytest.mark.slow
def test_no_file_of_a_study_holds_the_value(tmp_path: Path, program: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("A_SCHEDULE", "one_cycle")
    arguments = ("experiment=smoke", "task=pretrain", "pretrain.epochs=1", "logger=[csv,tensorboard,wandb_offline]",
                 "accuracy=${oc.env:WANDB_API_KEY}", "intervals.covariates=/data/${accuracy}",
                 "layer=[${oc.env:WANDB_API_KEY}]", "pretrain.schedule=${oc.env:A_SCHEDULE}",
                 f"studies={tmp_path}")  # fmt: skip
    for more in (("study=one",), ("-m", "study=two")):
        done = program(*more, *arguments)
        assert SECRET not in done.stdout + done.stderr
    assert not holding(tmp_path, SECRET)
    for study in ("one", "two"):
        job = tmp_path / study / "jobs" / "pretrain"
        overrides = [text.replace("\\", "") for text in json.loads((job / "job.json").read_text())["overrides"]]
        typed = {"accuracy=${oc.env:WANDB_API_KEY}", "intervals.covariates=/data/${accuracy}"}
        assert typed <= set(overrides)  # a sweep escapes brackets
        assert "covariates: /data/${oc.env:WANDB_API_KEY}" in (job / "log" / "hparams.yaml").read_text()
        assert "accuracy: ${oc.env:WANDB_API_KEY}" in (job / "config.yaml").read_text()
        settings = json.loads((tmp_path / study / "autoencoders" / "pretrained.json").read_text())["settings"]
        assert settings["pretrain"]["schedule"].startswith("${oc.env:A_SCHEDULE} sha256:")
        assert any("wandb" in path.parts for path in holding(tmp_path / study, "${oc.env:WANDB_API_KEY}"))
    done = program(*arguments, "study=three", "finetune.schedule=${oc.env:WANDB_API_KEY}", check=False)
    assert "finetune.schedule=${oc.env:WANDB_API_KEY}: give constant or " in done.stderr
    assert not holding(tmp_path, SECRET)


def test_programs_are_found_when_their_module_loads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for folder in (tmp_path / "one", tmp_path / "two"):
        folder.mkdir()
        (folder / "git").write_text(f"#!/bin/sh\ntouch {folder}/canary\n")
        (folder / "git").chmod(0o755)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", f"one:.::{tmp_path}/two")
    assert find("git") == str(tmp_path / "two" / "git")  # folders that are not absolute are left out
    assert find("no_such_program") is None


def test_a_changed_environment_chooses_no_git(tmp_path: Path) -> None:
    (tmp_path / "git").write_text(f"#!/bin/sh\ntouch {tmp_path}/canary\n")
    (tmp_path / "git").chmod(0o755)
    changes = {"PATH": str(tmp_path), "GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": "core.fsmonitor",
               "GIT_CONFIG_VALUE_0": f"touch {tmp_path}/canary; false"}  # fmt: skip
    code = f"import os, study.artifact as a; os.environ.update({changes!r}); print(a.git_commit())"
    done = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    assert len(done.stdout.strip().rstrip("+")) == 40
    assert not (tmp_path / "canary").exists()
    described = ["git", "describe", "--always", "--dirty=+"]
    subprocess.run(described, cwd=REPOSITORY, env=os.environ | {**changes, "PATH": os.environ["PATH"]}, check=False)
    assert (tmp_path / "canary").exists()  # git itself obeys these variables
