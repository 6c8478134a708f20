"""A whole study on drawn images, made once, and ways to compose a configuration and call the program."""

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import hydra
import pytest
import torch
from hydra.core.global_hydra import GlobalHydra
from omegaconf import DictConfig
from torch import nn

import run
import study.classifiers
import tasks.train_classifier
from networks.classifier import Classifier, calibrate

REPOSITORY = Path(run.__file__).parent
Compose = Callable[..., DictConfig]
Program = Callable[..., subprocess.CompletedProcess[str]]


def compose_any(studies: Path, *overrides: str) -> DictConfig:
    GlobalHydra.instance().clear()
    with hydra.initialize_config_dir(str(run.CONF), version_base="1.3"):
        return hydra.compose("config", overrides=[f"studies={studies}", *overrides])


def compose(studies: Path, *overrides: str) -> DictConfig:
    return compose_any(studies, "experiment=smoke", *overrides)


@pytest.fixture
def composed(tmp_path: Path) -> Compose:
    """The smoke configuration with overrides, in a folder of this test."""
    return lambda *overrides: compose(tmp_path, *overrides)


@pytest.fixture
def _class_0_favoured(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every classifier is made to say class 0: untrained networks then have an accuracy above 0, as the order needs."""
    make = study.classifiers.make_classifier

    def make_favouring(*arguments: Any) -> Classifier:
        classifier = make(*arguments)
        last = [module for module in classifier.modules() if isinstance(module, nn.Linear | nn.Conv2d)][-1]
        assert last.bias is not None
        with torch.no_grad():
            calibrate(classifier, torch.rand(2, 3, 64, 64))
            last.bias[0] += 10_000
        return classifier

    for module in (study.classifiers, tasks.train_classifier):
        monkeypatch.setattr(module, "make_classifier", make_favouring)


@pytest.fixture
def program() -> Program:
    """``python run.py`` with arguments, in a process of its own."""

    def call(*arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, str(REPOSITORY / "run.py"), *arguments]
        done = subprocess.run(command, capture_output=True, text=True, cwd=REPOSITORY, check=False)
        assert not check or done.returncode == 0, done.stdout + done.stderr
        return done

    return call


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The ``studies`` folder of a finished smoke study; tests read it and copy it, and never write to it."""
    studies = tmp_path_factory.mktemp("finished")
    run.run(compose(studies))
    return studies


@pytest.fixture
def copied(finished: Path, tmp_path: Path) -> Path:
    """A copy of it for a test that runs something, even if that is refused: a job leaves its lock behind."""
    shutil.copytree(finished, tmp_path / "studies")
    return tmp_path / "studies"
