"""Hydra launchers: every job of a sweep is an ordinary single run of the program, here, in processes or on Slurm.

Lightning starts the ranks of a job by running its command line again; inside a sweep that would start the whole sweep.
So a job gets a command line of its own. No job takes others down; at the end a table says what became of each.
"""

import signal
import subprocess
import sys
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra.core.utils import JobReturn, JobStatus, filter_overrides, setup_globals
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf, open_dict

from study.folder import run_folder

PROGRAM = Path(__file__).resolve().parents[1] / "run.py"
STOPPED = 75  # exit status of a job that was asked to stop, has saved, and can go on
DONE = ("finished", "there already")


@dataclass(eq=False)
class SweepJob:
    """A job of a sweep.

    Attributes:
        overrides: What makes it this job.
        config: Its whole configuration.
        folder: Its folder.
        state: What became of it: ``finished``, ``there already``, ``stopped``, ``failed`` or ``killed``.
        why: Why, if it did not end well.
        objective: What its task returned.
        handle: The handle of submitit, once the job is submitted.
    """

    overrides: list[str]
    config: DictConfig
    folder: Path
    state: str = ""
    why: str = ""
    objective: float = float("nan")
    handle: Any = None

    @property
    def task_config(self) -> DictConfig:
        """The configuration that the task gets."""
        config = self.config.copy()
        with open_dict(config):
            del config["hydra"]
        return config

    @property
    def command(self) -> list[str]:
        """The single run that does this job."""
        return [sys.executable, str(PROGRAM), *self.arguments, run_folder(self.folder), "hydra.mode=RUN"]

    @property
    def arguments(self) -> list[str]:
        """Its overrides as they were typed: interpolations are the job's to resolve, and no value gets into records."""
        typed: Any = OmegaConf.to_container(self.config.hydra.overrides.task, resolve=False)
        return list(typed)

    def resources(self) -> dict[str, Any]:
        """What this job asks of its launcher.

        Raises:
            ValueError: If a text has several lines: in the script of a cluster, the second one would be a command.
        """
        plain: Any = OmegaConf.to_container(self.config.hydra.launcher, resolve=True)
        del plain["_target_"]
        for name, value in plain.items():
            if isinstance(value, str) and not value.isprintable():
                raise ValueError(f"hydra.launcher.{name}={value!r}: give text of one line")
        return plain

    def is_there(self) -> bool:
        """Whether the same job has finished before, and what it made is still there."""
        from study.jobs import checked_config, objective_of, read_record  # loads PyTorch
        from tasks.registry import weights_made

        record = read_record(self.folder)
        if record.get("status") != "finished":
            return False
        config = self.task_config
        made = weights_made(config)
        if made is None or not made.exists():
            return False
        try:
            if checked_config(self.folder, record) != OmegaConf.to_yaml(config):
                return False
            self.objective = objective_of(self.folder)
        except (OSError, ValueError):  # what is kept of it is damaged or gone
            return False
        self.state = "there already"
        return True

    def ended(self, codes: Sequence[int], log: Path | None = None) -> None:
        """Note what became of it, from the exit statuses of its ranks (none: it was killed) and its records."""
        from study.jobs import failures_of_ranks, objective_of, read_record

        record = read_record(self.folder)
        causes = [*([str(record["error"])] if "error" in record else []), *failures_of_ranks(self.folder)]
        broken = [code for code in codes if code not in (0, STOPPED)]
        if codes and not broken and STOPPED in codes:
            self.state, causes = "stopped", ["asked to stop, and saved: the same command goes on"]
        elif codes and not broken and record.get("status") == "finished":
            self.state, self.objective, causes = "finished", objective_of(self.folder), []
        elif not codes or any(code < 0 for code in broken):
            names = [signal.Signals(-code).name for code in broken if code < 0]
            reason = f"ended by {names[0]}" if names else "ended with no result: killed, cancelled or out of time"
            self.state, causes = "killed", [reason, *causes]
        else:
            self.state = "failed"
        self.why = "; ".join(causes) or ("" if self.state in DONE else f"exit status {broken[0] if broken else 0}")
        if log is not None and self.state not in DONE:
            self.why += f" (log: {log})"

    def as_return(self) -> JobReturn:
        """What Hydra gets of a job that has finished."""
        result = JobReturn(overrides=self.overrides, cfg=self.task_config, working_dir=str(self.folder))
        result.status, result.return_value = JobStatus.COMPLETED, self.objective
        return result


