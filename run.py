"""The one entry point: compose the configuration, run one task. See ``python run.py --help``."""

import difflib
import importlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import hydra
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException, InstantiationException, MissingConfigException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

# Before torch loads: when another program shares the cores, threads that spin make both more than ten times slower.
os.environ.setdefault("GOMP_SPINCOUNT", "1000")

from tasks.classifiers import settle
from tasks.study_folder import flattened, write_text
from tasks.terminal import is_first_rank

CONF = Path(__file__).resolve().parent / "conf"
FULL_ERRORS = "HYDRA_FULL_ERROR" in os.environ
STEPS_PER_CLASSIFIER = ("train_classifier", "finetune")


def job_name(*, _root_: DictConfig) -> str:
    """Name of a job's folder: the task, and the classifier it works on."""
    if OmegaConf.is_missing(_root_.classifier, "name"):
        raise ValueError("classifier.name is not set: name one of the library's, as classifier.name=resnet18")
    task = str(_root_.task)
    return f"{task}-{_root_.classifier.name}" if task in STEPS_PER_CLASSIFIER else task


OmegaConf.register_new_resolver("job_name", job_name, replace=True)


def run(cfg: DictConfig) -> float:
    """Run the task of a composed configuration and return its objective."""
    if cfg.classifier_settings and not OmegaConf.is_missing(cfg.classifier, "name"):
        settle(cfg.classifier, cfg.classifier_settings.get(cfg.classifier.name))
    OmegaConf.resolve(cfg)
    return float(importlib.import_module(f"tasks.{cfg.task}").run(cfg))


@hydra.main(version_base="1.3", config_path="conf", config_name="config")
def main(cfg: DictConfig) -> float:
    """Run one job, in its own process when it is one of a sweep."""
    job = HydraConfig.get()
    folder = Path(job.runtime.output_dir)
    if job.mode == RunMode.MULTIRUN:  # Lightning starts ranks by re-running argv: give them one job, not the sweep
        command = [sys.executable, __file__, *job.overrides.task, f"hydra.run.dir='{folder}'", "hydra.mode=RUN"]
        subprocess.run(command, cwd=job.runtime.cwd, check=True)  # noqa: S603
        return float(json.loads((folder / "metrics.json").read_text())["objective"])
    with one_line_errors():
        objective = run(cfg)
        if is_first_rank():
            write_text(folder / "metrics.json", json.dumps({"objective": objective}) + "\n")
    return objective


@contextmanager
def one_line_errors() -> Iterator[None]:
    """End the program with one line when what a person asked for cannot be done; ``HYDRA_FULL_ERROR=1`` shows all."""
    try:
        yield
    except subprocess.CalledProcessError as error:
        sys.exit(error.returncode)  # the job itself has said why
    except (HydraException, OmegaConfBaseException, ValueError, OSError) as error:
        if FULL_ERRORS:
            raise
        sys.exit(f"error: {explain(error)}")


def explain(error: BaseException) -> str:
    """The cause of an error in one line, with the nearest valid names where one was mistyped."""
    if isinstance(error, InstantiationException) and error.__cause__ is not None:
        return explain(error.__cause__)
    if isinstance(error, MissingConfigException) and error.missing_cfg_file is not None:
        group, _, name = error.missing_cfg_file.rpartition("/")
        choices = sorted(path.stem for path in (CONF / group).glob("*.yaml"))
        near = difflib.get_close_matches(name, choices) or choices
        return f"there is no conf/{error.missing_cfg_file}.yaml. Did you mean {group}={' or '.join(near)}?"
    text = " ".join(str(error).split())
    text = re.sub(r"^ValueError raised while resolving interpolation: (.*?) full_key: .*", r"\1", text)
    mistyped = re.match(r"Could not override '([^']+)'", text)
    if mistyped is None:
        return text
    name = mistyped.group(1)
    near = difflib.get_close_matches(name, known_keys(), n=3, cutoff=0.5)
    hint = f"Did you mean {' or '.join(near)}?" if near else "See: python run.py --help"
    return f"there is no key or group {name!r} in this configuration. {hint}"


def known_keys() -> list[str]:
    """Every key of the default configuration, dotted, and every config group."""
    GlobalHydra.instance().clear()
    with hydra.initialize_config_dir(str(CONF), version_base="1.3"):
        tree = OmegaConf.to_container(hydra.compose("config"), resolve=False)
    groups = [path.name for path in CONF.iterdir() if path.is_dir()]
    return [*flattened(tree), *groups]


if __name__ == "__main__":
    os.environ["HYDRA_FULL_ERROR"] = "1"  # so that errors in the configuration get here, too
    with one_line_errors():
        main()
