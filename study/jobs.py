"""Jobs: the record of each, and a lock, so that no two work in one folder."""

import fcntl
import hashlib
import json
import os
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from callbacks.stopping import Stopped
from datamodules.digests import name_in_folder, read_checked, with_digest
from study.configuration.environment import by_name
from study.console import is_first_rank, rank, say
from study.files import write_text

CONFIG = "config.yaml"  # configuration of a job, in its folder


_held: set[Path] = set()


@contextmanager
def only_one(job: Path) -> Iterator[None]:
    """Lock the folder of a job for this process alone; the lock ends with the process, however that ends.

    Raises:
        ValueError: If another process holds it; says which. If the folder or its lock is a link; names it.
    """
    if not is_first_rank() or job.absolute() in _held:  # closing the file a second time would end the lock
        yield
        return
    refuse_link(job)
    job.mkdir(parents=True, exist_ok=True)
    refuse_link(job / "lock")
    number = os.open(job / "lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o644)
    with os.fdopen(number, "r+", encoding="utf-8") as file:
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
        file.seek(0)
        file.truncate(0)
        file.write(where() + "\n")
        file.flush()
        _held.add(job.absolute())
        try:
            yield
        finally:
            _held.discard(job.absolute())


def refuse_link(path: Path) -> None:
    """Refuse to work through a symbolic link: in a folder from somebody else, it may lead to any file."""
    if path.is_symlink():
        raise ValueError(
            f"{path} is a link to {path.readlink()}: remove it. To keep a study on another disk, give the folder of "
            "all studies, as studies=/path/to/studies"
        )


def slurm_job() -> str | None:
    """Number of the Slurm job that this process is in, as squeue shows it."""
    array, task = os.environ.get("SLURM_ARRAY_JOB_ID"), os.environ.get("SLURM_ARRAY_TASK_ID")
    return f"{array}_{task}" if array else os.environ.get("SLURM_JOB_ID")


def where() -> str:
    """This process in words: its number, the host and the job of the cluster."""
    number = slurm_job()
    return f"process {os.getpid()} on {socket.gethostname()}" + (f", Slurm job {number}" if number else "")


@contextmanager
def recorded(
    folder: Path, overrides: list[str], config: str, explain: Callable[[BaseException], str]
) -> Iterator[dict[str, Any]]:
    """Keep the state of a job in ``job.json``; other ranks than the first only note failures, in ``job.rank<k>.json``.

    Args:
        folder: The folder of the job, which is locked for this process (:func:`only_one`).
        overrides: Its command line, without the program.
        config: Its configuration as YAML, interpolations as they are: kept as ``config.yaml``.
        explain: Says the cause of an error in one line, or nothing.

    Yields:
        A mapping to which the job adds what the record is to hold when it has finished.
    """
    path = folder / ("job.json" if is_first_rank() else f"job.rank{rank()}.json")
    start = time.monotonic()
    record: dict[str, Any] = {"overrides": overrides, "where": where(), "slurm_job": slurm_job()}
    record["config_sha256"] = hashlib.sha256(config.encode()).hexdigest()

    def write(status: str, **more: Any) -> None:
        seconds = round(time.monotonic() - start, 1)
        write_record(path, by_name(record | {"status": status, "seconds": seconds} | more))

    if is_first_rank():
        for old in folder.glob("job.rank*.json"):
            old.unlink(missing_ok=True)
        (folder / CONFIG).unlink(missing_ok=True)  # after an interruption here there is none, rather than another one
        write("running")
        write_text(folder / CONFIG, config)
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


def write_record(path: Path, record: Mapping[str, Any]) -> None:
    """Keep a record of the job of a folder, with a digest of its content."""
    write_text(path, json.dumps(with_digest(record, name_in_folder(path)), indent=2) + "\n")


def read_record(folder: Path) -> dict[str, Any]:
    """The record of a job; empty if there is none that can be read."""
    try:
        return checked_record(folder)
    except (OSError, ValueError):
        return {}


def checked_record(folder: Path) -> dict[str, Any]:
    """The record of a job; empty if there is none.

    Raises:
        ValueError: If it is damaged or that of another job; names it.
    """
    path = folder / "job.json"
    return read_checked(path, name_in_folder(path)) if path.exists() else {}


def checked_config(folder: Path, record: Mapping[str, Any]) -> str:
    """The configuration of a job, as YAML.

    Raises:
        ValueError: If it is damaged or that of another run than the record; names it.
    """
    path = folder / CONFIG
    content = path.read_bytes()
    if hashlib.sha256(content).hexdigest() != record.get("config_sha256"):
        raise ValueError(f"{path} is damaged, was changed after it was written, or is of another run than job.json")
    return content.decode()


def objective_of(folder: Path) -> float:
    """What the job of a folder has returned.

    Raises:
        ValueError: If its record is damaged or it has not finished.
    """
    try:
        return float(read_record(folder)["objective"])
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{folder}/job.json has no objective: the same command makes what is missing") from error


def failures_of_ranks(folder: Path) -> list[str]:
    """The errors that other ranks than the first have noted."""
    errors = []
    for path in sorted(folder.glob("job.rank*.json")):
        number = path.name.removeprefix("job.rank").removesuffix(".json")
        try:
            errors.append(f"rank {number}: {read_checked(path, name_in_folder(path))['error']}")
        except (OSError, ValueError, KeyError):
            errors.append(f"rank {number}: its record {path} is damaged")
    return errors
