"""What a part measures, written line by line, so that nothing is lost if its process fails, hangs or is killed."""

import json
import os
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

OK, FAILED, SKIPPED, TIMED_OUT, NO_MEMORY = "ok", "failed", "skipped for time", "timed out", "out of memory"
DESCRIPTION = "description"  # the measurement of the machine and of the versions, which head the results
ERROR_LINES = 12
Numbers = dict[str, Any]


@dataclass(frozen=True)
class Options:
    """What the process of a part is told.

    Attributes:
        device: ``cuda`` or ``cpu``.
        tiny: Whether everything is as small as a test needs it.
        seed: Seed of images and weights.
        folder: Folder of temporary files.
        lines: The file that gets the measurements.
        seconds: Time after which nothing new is begun.
        done: Names of measurements that an earlier process of the part has made or failed at.
    """

    device: str
    tiny: bool
    seed: int
    folder: str
    lines: str
    seconds: float
    done: Sequence[str] = field(default_factory=tuple)

    def to_json(self) -> str:
        """All values, as one argument of a command."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> "Options":
        """The inverse of :meth:`to_json`."""
        return cls(**json.loads(text))


class Recorder:
    """Makes the measurements of a part, one after the other.

    A measurement that raises is recorded as failed, with the end of its error, and the next one begins.

    Args:
        options: What the process of the part was told.
    """

    def __init__(self, options: Options) -> None:
        self.options = options
        self.start = time.monotonic()

    @property
    def left(self) -> float:
        """Seconds until nothing new is begun."""
        return self.options.seconds - (time.monotonic() - self.start)

    def attempt(self, name: str, work: Callable[[], Numbers], seconds: float = 1.0) -> Numbers | None:
        """Make a measurement, unless it was made already or there is no time.

        Args:
            name: Name of the measurement; no other one of the part has it.
            work: Makes it; the keys of the result are the columns of the table.
            seconds: Time that it is expected to take; if less is left, it is skipped.

        Returns:
            The numbers; ``None`` if there are none.
        """
        if name in self.options.done:
            return None
        if self.left < seconds:
            self.write({"name": name, "status": SKIPPED})
            return None
        self.write({"begun": name})
        start = time.monotonic()
        numbers: Numbers | None
        try:
            numbers = work()
        except Exception as error:  # whatever is wrong with one measurement must not stop the others
            self.write({"name": name, "status": failure(error), "error": last_lines(error)})
            numbers = None
        if numbers is None:
            release_memory()  # not sooner: the error's frames hold the tensors
            return None
        self.write({"name": name, "status": OK, "seconds": round(time.monotonic() - start, 2), "numbers": numbers})
        return numbers

    def write(self, line: dict[str, Any]) -> None:
        """Append a line to the file, flushed to the disk."""
        with Path(self.options.lines).open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
            file.flush()
            os.fsync(file.fileno())


def read_lines(path: Path) -> list[dict[str, Any]]:
    """The lines of a part; a last line that was cut off is left out."""
    lines = []
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else ():
        try:
            lines.append(json.loads(line))
        except ValueError:
            break
    return lines


def failure(error: Exception) -> str:
    """The status of a measurement that raised."""
    import torch

    # libraries below PyTorch have names of their own for it
    lacking = any(word in str(error) for word in ("out of memory", "ALLOC_FAILED"))
    return NO_MEMORY if lacking or isinstance(error, torch.OutOfMemoryError | MemoryError) else FAILED


def last_lines(error: BaseException) -> list[str]:
    """The end of an error's text, for people: its class and message, and where it was raised."""
    import traceback

    return tail("".join(traceback.format_exception(error)))


def tail(text: str, count: int = ERROR_LINES) -> list[str]:
    """The last lines of a text."""
    return [line.rstrip() for line in text.splitlines() if line.strip()][-count:]


def release_memory() -> None:
    """Give the GPU memory of dropped tensors back to the next measurement."""
    import gc

    import torch

    gc.collect()
    if torch.cuda.is_available() and torch.cuda.is_initialized():
        torch.cuda.empty_cache()


def follow_parent(seconds: float = 1.0) -> None:
    """End this process, and those that it has started, as soon as its parent is gone.

    Args:
        seconds: How often to look.
    """
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(seconds)
        os.killpg(0, 9)

    threading.Thread(target=watch, daemon=True, name="follow-parent").start()
