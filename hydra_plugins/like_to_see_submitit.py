"""Sweeps through submitit: jobs side by side on this machine, or on a Slurm cluster. Needs the extra ``slurm``."""

import getpass
import importlib.util
import os
import signal
import subprocess
import sys
import time
from abc import abstractmethod
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra_plugins.like_to_see_launchers import STOPPED, SweepJob, SweepLauncher, label
from study.programs import program

SQUEUE = program("squeue")
COMMON = {
    "timeout_min",
    "cpus_per_task",
    "gpus_per_node",
    "tasks_per_node",
    "mem_gb",
    "nodes",
    "name",
    "stderr_to_stdout",
}
FAILED = "the process of this rank ended with status"
SECONDS_TO_SAVE = 100.0
SECONDS_UNTIL_REQUEUED = 120.0
SECONDS_FOR_RESULT = 10.0


@dataclass
class ClusterRank:
    """What the cluster runs for each rank of a job: the command of the job, in its own process.

    Attributes:
        command: The command.
        cwd: Folder to run it in.
        process: The process, once it runs.
    """

    command: list[str]
    cwd: str
    process: "subprocess.Popen[bytes] | None" = None

    def __call__(self) -> int:
        """Run the command; returns its exit status.

        Raises:
            RuntimeError: If it failed or was killed, so that the cluster ends the other ranks.
        """
        self.process = process = subprocess.Popen(self.command, cwd=self.cwd)  # noqa: S603
        # The signal of Slurm reaches this process only
        signal.signal(signal.SIGTERM, lambda number, frame: process.send_signal(number))
        while (code := self.process.poll()) is None:
            time.sleep(0.2)
        if code == STOPPED:
            time.sleep(SECONDS_UNTIL_REQUEUED)  # the cluster that asked for it now ends this process
        if code < 0:
            raise RuntimeError(f"the process of this rank was ended by {signal.Signals(-code).name}")
        if code not in (0, STOPPED):
            raise RuntimeError(f"{FAILED} {code}")
        return code

    def checkpoint(self) -> Any:
        """Before the job is put back into the queue: have the command save, and describe the same job again."""
        from submitit.helpers import DelayedSubmission

        assert self.process is not None
        self.process.send_signal(signal.SIGUSR2)
        end, look_only = time.monotonic() + SECONDS_TO_SAVE, os.WEXITED | os.WNOHANG | os.WNOWAIT
        # Not Popen.wait: the loop that this signal interrupted may hold its lock
        while time.monotonic() < end and not os.waitid(os.P_PID, self.process.pid, look_only):
            time.sleep(0.1)
        return DelayedSubmission(ClusterRank(self.command, self.cwd))


class SubmititLauncher(SweepLauncher):
    """What both kinds share: submitting, waiting, and reading what came back."""

    CLUSTER: str

    def run(self, jobs: Sequence[SweepJob]) -> None:
        """Submit the jobs that have not finished before, wait for all, and note what became of each."""
        if importlib.util.find_spec("submitit") is None:
            raise ValueError("this launcher needs submitit: pip install hydra-submitit-launcher (the extra 'slurm')")
        import cloudpickle

        cloudpickle.register_pickle_by_value(sys.modules[__name__])  # a cluster job need not find this file
        self.run_all([job for job in jobs if not job.is_there()])

    @abstractmethod
    def run_all(self, jobs: Sequence[SweepJob]) -> None:
        """Run jobs that have not finished before."""

    def submit(self, jobs: Sequence[SweepJob]) -> None:
        """Submit jobs that want the same resources, together."""
        import submitit

        resources = {key: value for key, value in jobs[0].resources().items() if value is not None}
        folder = resources.pop("submitit_folder")
        resources.pop("jobs_at_once", None)
        timeouts = {f"{self.CLUSTER}_max_num_timeout": resources.pop("max_num_timeout")}
        executor = submitit.AutoExecutor(folder=folder, cluster=self.CLUSTER, **timeouts)
        named = {key if key in COMMON else f"{self.CLUSTER}_{key}": value for key, value in resources.items()}
        executor.update_parameters(**named)
        with executor.batch() if len(jobs) > 1 else nullcontext():
            for job in jobs:
                job.handle = executor.submit(ClusterRank(job.command, str(Path.cwd())))

    def note(self, job: SweepJob) -> None:
        """Read what each rank of an ended job returned."""
        from submitit.core.utils import pickle_load

        first = job.handle.task(0).paths
        end = time.monotonic() + SECONDS_FOR_RESULT  # shared file systems are late
        while not first.result_pickle.exists() and time.monotonic() < end:
            time.sleep(0.5)
        codes: list[int] = []
        errors: list[str] = []
        for task in range(job.handle.num_tasks):
            path = job.handle.task(task).paths.result_pickle
            outcome, result = pickle_load(path) if path.exists() else ("none", None)
            if outcome == "success":
                codes.append(int(str(result)))
            elif outcome == "error":
                codes.append(1)
                last = str(result).strip().splitlines()[-1]
                errors += [] if FAILED in last else [f"rank {task}: {last}"]  # the job's record says why
        if not first.result_pickle.exists():
            codes = [code for code in codes if code not in (0, STOPPED)]
        job.ended(codes, first.stdout)
        if errors and job.why:
            job.why = "; ".join([*errors, job.why])


