"""How every step runs: it is skipped if its artifact exists; otherwise seed, make, write whole, report."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytorch_lightning as pl
from torch import nn

from callbacks.stopping import STOP_REQUESTS
from datamodules.digests import name_in_folder, read_checked, with_digest
from stats.csv_text import csv_bytes
from study.artifact import Artifact
from study.console import is_first_rank, say_made, say_skipped, say_skipped_images, show_table
from study.distributed import wait_for_ranks
from study.files import save_weights, write_text

NOT_FINITE = "loss_not_finite.json"
CHECKPOINT = "last.ckpt"
METRICS = "metrics.json"
Content = pd.DataFrame | Mapping[str, Any] | nn.Module | str | Callable[[Path], None] | None


@dataclass(frozen=True)
class Table:
    """A table for the terminal: its title, the header, and rows of text."""

    title: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]


@dataclass
class Result:
    """What a step has made.

    Attributes:
        objective: The number that the task returns, which a sweep (``-m``) compares; kept in the provenance.
        files: The content of every file of the artifact, by its file name: a table (CSV; its index is written if it has
            a name), arrays by name (npz), a network (safetensors), text, or a function that writes the path that it is
            given; ``None`` where it is written already.
        numbers: Final numbers of the job, for ``metrics.json``.
        tables: Printed at the end.
        unreadable: Images that this rank could not read.
        shown: Numbers printed on the line ``made: <path>``; they are not stored.
    """

    objective: float
    files: Mapping[str, Any] = field(default_factory=dict)
    numbers: Mapping[str, float] = field(default_factory=dict)
    tables: Sequence[Table] = ()
    unreadable: Sequence[Path] = ()
    shown: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Step:
    """A step that makes one artifact, unless it exists.

    Attributes:
        artifact: What it makes.
        job: The folder of its log, its checkpoint and its numbers.
        seed: Seed for all random numbers of the step; ``None`` if it needs none, or seeds its generators itself.
    """

    artifact: Artifact
    job: Path
    seed: int | None = None

    def run(self, make: Callable[[], Result]) -> float:
        """Make the artifact unless it exists, and return its objective.

        Args:
            make: Makes it, on every rank; the files are written by the first one.
        """
        STOP_REQUESTS.check()
        first = self.artifact.files[0]
        if self.artifact.exists():
            return say_skipped(first, self.artifact.objective())
        if self.seed is not None:
            pl.seed_everything(self.seed, workers=True, verbose=False)
        result = make()
        if is_first_rank():
            with self.artifact.making(result.objective) as temporary:
                for path, partial in temporary.items():
                    write(result.files[path.name], partial)
            if result.numbers:
                write_metrics(self.job, result.numbers)
            for left in (CHECKPOINT, NOT_FINITE):  # a finished step must not resume from them
                (self.job / left).unlink(missing_ok=True)
            for table in result.tables:
                show_table(table.title, table.header, table.rows)
        wait_for_ranks()
        say_skipped_images(result.unreadable, self.job)
        say_made(first, **result.shown)
        return result.objective


def write(content: Content, path: Path) -> None:
    """Write what a file is to hold; an index is written where it has a name."""
    if isinstance(content, pd.DataFrame):
        path.write_bytes(csv_bytes(content))
    elif isinstance(content, Mapping):
        np.savez_compressed(path, allow_pickle=False, **content)
    elif isinstance(content, nn.Module):
        save_weights(content, path)
    elif isinstance(content, str):
        path.write_text(content, encoding="utf-8")
    elif content is not None:
        content(path)


def write_metrics(job: Path, numbers: Mapping[str, float]) -> None:
    """Keep the final numbers of a job in its folder, as ``metrics.json``."""
    plain = {name: float(value) for name, value in numbers.items()}
    write_text(job / METRICS, json.dumps(with_digest(plain, name_in_folder(job / METRICS)), indent=2) + "\n")


def read_metrics(job: Path) -> dict[str, float]:
    """The final numbers of a job; empty if it has none.

    Raises:
        ValueError: If the file is damaged or that of another job; names it.
    """
    path = job / METRICS
    return read_checked(path, name_in_folder(path)) if path.exists() else {}
