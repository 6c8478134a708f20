"""Super-classes: groups of classes, from a table or from the data themselves."""

import difflib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from methods.concepts.record import Array, Integers
from study.accuracy_csv import read_given_table

HEADER = ["class", "superclass"]
KEY = "concepts.superclasses"


def read_superclasses(path: Path, classes: Sequence[str]) -> list[str]:
    """Read the super-class of every class from a CSV with the columns ``class`` and ``superclass``.

    Args:
        path: The table.
        classes: Names of the classes, in the order of the labels.

    Returns:
        A super-class for each class.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If a column is missing, a class is unknown, missing, there twice, or has no super-class.
    """
    expected = f"a CSV with the header {','.join(HEADER)}"
    table = read_given_table(path, KEY, expected, dtype=str, keep_default_na=False, skipinitialspace=True)
    table.columns = table.columns.str.strip()
    missing = [name for name in HEADER if name not in table]
    if missing:
        raise ValueError(f"{path} has no column {missing[0]}: its first line must be {','.join(HEADER)}")
    table = table[HEADER].apply(lambda column: column.str.strip())
    check_table(table, classes, path)
    known = dict(zip(table["class"], table["superclass"], strict=True))
    return [known[name] for name in classes]


def check_table(table: pd.DataFrame, classes: Sequence[str], path: Path) -> None:
    """Refuse a table that does not name every class once."""
    names = table["class"].tolist()
    for name in names:
        if name not in classes:
            near = difflib.get_close_matches(name, list(classes), n=3)
            hint = f"did you mean {' or '.join(near)}?" if near else f"the data has {', '.join(classes[:3])}, …"
            raise ValueError(f"{path}: {name!r} is not a class of the data; {hint}")
    twice = table["class"][table["class"].duplicated()].tolist()
    if twice:
        raise ValueError(f"{path} names the class {twice[0]!r} twice: give each class one super-class")
    left = [name for name in classes if name not in set(names)]
    if left:
        more = f" and {len(left) - 3} more" if len(left) > 3 else ""
        raise ValueError(f"{path} has no super-class for {', '.join(left[:3])}{more}: give every class one")
    empty = table["class"][table["superclass"] == ""].tolist()
    if empty:
        raise ValueError(f"{path}: the class {empty[0]!r} has no super-class: fill it in")


def superclass_labels(labels: Array, superclasses: Sequence[str]) -> tuple[Integers, list[str]]:
    """Labels of super-classes.

    Args:
        labels: Labels of classes, ``(N,)``.
        superclasses: The super-class of each class.

    Returns:
        Positions in the second result, ``(N,)``; and the names of the super-classes, sorted.
    """
    names, number = np.unique(np.asarray(superclasses, dtype=str), return_inverse=True)
    return number[np.asarray(labels, dtype=int)].astype(np.int64), [str(name) for name in names]