class SweepLauncher(Launcher):
    """What the launchers share: composing the jobs, the table at the end.

    Args:
        resources: The keys of ``hydra.launcher``; each job's are resolved with its own configuration.
    """

    config: DictConfig
    hydra_context: HydraContext

    def __init__(self, **resources: Any) -> None:
        super().__init__()

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Take what Hydra gives."""
        self.config, self.hydra_context = config, hydra_context

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Run all jobs, show what became of them, and return their results; ends the program if not all finished."""
        from callbacks.stopping import STOP_REQUESTS

        setup_globals()
        STOP_REQUESTS.restore()  # run.py listens, unless -m says that this is a sweep
        jobs = [self.compose(list(overrides), initial_job_idx + n) for n, overrides in enumerate(job_overrides)]
        refuse_shared_folders(jobs)
        self.run(jobs)
        show(jobs)
        if any(job.state not in DONE for job in jobs):
            sys.exit(1)  # Hydra would name the first one only
        return [job.as_return() for job in jobs]

    def compose(self, overrides: list[str], number: int) -> SweepJob:
        """A job's own configuration and folder."""
        config = self.hydra_context.config_loader.load_sweep_config(self.config, overrides)
        with open_dict(config):
            config.hydra.job.id, config.hydra.job.num = str(number), number
        folder = Path(str(config.hydra.sweep.dir)) / str(config.hydra.sweep.subdir)
        return SweepJob(list(filter_overrides(overrides)), config, folder.absolute())

    @abstractmethod
    def run(self, jobs: Sequence[SweepJob]) -> None:
        """Run the jobs and note what became of each."""


class LocalLauncher(SweepLauncher):
    """One job after the other, on this machine."""

    def run(self, jobs: Sequence[SweepJob]) -> None:
        """Run the jobs; Ctrl-C stops the one that runs and those that would follow."""
        from study.console import say

        for number, job in enumerate(jobs, start=1):
            say(f"[bold]job {number} of {len(jobs)}[/bold]: {label(job, jobs)}")
            process = subprocess.Popen(job.command, cwd=Path.cwd())  # noqa: S603
            try:
                process.wait()
            except KeyboardInterrupt:
                process.wait()  # it got the signal, too, and saves
                job.ended([process.returncode])
                for other in jobs[number:]:
                    other.state, other.why = "stopped", "not begun"
                return
            job.ended([process.returncode])


def refuse_shared_folders(jobs: Sequence[SweepJob]) -> None:
    """Two jobs must not work in one folder."""
    seen: dict[Path, SweepJob] = {}
    for job in jobs:
        other = seen.setdefault(job.folder, job)
        if other is not job:
            raise ValueError(
                f"two jobs of this sweep would work in {job.folder}: {' '.join(other.overrides)} and "
                f"{' '.join(job.overrides)}. Give each a study of its own, as 'study=lr_${{finetune.optimizer.lr}}'"
            )


def label(job: SweepJob, jobs: Sequence[SweepJob]) -> str:
    """What tells a job from the others of its sweep."""
    own = [text for text in job.overrides if not all(text in other.overrides for other in jobs)]
    return " ".join(own) or job.folder.name


def show(jobs: Sequence[SweepJob]) -> None:
    """The table at the end of a sweep."""
    from study.console import say, show_table

    rows = [[label(job, jobs), job.state, f"{job.objective:.4g}" if job.state in DONE else "", job.why] for job in jobs]
    show_table("jobs of the sweep", ["job", "state", "objective", "why"], rows)
    broken = [job for job in jobs if job.state not in DONE]
    if broken:
        say(f"[red]{len(broken)} of {len(jobs)} jobs have not finished.[/red] The same command goes on with these")
