"""Runs the parts in turn, each in a process of its own and with a time limit, and writes what is known after each."""

import importlib.util
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from benchmarks.gpu_parts.record import FAILED, NO_MEMORY, OK, SKIPPED, TIMED_OUT, Options, read_lines, tail

COMMAND = Path(__file__).resolve().parents[1] / "gpu.py"
SHORTEST = 10.0  # seconds; with less, a part is not begun: loading PyTorch takes most of it
MARGIN = 0.1  # share of a part's limit, at its end, in which it begins no measurement
RESTARTS = 3  # of a part of which a measurement ended the process
Results = dict[str, Any]


@dataclass(frozen=True)
class Part:
    """Measurements that share a process.

    Attributes:
        name: Its name.
        about: What it measures, one line.
        function: The function that makes them, ``module:name``; it is called with a :class:`Recorder`.
        share: Seconds of nine minutes; what earlier parts leave over is given to later ones in proportion.
        needs: Packages beyond PyTorch, Lightning and torchmetrics, without which nothing of it can run.
    """

    name: str
    about: str
    function: str
    share: float
    needs: Sequence[str] = ()


def run_parts(
    parts: Sequence[Part], options: Options, seconds: float, results: Results, write: Callable[[Results], None]
) -> None:
    """Run parts in order, and write the results after each.

    Args:
        parts: The parts.
        options: For all parts; ``lines`` is the folder of the files of lines, ``seconds`` is replaced.
        seconds: Time for all parts.
        results: Gets the entry ``parts``: a record for each part.
        write: Keeps the results.
    """
    deadline = time.monotonic() + seconds
    results["parts"] = {part.name: {"about": part.about, "status": "not run yet"} for part in parts}
    write(results)
    for number, part in enumerate(parts):
        left = deadline - time.monotonic()
        limit = left * part.share / sum(other.share for other in parts[number:])
        record: Results = {"about": part.about, "limit": round(limit, 1)}
        if limit < min(SHORTEST, part.share * seconds / sum(other.share for other in parts) / 2):
            record |= {"status": SKIPPED, "seconds": 0.0, "measurements": []}
        else:
            missing = [name for name in part.needs if importlib.util.find_spec(name) is None]
            record |= without_packages(missing) if missing else run_part(part, options, limit)
        results["parts"][part.name] = record
        write(results)


def run_part(part: Part, options: Options, limit: float) -> Results:
    """Run a part; after a crash go on with the measurement behind the one that crashed.

    Args:
        part: The part.
        options: As for :func:`run_parts`.
        limit: Seconds after which its processes are killed.

    Returns:
        ``status``, ``seconds``, ``measurements``, and ``error`` if a process ended in another way than it should.
    """
    lines, start = Path(options.lines) / f"{part.name}.jsonl", time.monotonic()
    lines.unlink(missing_ok=True)
    record: Results = {"status": OK}
    for _ in range(RESTARTS + 1):
        left = limit - (time.monotonic() - start)
        done = [line["name"] for line in read_lines(lines) if "name" in line]
        status, output = run_process(
            part, replace(options, lines=str(lines), seconds=left - MARGIN * limit, done=done), left
        )
        if status == 0:
            break
        how = TIMED_OUT if status is None else FAILED
        record = {"status": how, "error": [*ending(status, limit), *tail(output)]}
        crashed = unfinished(lines)
        if crashed is not None:
            with lines.open("a", encoding="utf-8") as file:
                file.write(json.dumps({"name": crashed} | record) + "\n")
        if status is None or crashed is None or limit - (time.monotonic() - start) < SHORTEST:
            break
    measurements = [line for line in read_lines(lines) if "name" in line]
    if record["status"] == OK and any(each["status"] == FAILED for each in measurements):
        record["status"] = FAILED
    return record | {"seconds": round(time.monotonic() - start, 1), "measurements": measurements}


def without_packages(missing: Sequence[str]) -> Results:
    """The record of a part that cannot begin."""
    names = ", ".join(missing)
    error = f"cannot import {names}: bring the packages that benchmarks/README.md names, and put them on PYTHONPATH"
    return {"status": FAILED, "seconds": 0.0, "measurements": [], "error": [error]}


def unfinished(lines: Path) -> str | None:
    """The measurement that a part's process had begun when it ended; ``None`` if it was between two."""
    begun = [line["begun"] for line in read_lines(lines) if "begun" in line]
    done = {line["name"] for line in read_lines(lines) if "name" in line}
    return begun[-1] if begun and begun[-1] not in done else None


def run_process(part: Part, options: Options, limit: float) -> tuple[int | None, str]:
    """Run a part's process; returns its exit status, ``None`` if it was killed at its limit, and what it printed."""
    command = [sys.executable, str(COMMAND), "--child", part.function, options.to_json()]
    path = Path(options.lines).with_suffix(".log")
    extra = {"OMP_NUM_THREADS": "1"} if options.tiny else {}  # more threads only delay small networks
    with path.open("w", encoding="utf-8") as log:
        # a group of its own: at the limit, the processes that the part has started are killed with it
        process = subprocess.Popen(  # noqa: S603
            command, stdout=log, stderr=subprocess.STDOUT, process_group=0, env=os.environ | extra
        )
        try:
            status: int | None = process.wait(limit)
        except subprocess.TimeoutExpired:
            status = None
        finally:
            kill_group(process)
    return status, path.read_text(encoding="utf-8", errors="replace")


def kill_group(process: "subprocess.Popen[bytes]") -> None:
    """Kill what is left of a process's group."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        return
    process.wait()


def ending(status: int | None, limit: float) -> list[str]:
    """How a process ended, in words."""
    if status is None:
        return [f"killed at its limit of {limit:.0f} s"]
    if status < 0:
        return [f"ended by signal {signal.Signals(-status).name}"]
    return [f"ended with status {status}"]


def has_failed(results: Results) -> bool:
    """Whether a part failed or was killed, or one of its measurements failed; a lack of memory or time is none."""
    parts = results["parts"].values()
    return any(part["status"] not in (OK, SKIPPED, NO_MEMORY) for part in parts)
