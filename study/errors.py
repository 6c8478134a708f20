"""The cause of an error in one line, and what to do about it."""

import difflib
import errno
import os
import re
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from typing import Any

from hydra.errors import HydraException, InstantiationException, MissingConfigException
from omegaconf.errors import OmegaConfBaseException

from callbacks.stopping import STOPPED, Stopped
from study.configuration.environment import by_name
from study.console import rank, say
from study.distributed import is_spawned_rank
from study.files import write_text
from study.preflight.faults import Faults
from study.settings.fields import Settings, expected, settings_type

CONF = Path(__file__).resolve().parents[1] / "conf"
Explain = Callable[[BaseException], str]
UNKNOWN_OPTION = re.compile(r"(\w+)\.__init__\(\) got an unexpected keyword argument '(\w+)'")
DEAD_LOADER = (
    "a process that loads images died: {}. If memory ran out, lower data.workers; the same command goes on from the "
    "last checkpoint"
)
FULL_DISK = "{}. Files that were complete still are: make room, and the same command goes on"


class Explainer:
    """Says the cause of an error in one line; the text is empty where the cause is not known.

    Args:
        nodes: The settings, by the name of their node; ``""`` is the top level.
        keys: Gives every key and group of the configuration.
    """

    def __init__(self, nodes: dict[str, type[Settings]], keys: Callable[[], Sequence[str]]) -> None:
        self.nodes, self.keys = nodes, keys

    def __call__(self, error: BaseException) -> str:
        """The cause and the fix."""
        if isinstance(error, Faults):
            return listed([self(each) or one_line(each) for each in error.errors])
        if isinstance(error, InstantiationException) and error.__cause__ is not None:
            return self(error.__cause__)
        if isinstance(error, MissingConfigException) and error.missing_cfg_file is not None:
            return missing_file(error.missing_cfg_file)
        text = plain(str(error))
        if isinstance(error, RuntimeError) and isinstance(error.__context__, OSError):
            return self(error.__context__)  # PyTorch hides a full disk behind its own words
        if "weights_only" in text:  # PyTorch's advice would run code from the file
            return "a file of weights holds other things than tensors: save the model's state_dict() and use that"
        if known := of_libraries(error, text):
            return known
        if not isinstance(error, HydraException | OmegaConfBaseException | ValueError | OSError):
            return death(text) if isinstance(error, RuntimeError) else ""
        if isinstance(error, OSError) and error.errno in (errno.EROFS, errno.EACCES, errno.EPERM):
            return f"{text}. Results need a folder that can be written: name one, as studies=/path/to/studies"
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            return FULL_DISK.format(text)
        text = re.sub(r"^ValueError raised while resolving interpolation: (.*?) full_key: .*", r"\1", text)
        if mistyped := re.match(r"Could not override '([^']+)'", text):
            return self.unknown_key(mistyped.group(1), error)
        if wrong := re.match(r"Error merging override ([^=]+)=(.*)", text):
            return self.wrong_value(wrong.group(1).lstrip("+~"), wrong.group(2), error)
        if inside := re.search(r"(?:full_key|Key '\w+' not in '\w+'.*full_key): ([\w.\[\]]+)", text):
            return f"{text.partition(' full_key')[0]} ({inside.group(1)})"
        return text

    def unknown_key(self, name: str, error: BaseException) -> str:
        """What to say of a key that does not exist."""
        if re.search(r"reference_type=Dict|\.optimizer\.", f"{error.__cause__} {name}"):
            return f"there is no key {name!r} yet: to add it, write +{name}=…"
        near = difflib.get_close_matches(name, self.keys(), n=3, cutoff=0.5)
        hint = f"Did you mean {' or '.join(near)}?" if near else "See: python run.py --help"
        return f"there is no key or group {name!r} in this configuration. {hint}"

    def wrong_value(self, name: str, value: str, error: BaseException) -> str:
        """What to say of a value of a wrong type."""
        field = self.field(name)
        if field is None or "not in" in str(error.__cause__):
            return " ".join(f"{name}={value}: {error.__cause__}".split()).partition(" full_key")[0]
        return f"{name}={value}: give {expected(field)}"

    def field(self, name: str) -> Any:
        """The field of settings that a dotted key names, if it names one."""
        first, *rest = re.sub(r"\[\d+\]$", "", name).split(".")
        inside = bool(rest) and first in self.nodes
        node, parts = (self.nodes[first], rest) if inside else (self.nodes.get(""), [first, *rest])
        for part in parts:
            field = {one.name: one for one in fields(node)}.get(part) if node is not None else None  # type: ignore[arg-type]
            node = settings_type(field.type) if field is not None else None
        return field


def listed(faults: Sequence[str]) -> str:
    """Several faults, a line each."""
    lines = [f"  {number}. {fault}" for number, fault in enumerate(faults, start=1)]
    return "\n".join([f"{len(faults)} faults, found before any work:", *lines])


