"""Alter one file, let the project read it, judge what happened, put everything back; again and again."""

import contextlib
import io
import json
import random
import shutil
import signal
import traceback
import warnings
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import run
from datamodules.digests import DIGEST, with_digest

SECONDS = 60  # a try that takes longer hangs
FINE = ("refused in one line", "made anew", "harmless")
FAULTS = ("ACCEPTED", "TRACEBACK", "HANG", "FILES LOST")
OF_A_RUN = ("seconds", "git_commit", "versions", "hardware")  # of a record; another run has others
Reader = Callable[[], Any]


class Hang(BaseException):
    """Nothing came back in time."""


@dataclass
class Subject:
    """Files of one kind, and what reads them.

    Attributes:
        root: The folder in which everything happens; it is put back after each try.
        readers: Each file that is altered, with what reads it: that returns what it makes of the file.
        given: Whether the files come from a user and have no record: what can be read is then right.
        may_be_ignored: Whether a damaged file may be left as it is if the result is the same, as that of a cache.
        names: Further words, one of which a refusal may say instead of the file's name.
        absent: Readers that may do without a file that was deleted.
        again: Readers that may say that a job must be run again, and what they say for it.
    """

    root: Path
    readers: Sequence[tuple[Path, Reader]]
    given: bool = False
    may_be_ignored: bool = False
    names: Sequence[str] = ()
    absent: Collection[Reader] = ()
    again: Mapping[Reader, Any] = field(default_factory=dict)
    results: dict[Reader, Any] = field(default_factory=dict)
    whole: "dict[Path, tuple[bytes, Any]]" = field(default_factory=dict)

    def start(self) -> None:
        """Read every file once as it is."""
        with quiet():
            for read in dict.fromkeys(read for _, read in self.readers):
                read()  # what it leaves, such as a lock, is there from now on
                self.results[read] = read()
        self.whole = {path: (path.read_bytes(), stamp(path)) for path in sorted(self.root.rglob("*")) if path.is_file()}

    def once(self, draw: random.Random, alter: Callable[..., str]) -> tuple[str, str]:
        """One try: its outcome, and what it was."""
        path, reader = draw.choice(self.readers)
        change = alter(path, draw, list(self.whole))
        altered = path.read_bytes() if path.is_file() else None
        outcome, line = self.read(path, reader)
        differing = self.differing()
        if outcome == FINE[0] and (lost := [other for other in differing if other != path]):
            outcome, line = "FILES LOST", f"{line}: {', '.join(other.name for other in lost)}"
        elif outcome == "" and not self.given and not (altered is None and reader in self.absent):
            outcome = self.judged(path, altered, differing)
            line = ", ".join(str(other.relative_to(self.root)) for other in differing)
        self.put_back()
        return outcome or "harmless", f"{path.relative_to(self.root)} ({change}): {line}"

    def read(self, path: Path, reader: Reader) -> tuple[str, str]:
        """Let the project read; the outcome if that alone decides, and the line that a user sees."""
        try:
            with quiet(), in_time():
                result = reader()
        except Hang:
            return "HANG", f"longer than {SECONDS} s"
        except Exception as error:
            line = run.EXPLAIN(error)
            known = (
                line
                and "\n" not in line
                and any(name in line for name in (path.name, f"{path.parent.name}/", *self.names))
            )
            last = traceback.extract_tb(error.__traceback__)[-1]
            where = f"{Path(last.filename).name}:{last.lineno}"
            return ("refused in one line", line) if known else ("TRACEBACK", f"{type(error).__name__} {where} {error}")
        expected = self.results[reader]
        if reader in self.again and all(
            one in (other, self.again[reader]) for one, other in zip(result, expected, strict=True)
        ):
            return "made anew", ""
        if self.given or result == expected or (not path.exists() and reader in self.absent):
            return "", ""
        return "ACCEPTED", "another result"

    def judged(self, path: Path, altered: bytes | None, differing: Sequence[Path]) -> str:
        """Whether a run that went through has left the right files behind."""
        if any(other != path for other in differing):
            return "ACCEPTED"
        if path not in differing:
            return "made anew"
        if self.may_be_ignored:
            return "harmless"
        same = path.is_file() and meaning(path, path.read_bytes()) == meaning(path, self.whole[path][0])
        if same and path.read_bytes() != altered:
            return "made anew"
        return "harmless" if same else "ACCEPTED"

    def differing(self) -> list[Path]:
        """The files that were there and are gone or say something else."""
        return [
            path
            for path, (content, state) in self.whole.items()
            if not ({"lock", "log"} & set(path.parts))
            and (not path.is_file() or (stamp(path) != state and meaning(path) != meaning(path, content)))
        ]

    def put_back(self) -> None:
        """Make the folder what it was."""
        for path in sorted(self.root.rglob("*"), reverse=True):
            if path.is_dir() and path in self.whole:
                shutil.rmtree(path)
            elif path.is_file() and path not in self.whole:
                path.unlink()
        for path, (content, state) in self.whole.items():
            if not path.exists() or stamp(path) != state:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content)
                self.whole[path] = (content, stamp(path))


def stamp(path: Path) -> tuple[int, int, int]:
    """What tells without reading that a file has changed."""
    state = path.stat()
    return state.st_mtime_ns, state.st_size, state.st_ino


def meaning(path: Path, content: bytes | None = None) -> Any:
    """What a file says: of a whole record everything but what differs from run to run, else its bytes."""
    content = path.read_bytes() if content is None else content
    if path.suffix != ".json":
        return content
    try:
        document = json.loads(content)
    except (ValueError, RecursionError):
        return content
    if not isinstance(document, dict) or DIGEST not in document:
        return json.dumps(document, sort_keys=True)
    whole = with_digest(document)[DIGEST] == document[DIGEST]
    return whole, json.dumps(
        {key: value for key, value in document.items() if key not in (*OF_A_RUN, DIGEST)}, sort_keys=True
    )


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Without what a run prints."""
    with (
        contextlib.redirect_stdout(io.StringIO()),
        contextlib.redirect_stderr(io.StringIO()),
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("ignore")
        yield


@contextlib.contextmanager
def in_time() -> Iterator[None]:
    """Raise what nothing catches when a try takes too long."""

    def stop(number: int, frame: Any) -> None:
        raise Hang

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(SECONDS)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


@dataclass
class Count:
    """The outcomes of the tries of one kind."""

    tries: int = 0
    outcomes: dict[str, int] = field(default_factory=lambda: dict.fromkeys((*FINE, *FAULTS), 0))
    faults: list[str] = field(default_factory=list)

    @property
    def numbers(self) -> list[int]:
        """The number of tries, then that of each outcome."""
        return [self.tries, *self.outcomes.values()]

    def add(self, outcome: str, what: str) -> None:
        """Note one try."""
        self.tries += 1
        self.outcomes[outcome] += 1
        if outcome in FAULTS:
            self.faults.append(f"{outcome}: {what}")
