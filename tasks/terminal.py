"""What a person sees in the terminal: short tables, and the path of what was made."""

from collections.abc import Sequence
from pathlib import Path

from pytorch_lightning.utilities.rank_zero import rank_zero_only
from rich.console import Console
from rich.table import Table

SKIPPED = float("nan")


@rank_zero_only
def say(text: str) -> None:
    """Print one line, on one rank."""
    Console().print(text, soft_wrap=True, highlight=False)


def say_skipped(path: Path) -> float:
    """Say that an artifact is there already; returns the objective of a step that did nothing, NaN."""
    say(f"[dim]there already:[/dim] {path}")
    return SKIPPED


def say_made(path: Path, **numbers: float) -> None:
    """Say what was made, with a number or two."""
    described = ", ".join(f"{name} {number:.3f}" for name, number in numbers.items())
    say(f"[green]made:[/green] {path}" + (f" [dim]({described})[/dim]" if described else ""))


@rank_zero_only
def show_table(title: str, header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a small table: the first column names the rows."""
    table = Table(title=title, title_justify="left")
    for position, name in enumerate(header):
        table.add_column(name, justify="left" if position == 0 else "right")
    for row in rows:
        table.add_row(*row)
    Console().print(table)
