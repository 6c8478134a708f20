"""Jobs: the record of each, and a lock, so that no two work in one folder."""

import fcntl
import json
import os
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from callbacks.stopping import Stopped
from study.configuration.environment import by_name
from study.console import is_first_rank, rank, say
from study.files import write_text

STOPPED = 75  # exit status of a job that was asked to stop and can go on (EX_TEMPFAIL)


@contextmanager
def only_one(job: Path) -> Iterator[None]:
    """Lock the folder of a job for this process alone; the lock ends with the process, however that ends.

    Raises:
        ValueError: If another process holds it; says which.
    """
    if not is_first_rank():
        yield
        return
    job.mkdir(parents=True, exist_ok=True)
    path = job / "lock"
    with path.open("a+", encoding="utf-8") as file:
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # of the process: no loading process inherits it
        except (BlockingIOError, PermissionError) as error:
            file.seek(0)
            raise ValueError(
                f"{job} is in use by {file.read().strip() or 'another process'}: wait for it, stop it, or use another "
                "study=<name>"
            ) from error
        except OSError as error:
            say(f"[yellow]{job} cannot be locked[/yellow] ({error.strerror}): start no second job in it")
        file.truncate(0)
        file.write(where() + "\n")
        file.flush()
        yield


def slurm_job() -> str | None:
    """Number of the Slurm job that this process is in, as squeue shows it."""
    array, task = os.environ.get("SLURM_ARRAY_JOB_ID"), os.environ.get("SLURM_ARRAY_TASK_ID")
    return f"{array}_{task}" if array else os.environ.get("SLURM_JOB_ID")


def where() -> str:
    """This process in words: its number, the host and the job of the cluster."""
    number = slurm_job()
    return f"process {os.getpid()} on {socket.gethostname()}" + (f", Slurm job {number}" if number else "")


@contextmanager
def recorded(folder: Path, overrides: list[str], explain: Callable[[BaseException], str]) -> Iterator[dict[str, Any]]:
    """Keep the state of a job in ``job.json``; other ranks than the first only note failures, in ``job.rank<k>.json``.

    Args:
        folder: The folder of the job.
        overrides: Its command line, without the program.
        explain: Says the cause of an error in one line, or nothing.

    Yields:
        A mapping to which the job adds what the record is to hold when it has finished.
    """
    path = folder / ("job.json" if is_first_rank() else f"job.rank{rank()}.json")
    start = time.monotonic()
    record: dict[str, Any] = {"overrides": overrides, "where": where(), "slurm_job": slurm_job()}

    def write(status: str, **more: Any) -> None:
        seconds = round(time.monotonic() - start, 1)
        noted = by_name(record | {"status": status, "seconds": seconds} | more)
        write_text(path, json.dumps(noted, indent=2) + "\n")

    if is_first_rank():
        for old in folder.glob("job.rank*.json"):
            old.unlink(missing_ok=True)
        write("running")
    outcome: dict[str, Any] = {}
    try:
        yield outcome
    except Stopped as stop:
        if is_first_rank():
            write("stopped", error=f"stopped by {stop}")
        raise
    except BaseException as error:
        write("failed", error=explain(error) or f"{type(error).__name__}: {' '.join(str(error).split())}"[:2000])
        raise
    if is_first_rank():
        write("finished", **outcome)


def read_record(folder: Path) -> dict[str, Any]:
    """The record of a job; empty if there is none that can be read."""
    try:
        record: dict[str, Any] = json.loads((folder / "job.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return record


def failures_of_ranks(folder: Path) -> list[str]:
    """The errors that other ranks than the first have noted."""
    errors = []
    for path in sorted(folder.glob("job.rank*.json")):
        number = path.name.removeprefix("job.rank").removesuffix(".json")
        errors.append(f"rank {number}: {json.loads(path.read_text(encoding='utf-8'))['error']}")
    return errors
