"""A whole study on drawn images, made once, and ways to compose a configuration and call the program."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import hydra
import pytest
from hydra.core.global_hydra import GlobalHydra
from omegaconf import DictConfig

import run

REPOSITORY = Path(run.__file__).parent
Compose = Callable[..., DictConfig]
Program = Callable[..., subprocess.CompletedProcess[str]]


def compose(studies: Path, *overrides: str) -> DictConfig:
    GlobalHydra.instance().clear()
    with hydra.initialize_config_dir(str(run.CONF), version_base="1.3"):
        return hydra.compose("config", overrides=["experiment=smoke", f"studies={studies}", *overrides])


@pytest.fixture
def composed(tmp_path: Path) -> Compose:
    """The smoke configuration with overrides, in a folder of this test."""
    return lambda *overrides: compose(tmp_path, *overrides)


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
