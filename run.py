"""The one entry point: compose the configuration, run one task. See ``python run.py --help``."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from callbacks.stopping import STOP_SIGNALS, stop_before_work

if __name__ == "__main__":  # from the first line on: an exception while modules load would be a traceback
    for number in STOP_SIGNALS:
        signal.signal(number, stop_before_work)

# Before torch loads: when another program shares the cores, threads that spin make both more than ten times slower.
os.environ.setdefault("GOMP_SPINCOUNT", "1000")

from tasks.registry import TASKS, check_settings, job_name, register_settings, run_task, settings_classes, task_named

CONF = Path(__file__).resolve().parent / "conf"


def show_help(arguments: list[str]) -> None:
    """Print the overview, or the keys of the task that is named; before Hydra and PyTorch load."""
    from study import help

    named = [argument.removeprefix("task=") for argument in arguments if argument.startswith("task=")]
    if not named:
        groups: dict[str, list[tuple[str, str]]] = {}
        for task in TASKS:
            groups.setdefault(task.group, []).append((task.name, task.about))
        print(help.overview(groups, CONF))  # noqa: T201
        return
    from study.settings.common import Common

    task = task_named(named[-1])
    keys = [help.of_settings(task.name, settings)] if (settings := task.settings_class()) else []
    about = f"task={task.name}: {task.about}"
    print("\n".join([about, "", *keys, "", "Keys of every task:", help.of_settings("", Common)]))  # noqa: T201


if __name__ == "__main__" and {"-h", "--help"} & set(sys.argv):
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # --help | head
    try:
        show_help(sys.argv)
    except ValueError as error:
        sys.exit(f"error: {error}")
    sys.exit()

if __name__ == "__main__" and any(argument.startswith("--e") for argument in sys.argv):  # or an abbreviation of it
    sys.exit("error: --experimental-rerun unpickles a file, which can run code: repeat the command that job.json has")

import hydra

from study.configuration.resolvers import register_resolvers
from study.configuration.shared_files import guard_configuration
from study.configuration.shortcuts import expanded, trusted_packages

register_settings()
register_resolvers(job_name)
guard_configuration()

if __name__ == "__main__":
    try:
        sys.argv[1:] = expanded(sys.argv[1:])
    except ValueError as error:
        sys.exit(f"error: {error}")

if __name__ == "__main__" and {"-sc", "--shell-completion"} & set(sys.argv):  # at every Tab: before PyTorch loads
    hydra.main(version_base="1.3", config_path=str(CONF), config_name="config")(lambda cfg: None)()
    sys.exit()

from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from callbacks.stopping import STOP_REQUESTS
from study.artifact import flattened
from study.classifiers import use_decisions
from study.configuration.classifier_files import apply_command
from study.configuration.environment import explained_by_name
from study.configuration.instantiation import refuse_escaped
from study.distributed import follow_parent
from study.errors import Explainer, one_line_errors
from study.folder import run_folder
from study.jobs import objective_of, only_one, recorded
from study.settings.common import Common

# noted for the processes that this one starts, because Hydra's own variable is set below
FULL_ERRORS = os.environ.setdefault("LIKE_TO_SEE_FULL_ERRORS", str("HYDRA_FULL_ERROR" in os.environ)) == "True"
EXPLAIN = explained_by_name(Explainer({"": Common, **settings_classes()}, lambda: known_keys()))


def run(cfg: DictConfig) -> float:
    """Run the task of a composed configuration and return its objective."""
    check_settings(cfg)
    apply_command(cfg, task_named(cfg.task).per_classifier)
    refuse_escaped(OmegaConf.to_container(cfg, resolve=True), "")
    OmegaConf.resolve(cfg)
    if task_named(cfg.task).labelled and cfg.accuracy is None:
        use_decisions(cfg)
    return run_task(cfg)


@hydra.main(version_base="1.3", config_path="conf", config_name="config")
def main(cfg: DictConfig) -> float:
    """Run one job, in a process of its own when it is one of a sweep."""
    job = HydraConfig.get()
    folder = Path(job.runtime.output_dir)
    overrides: Any = OmegaConf.to_container(job.overrides.task, resolve=False)  # as typed: no value of the environment
    if job.mode == RunMode.MULTIRUN:  # Lightning starts ranks by re-running argv: give them one job, not the sweep
        command = [sys.executable, __file__, *overrides, run_folder(folder), "hydra.mode=RUN"]
        subprocess.run(command, cwd=job.runtime.cwd, check=True)  # noqa: S603
        return objective_of(folder)
    config = OmegaConf.to_yaml(cfg)
    with (
        one_line_errors(EXPLAIN, FULL_ERRORS, folder),
        only_one(folder),
        recorded(folder, overrides, config, EXPLAIN) as outcome,
    ):
        from networks.own_network import trust_packages  # not sooner: a sweep needs no PyTorch
        from study.lightning_fixes import leave_ranks

        trusted = trusted_packages(sys.argv[1:])  # a file of the configuration cannot add one
        if sorted(cfg.trust) != sorted(trusted):
            raise ValueError(f"trust={list(cfg.trust)}: packages are trusted on the command line only, as trust=[mine]")
        trust_packages(trusted)
        outcome["objective"] = run(cfg)
        leave_ranks()
    return float(outcome["objective"])


def known_keys() -> list[str]:
    """Every key of the default configuration, dotted, and every config group."""
    GlobalHydra.instance().clear()
    with hydra.initialize_config_dir(str(CONF), version_base="1.3"):
        tree = OmegaConf.to_container(hydra.compose("config"), resolve=False)
    return [*flattened(tree), *(path.name for path in CONF.iterdir() if path.is_dir())]


if __name__ == "__main__":
    os.environ["HYDRA_FULL_ERROR"] = "1"  # so that errors in the configuration get here, too
    follow_parent()
    if not {"-m", "--multirun"} & set(sys.argv):  # a sweep leaves signals to its jobs
        STOP_REQUESTS.listen()
    else:
        STOP_REQUESTS.restore()
    with one_line_errors(EXPLAIN, FULL_ERRORS):
        main()
