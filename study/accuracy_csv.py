"""Read tables that users give as CSV files, those of accuracies bit for bit; an unusable file is refused, with the fix.

Of a table of accuracies, rows are autoencoders and columns classifiers: a cell is the classifier's accuracy on the
autoencoder's reconstructions.
"""

import csv
import math
from collections import Counter
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from stats.accuracy_table import check_accuracies, check_same_names
from stats.csv_text import unguard
from stats.names import ORIGINAL, PRETRAINED


def read_accuracy_table(path: str | Path, without: Collection[str] = ()) -> pd.DataFrame:
    """Read a square table of accuracies from a CSV file.

    The header names the classifiers, the first column names the autoencoders; both must be the same names, in any
    order. Rows named ``original`` and ``pretrained`` are left out: a study's own table has them. Every number is read
    to the nearest float64, so a table written with ``repr`` precision comes back bit for bit.

    Args:
        path: A comma-separated UTF-8 file with accuracies in ``[0, 1]``.
        without: Rows and columns to leave out, such as controls.

    Returns:
        Table of shape ``(n, n)``: rows are autoencoders, in the order of the columns, which are classifiers.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the table is empty, unnamed or not square, if a cell is missing, no number or outside
            ``[0, 1]``, or if a classifier's accuracy on its own autoencoder is 0.
    """
    path = Path(path)
    header, *lines = _read_cells(path)
    classifiers = header[1:]
    _check_names(path, "column", classifiers, "the first line must name the classifiers, after one cell for the corner")
    _check_names(path, "row", [line[0] for line in lines], "the first column must name the autoencoders")
    if reserved := [name for name in classifiers if name in (ORIGINAL, PRETRAINED)]:
        raise ValueError(f"{path}: no column may be named {reserved[0]!r}, a row kept for baselines; rename the column")
    rows = {line[0]: line for line in lines if line[0] not in (ORIGINAL, PRETRAINED, *without)}
    if not rows:
        raise ValueError(f"{path} is empty: no row of an autoencoder; expected one row per column, with the same names")
    for name, line in rows.items():
        if len(line) != len(header):
            raise ValueError(
                f"{path}: row {name!r} has {len(line) - 1} values for {len(classifiers)} columns; give every row its "
                "name and one value per column, and the first line a cell for the corner before the columns' names"
            )
    positions = {name: position for position, name in enumerate(classifiers, start=1) if name not in without}
    classifiers = list(positions)
    check_same_names(str(path), rows=list(rows), columns=classifiers)
    values = np.array(
        [[_parse_cell(path, i, j, rows[i][k]) for j, k in positions.items()] for i in classifiers], dtype=np.float64
    )
    check_accuracies(values, names=classifiers, source=str(path))
    return pd.DataFrame(values, index=pd.Index(classifiers, name="autoencoder"), columns=pd.Index(classifiers))


def read_given_table(path: Path, key: str, expected: str, **options: Any) -> pd.DataFrame:
    """Read a table.

    Args:
        path: The file.
        key: The key of the configuration that names it.
        expected: What it must be, in words.
        **options: Further arguments of ``pandas.read_csv``.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is no table; names key and file.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{key}={path} does not exist: give {expected}")
    try:
        return pd.read_csv(path, **options)
    except (ValueError, OSError, OverflowError) as error:  # also of no UTF-8, no columns or uneven rows
        reason = " ".join(str(error).split())
        raise ValueError(f"{key}={path} cannot be read as a table ({reason}): give {expected}") from error


def _read_cells(path: Path) -> list[list[str]]:
    """All non-blank lines of a CSV file as stripped cells, header first."""
    if not path.exists():
        raise FileNotFoundError(
            f"{path} does not exist; give the path of a CSV table of accuracies (task=cross_evaluate writes one)"
        )
    if not path.is_file():
        raise ValueError(f"{path} is not a file; give the path of a CSV table of accuracies")
    try:
        with path.open(newline="", encoding="utf-8-sig") as stream:
            lines = [[cell.strip() for cell in line] for line in csv.reader(stream)]
    except (UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"{path} is not a text table; save it as comma-separated values in UTF-8") from error
    lines = [[unguard(cell) for cell in line] for line in lines]
    lines = [line for line in lines if any(line)]
    if not lines:
        raise ValueError(f"{path} is empty; expected a line of classifier names, then one row per autoencoder")
    for separator, name in ((";", "semicolons"), ("\t", "tabs")):
        if len(lines[0]) == 1 and separator in lines[0][0]:
            raise ValueError(f"{path} is separated by {name}; save it with commas, and points in the numbers")
    if all(len(line) == 1 for line in lines):
        raise ValueError(
            f"{path} has one column only; expected the autoencoders' names, then one column per classifier"
        )
    return lines


def _check_names(path: Path, axis: str, names: Sequence[str], expected: str) -> None:
    """Refuse names that are blank, look like numbers or repeat."""
    for position, name in enumerate(names, start=1):
        if not name:
            raise ValueError(f"{path} has unnamed parts: {axis} {position} has no name; {expected}")
        if _as_number(name) is not None:
            raise ValueError(f"{path} has unnamed parts: {axis} {position} is called {name!r}, a number; {expected}")
    if repeated := [name for name, count in Counter(names).items() if count > 1]:
        raise ValueError(f"{path} has more than one {axis} named {repeated[0]!r}; give every {axis} a name of its own")


def _parse_cell(path: Path, row: str, column: str, text: str) -> float:
    """One cell as a float, or an error that says where it is."""
    where = f"row {row!r}, column {column!r}"
    if not text:
        raise ValueError(f"{path}: the value in {where} is missing; fill in an accuracy from 0 to 1")
    number = _as_number(text)
    if number is None or not math.isfinite(number):
        raise ValueError(f"{path}: {text!r} in {where} is not a number; write an accuracy from 0 to 1, such as 0.83")
    return number


def _as_number(text: str) -> float | None:
    """The number that a text spells, or None; Python would also read ``1_000``, a table does not mean that."""
    try:
        return None if "_" in text else float(text)
    except ValueError:
        return None
