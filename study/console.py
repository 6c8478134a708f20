"""What a person sees in the terminal: short tables, and the path of what was made."""

import os
import sys
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from lightning_utilities.core.rank_zero import rank_zero_only
from rich.console import Console
from rich.errors import MarkupError
from rich.markup import escape
from rich.table import Table

from study.distributed import union_over_ranks
from study.files import write_text

WIDTH_OF_A_FILE = 140
COLUMNS = 10  # of numbers, side by side; further ones follow below


def is_first_rank() -> bool:
    """Whether this process is the first, or the only, one of a job."""
    return rank() == 0


def rank() -> int:
    """Number of this process in its job; before Lightning has loaded, from what starts processes."""
    known = getattr(rank_zero_only, "rank", None)
    names = ("RANK", "LOCAL_RANK", "SLURM_PROCID", "JSM_NAMESPACE_RANK")  # as Lightning asks for it
    return int(next((os.environ[name] for name in names if name in os.environ), 0) if known is None else known)


def say(text: str) -> None:
    """Print one line, on one rank."""
    if not is_first_rank():
        return
    try:
        console().print(text, soft_wrap=True, highlight=False)
    except MarkupError:  # a name in it looks like markup
        console().print(text, soft_wrap=True, highlight=False, markup=False)


@cache
def say_once(text: str) -> None:
    """Print one line, on one rank, the first time only: what is true of a network is found at every load."""
    say(escape(text))


def say_skipped(path: Path, objective: float) -> float:
    """Say that an artifact is there already; returns the objective noted when it was made."""
    say(f"[dim]there already:[/dim] {path}")
    return objective


def say_made(path: Path, **numbers: float) -> None:
    """Say what was made, with a number or two."""
    described = ", ".join(
        f"{name} {number:,}" if isinstance(number, int) else f"{name} {number:.3f}" for name, number in numbers.items()
    )
    say(f"[green]made:[/green] {path}" + (f" [dim]({described})[/dim]" if described else ""))


def say_skipped_images(paths: Sequence[Path], job: Path) -> None:
    """Say how many images could not be read, name the first, and list all of them in the folder of the job.

    Args:
        paths: Those that this rank could not read.
        job: The folder of the job.
    """
    names = union_over_ranks(paths)
    if not names or not is_first_rank():
        return
    listing = job / "unreadable.txt"
    write_text(listing, "\n".join(names) + "\n")
    say(f"[yellow]{len(names)} images could not be read and were skipped[/yellow], such as {names[0]}: see {listing}")


def show_table(title: str, header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table: the first column names the rows; more columns than fit are printed below, in equal parts."""
    if not is_first_rank():
        return
    parts = max(1, -(-(len(header) - 1) // COLUMNS))
    size = -(-(len(header) - 1) // parts)
    for part in range(parts):
        shown = [0, *range(1 + part * size, min(1 + (part + 1) * size, len(header)))]
        table = Table(title=escape(title) if part == 0 else None, title_justify="left")
        for position in shown:
            table.add_column(escape(header[position]), justify="left" if position == 0 else "right", overflow="fold")
        for row in rows:
            table.add_row(*(escape(row[position]) for position in shown))
        console().print(table)


class Terminal(Console):
    """A console that goes on in silence when its reader has gone, as with ``| head -1``: the job is not done yet."""

    def on_broken_pipe(self) -> None:
        """Send further output nowhere; Rich would end the program."""
        self.quiet = True
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def console() -> Terminal:
    """The terminal, or a file wide enough for the tables."""
    return Terminal(width=None if sys.stdout.isatty() else WIDTH_OF_A_FILE)
