"""The one entry point: compose the configuration, run one task. See ``python run.py --help``."""

import difflib
import importlib
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

CONF = Path(__file__).resolve().parent / "conf"
STEPS_PER_CLASSIFIER = ("train_classifier", "finetune")


def job_name(*, _root_: DictConfig) -> str:
    """Name of a job's folder: the task, and the classifier it works on."""
    task = str(_root_.task)
    return f"{task}-{_root_.classifier.name}" if task in STEPS_PER_CLASSIFIER else task


OmegaConf.register_new_resolver("job_name", job_name, replace=True)


def run(cfg: DictConfig) -> float:
    """Run the task of a composed configuration and return its objective."""
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
    objective = run(cfg)
    (folder / "metrics.json").write_text(json.dumps({"objective": objective}) + "\n")
    return objective


def explain(error: Exception) -> str:
    """One line that names the cause of an error, and the nearest valid names where one was mistyped."""
    text = " ".join(str(error).split())
    mistyped = re.search(r"Could not (?:override|find|load) '([^']+)'", text)
    if mistyped is None:
        return text
    name = mistyped.group(1).removeprefix("classifier/") if False else mistyped.group(1)
    near = difflib.get_close_matches(name, known_names(), n=3, cutoff=0.5)
    reason = text.split("To append to your config")[0].split("Did you mean to override")[0].strip()
    return f"{reason} Did you mean: {', '.join(near)}?" if near else reason


def known_names() -> list[str]:
    """Every key of the default configuration, dotted, and every choice, as ``group/name``."""
    from hydra import compose

    from tasks.study_folder import flattened

    keys = list(flattened(OmegaConf.to_container(compose("config"), resolve=False)))
    return keys + [str(path.relative_to(CONF).with_suffix("")) for path in CONF.glob("*/*.yaml")]


if __name__ == "__main__":
    full_trace = "HYDRA_FULL_ERROR" in os.environ
    os.environ["HYDRA_FULL_ERROR"] = "1"  # let errors reach the lines below
    try:
        main()
    except subprocess.CalledProcessError as error:
        sys.exit(error.returncode)  # the job itself has said why
    except (HydraException, OmegaConfBaseException, ValueError, OSError) as error:
        if full_trace:
            raise
        sys.exit(f"error: {explain(error)}")