class SubmititLocalLauncher(SubmititLauncher):
    """Jobs in processes on this machine, some at a time; each starts its own ranks."""

    CLUSTER = "local"

    def run_all(self, jobs: Sequence[SweepJob]) -> None:
        """Start a job whenever fewer than ``jobs_at_once`` run."""
        waiting = list(jobs)
        running: list[SweepJob] = []
        at_once = int(jobs[0].resources()["jobs_at_once"]) if jobs else 0
        while waiting or running:
            while waiting and len(running) < at_once:
                running.append(waiting.pop(0))
                self.submit(running[-1:])
            time.sleep(0.5)
            for job in [job for job in running if job.handle.done()]:
                self.note(job)
                running.remove(job)


class SlurmLauncher(SubmititLauncher):
    """Jobs on a Slurm cluster: an array for all that want the same resources; a rank for each device."""

    CLUSTER = "slurm"

    def run_all(self, jobs: Sequence[SweepJob]) -> None:
        """Submit everything, join what is in the queue already, and wait until all have left it."""
        from study.console import say

        self.join(jobs)
        groups: dict[str, list[SweepJob]] = {}
        for job in jobs:
            if job.handle is None:
                groups.setdefault(repr(job.resources()), []).append(job)
        for group in groups.values():
            self.submit(group)
            for job in group:
                note_submission(job, job.handle.job_id)
                say(f"Slurm job {job.handle.job_id}: {label(job, jobs)} [dim](log: {job.handle.paths.stdout})[/dim]")
        waiting = list(jobs)
        try:
            while waiting:
                time.sleep(2)
                queue = queued()
                for job in [job for job in waiting if queue is not None and job.handle.job_id not in queue]:
                    self.note(job)
                    waiting.remove(job)
        except KeyboardInterrupt:
            for job in waiting:
                job.state = "submitted"
                job.why = f"Slurm job {job.handle.job_id} goes on; the same command waits for it"

    def join(self, jobs: Sequence[SweepJob]) -> None:
        """Give a handle to jobs that an earlier run of the same sweep has submitted and that are still in the queue."""
        import submitit

        from study.console import say
        from study.jobs import read_record

        queue = queued() or set()
        for job in jobs:
            record, resources = read_record(job.folder), job.resources()
            number = record.get("slurm_job")
            if number not in queue:
                continue
            if record.get("overrides") != job.arguments:
                raise ValueError(
                    f"{job.folder} is in use by Slurm job {number}, which has other settings: wait for it, cancel it, "
                    "or use another study=<name>"
                )
            ranks = range(resources["nodes"] * resources["tasks_per_node"])
            job.handle = submitit.SlurmJob(resources["submitit_folder"], str(number), list(ranks))
            say(f"Slurm job {number} is in the queue already: {label(job, jobs)}")


def note_submission(job: SweepJob, number: str) -> None:
    """Keep which Slurm job a job is."""
    from study.jobs import write_record

    record = {"overrides": job.arguments, "status": "submitted", "slurm_job": number}
    write_record(job.folder / "job.json", record)


def queued() -> set[str] | None:
    """This user's jobs in Slurm's queue, array tasks one by one; ``None`` when Slurm does not answer."""
    if SQUEUE is None:
        return None
    command = [SQUEUE, "--noheader", "--array", "--user", getpass.getuser(), "--format", "%i"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    return set(done.stdout.split()) if done.returncode == 0 else None
