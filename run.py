"""The one entry point: compose the configuration, run one task. See ``python run.py --help``."""

import difflib
import errno
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

from callbacks import STOP_REQUESTS, Stopped
from study.artifact import flattened
from study.classifiers import apply_settings
from study.console import rank, say
from study.distributed import follow_parent, is_spawned_rank, leave_ranks
from study.jobs import STOPPED, job_name, read_record, recorded, run_task

CONF = Path(__file__).resolve().parent / "conf"
# noted for the processes that this one starts, because Hydra's own variable is set below
FULL_ERRORS = os.environ.setdefault("LIKE_TO_SEE_FULL_ERRORS", str("HYDRA_FULL_ERROR" in os.environ)) == "True"


def name_of_job(*, _root_: DictConfig) -> str:
    """Name of the folder of the job that a configuration describes."""
    if OmegaConf.is_missing(_root_.classifier, "name"):
        raise ValueError("classifier.name is not set: name one of the library's, as classifier.name=resnet18")
    return job_name(_root_.task, _root_.classifier.name, _root_.seed)


def ranks_per_node(*, _root_: DictConfig) -> int:
    """Processes that a job wants on each machine of a cluster: one for each device."""
    devices = _root_.trainer.devices
    if not isinstance(devices, int) or devices < 1:
        raise ValueError(f"trainer.devices={devices}: on a cluster, give the number of devices of each node")
    return devices


def gpus_per_node(*, _root_: DictConfig) -> int:
    """GPUs that a job wants on each machine."""
    return ranks_per_node(_root_=_root_) if _root_.trainer.accelerator in ("gpu", "cuda") else 0


def cpus_per_rank(*, _root_: DictConfig) -> int:
    """Processors for each rank: one to train, and one for each loading process."""
    return 1 + int(_root_.data.get("workers", 0))


for resolver in (ranks_per_node, gpus_per_node, cpus_per_rank):
    OmegaConf.register_new_resolver(resolver.__name__, resolver, replace=True)
OmegaConf.register_new_resolver("job_name", name_of_job, replace=True)


def run(cfg: DictConfig) -> float:
    """Run the task of a composed configuration and return its objective."""
    if cfg.classifier_settings and not OmegaConf.is_missing(cfg.classifier, "name"):
        apply_settings(cfg.classifier, cfg.classifier_settings.get(cfg.classifier.name))
    OmegaConf.resolve(cfg)
    return run_task(cfg)


@hydra.main(version_base="1.3", config_path="conf", config_name="config")
def main(cfg: DictConfig) -> float:
    """Run one job, in its own process when it is one of a sweep."""
    job = HydraConfig.get()
    folder = Path(job.runtime.output_dir)
    if job.mode == RunMode.MULTIRUN:  # Lightning starts ranks by re-running argv: give them one job, not the sweep
        command = [sys.executable, __file__, *job.overrides.task, f"hydra.run.dir='{folder}'", "hydra.mode=RUN"]
        subprocess.run(command, cwd=job.runtime.cwd, check=True)  # noqa: S603
        return float(read_record(folder)["objective"])
    with one_line_errors(), recorded(folder, list(job.overrides.task), explain) as outcome:
        outcome["objective"] = run(cfg)
        leave_ranks()
    return float(outcome["objective"])


@contextmanager
def one_line_errors() -> Iterator[None]:
    """End the program with one line when what a person asked for cannot be done; ``HYDRA_FULL_ERROR=1`` shows all."""
    try:
        yield
    except Stopped as stop:
        say(f"stopped by {stop}: the same command goes on from here")
        sys.exit(0 if is_spawned_rank() else STOPPED)  # a rank's failure would have the first one killed
    except subprocess.CalledProcessError as error:
        sys.exit(error.returncode)  # the job itself has said why
    except (HydraException, OmegaConfBaseException, ValueError, OSError, RuntimeError) as error:
        if FULL_ERRORS or not (text := explain(error)):
            raise
        sys.exit(f"error: {text}" if rank() == 0 else f"error on rank {rank()}: {text}")


def explain(error: BaseException) -> str:
    """The cause of an error in one line, with the nearest valid names where one was mistyped; empty if unknown."""
    if isinstance(error, InstantiationException) and error.__cause__ is not None:
        return explain(error.__cause__)
    if isinstance(error, MissingConfigException) and error.missing_cfg_file is not None:
        group, _, name = error.missing_cfg_file.rpartition("/")
        choices = sorted(path.stem for path in (CONF / group).glob("*.yaml"))
        near = difflib.get_close_matches(name, choices) or choices
        return f"there is no conf/{error.missing_cfg_file}.yaml. Did you mean {group}={' or '.join(near)}?"
    text = " ".join(str(error).split())
    if isinstance(error, RuntimeError) and not isinstance(error, (HydraException, OmegaConfBaseException)):
        return explain_death(text)
    if isinstance(error, OSError) and error.errno in (errno.EROFS, errno.EACCES, errno.EPERM):
        return f"{text}. Results need a folder that can be written: name one, as studies=/path/to/studies"
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"{text}. What was whole before still is: make room, and the same command goes on"
    text = re.sub(r"^ValueError raised while resolving interpolation: (.*?) full_key: .*", r"\1", text)
    mistyped = re.match(r"Could not override '([^']+)'", text)
    if mistyped is None:
        return text
    name = mistyped.group(1)
    near = difflib.get_close_matches(name, known_keys(), n=3, cutoff=0.5)
    hint = f"Did you mean {' or '.join(near)}?" if near else "See: python run.py --help"
    return f"there is no key or group {name!r} in this configuration. {hint}"


def explain_death(text: str) -> str:
    """What to say when another process of the same job has died; empty if the error is another one."""
    if re.search(r"DataLoader worker .* (exited unexpectedly|is killed by signal)", text):
        return (
            f"a process that loads images died: {text}. If memory ran out, lower data.workers; the same command goes "
            "on from the last checkpoint"
        )
    if re.search(r"[Cc]onnection (closed|reset) by (remote )?peer|Gloo|gloo|NCCL|Broken pipe", text):
        return (
            f"another rank of this job died, see its own message ({text[:200]}). The same command goes on from the "
            "last checkpoint"
        )
    return ""


def known_keys() -> list[str]:
    """Every key of the default configuration, dotted, and every config group."""
    GlobalHydra.instance().clear()
    with hydra.initialize_config_dir(str(CONF), version_base="1.3"):
        tree = OmegaConf.to_container(hydra.compose("config"), resolve=False)
    groups = [path.name for path in CONF.iterdir() if path.is_dir()]
    return [*flattened(tree), *groups]


if __name__ == "__main__":
    os.environ["HYDRA_FULL_ERROR"] = "1"  # so that errors in the configuration get here, too
    follow_parent()
    if not {"-m", "--multirun"} & set(sys.argv):  # a sweep leaves signals to its jobs
        STOP_REQUESTS.listen()
    with one_line_errors():
        main()