def missing_file(name: str) -> str:
    """What to say of a choice that is no file of conf/."""
    group, _, choice = name.rpartition("/")
    choices = sorted(path.stem for path in (CONF / group).glob("*.yaml"))
    if near := difflib.get_close_matches(choice, choices):
        return f"there is no conf/{name}.yaml. Did you mean {group}={' or '.join(near)}?"
    return f"there is no conf/{name}.yaml. Choices of {group}: {', '.join(choices)}"


def of_libraries(error: BaseException, text: str) -> str:
    """What to say of an error that a library raises; empty if the error is another one."""
    kind = type(error).__name__
    if kind == "MisconfigurationException":  # Lightning's, which need not be loaded for this
        if "No supported gpu backend" in text:
            return "trainer=gpu, but PyTorch sees no GPU here: use trainer=cpu, or look at nvidia-smi and the driver"
        return f"Lightning refuses these settings of trainer: {text}"
    if kind == "SafetensorError" and re.search(r"code: (28|122)\b|No space left", text):
        return FULL_DISK.format("No space left on device")
    if kind == "OutOfMemoryError" or "DefaultCPUAllocator: can't allocate memory" in text:
        return f"{text[:200]}. Not enough memory: lower batch_size of the task, or use a smaller data.size"
    if isinstance(error, ConnectionRefusedError | ConnectionResetError) or between_processes(error):
        return DEAD_LOADER.format(text or kind)  # ranks differ
    if isinstance(error, MemoryError):
        return f"not enough memory {text}: lower batch_size of the task, or use fewer images or classifiers"
    if isinstance(error, TypeError) and (option := UNKNOWN_OPTION.search(text)):
        return f"{option.group(1)} has no option {option.group(2)!r}: remove that key, or correct its name"
    if isinstance(error, ModuleNotFoundError):
        return f"the package {error.name} is not installed: pip install {error.name}"
    return ""


def between_processes(error: BaseException) -> bool:
    """Whether an error arose while Python's ``multiprocessing`` read from, or wrote to, another process.

    A loading process that dies while a batch is fetched from it ends its connection anywhere: ``EOFError``,
    ``BrokenPipeError``, or ``FileNotFoundError`` of a socket that is gone.
    """
    if not isinstance(error, EOFError | OSError):
        return False
    frames = traceback.extract_tb(error.__traceback__)
    return bool(frames) and Path(frames[-1].filename).parent.name == "multiprocessing"


def death(text: str) -> str:
    """What to say when another process of the same job has died; empty if the error is another one."""
    if re.search(r"DataLoader worker .* (exited unexpectedly|is killed by signal)", text):
        return DEAD_LOADER.format(text)
    if re.search(r"[Cc]onnection (closed|reset) by (remote )?peer|Gloo|gloo|NCCL|Broken pipe", text):
        return (
            f"another rank of this job died, see its own message ({text[:200]}). The same command goes on from the "
            "last checkpoint"
        )
    return ""


@contextmanager
def one_line_errors(explain: Explain, in_full: bool, folder: Path | None = None) -> Iterator[None]:
    """End the program with one line when a request cannot be carried out.

    Args:
        explain: Says the cause of an error, or nothing where it is unknown.
        in_full: Whether tracebacks are wanted (``HYDRA_FULL_ERROR=1``).
        folder: The folder of the job, which gets the traceback of an error of unknown cause.
    """
    try:
        yield
    except Stopped as stop:
        say(f"stopped by {stop}: the same command goes on from here")
        sys.exit(0 if is_spawned_rank() else STOPPED)  # a rank's failure would have the first one killed
    except subprocess.CalledProcessError as error:
        sys.exit(error.returncode)  # the job has printed the reason
    except Exception as error:
        if in_full:
            raise
        text = explain(error) or unexpected(error, folder)
        sys.exit(f"error: {text}" if rank() == 0 else f"error on rank {rank()}: {text}")


def unexpected(error: Exception, folder: Path | None) -> str:
    """What to say of an error of unknown cause; its traceback goes to a file, for the report."""
    name = "error.log" if rank() == 0 else f"error.rank{rank()}.log"
    text = by_name("".join(traceback.format_exception(error)))
    try:
        path = Path(tempfile.gettempdir()) / f"like-to-see-{os.getpid()}.log" if folder is None else folder / name
        write_text(path, text)
    except OSError:  # the disk is full, or cannot be written
        return f"unexpected: {one_line(error)}. Please report it, with what HYDRA_FULL_ERROR=1 shows"
    return f"unexpected: {one_line(error)}. Please report it, with the log at {path}"


def one_line(error: BaseException) -> str:
    """An error's class and message, without line breaks and colours."""
    return f"{type(error).__name__}: {by_name(plain(str(error)))[:500]}"


def plain(text: str) -> str:
    """A message in one line, without the codes that colour a terminal."""
    return " ".join(re.sub(r"\x1b\[[0-9;]*m", "", text).split())
