"""Tables as CSV text and back: names that a spreadsheet would take for a formula are guarded, and come back unchanged.

The one pair for every table of a study: :func:`csv_bytes` writes it, :func:`table_of_csv` reads it.

Source: OWASP, "CSV Injection": a cell that begins with ``=``, ``+``, ``-``, ``@``, a tab or a line break can run
commands in a spreadsheet, and a ``'`` before it makes it text.
"""

import csv
import io
import re
from collections.abc import Callable, Collection
from typing import Any

import numpy as np
import pandas as pd

NAMES = frozenset(
    {
        "autoencoder", "block", "child", "class", "classifier", "layer", "name", "network", "other", "parent", "source",
        "superclass", "top_class", "top_superclass",
    }
)  # fmt: skip
"""Columns of names: a class ``007`` or ``null`` is no number and not missing."""
FORMULA = re.compile("'*[=+\\-@\t\r\n＝＋－＠]")
GUARDED = re.compile("''*[=+\\-@\t\r\n＝＋－＠]")


def guard(text: str) -> str:
    """A text as a cell that no spreadsheet runs: with a ``'`` before what looks like a formula and is no number.

    Args:
        text: Any text.

    Returns:
        What :func:`unguard` turns back into ``text``.

    Example:
        >>> guard("=cmd|' !A0"), guard("'-x"), guard("-0.5"), guard("cat")
        ("'=cmd|' !A0", "''-x", '-0.5', 'cat')
    """
    return f"'{text}" if FORMULA.match(text) and not _is_number(text) else text


def unguard(cell: str) -> str:
    """The text of a cell that :func:`guard` has made; other texts as they are.

    Example:
        >>> unguard("'=cmd|' !A0"), unguard("''-x"), unguard("-0.5"), unguard("'tis")
        ("=cmd|' !A0", "'-x", '-0.5', "'tis")
    """
    return cell[1:] if GUARDED.match(cell) else cell


def csv_bytes(table: pd.DataFrame) -> bytes:
    r"""A table as CSV, its texts guarded; the index is written if it has a name.

    Args:
        table: Numbers and texts. A text may hold any character, and the bytes of a file name that is not UTF-8.

    Returns:
        UTF-8, but for those bytes, which are written as they are.

    Example:
        >>> csv_bytes(pd.DataFrame({"class": ["=1+1", "cat"], "share": [0.5, -0.25]}))
        b"class,share\n'=1+1,0.5\ncat,-0.25\n"
    """
    guarded, index = _with_texts(table, guard), table.index.name is not None
    text = guarded.to_csv(index=index, lineterminator="\n")
    if "\r" in text:  # which Python before 3.13 writes without quotes, and every reader takes for the end of a line
        text = guarded.to_csv(index=index, lineterminator="\n", quoting=csv.QUOTE_NONNUMERIC)
    return text.encode("utf-8", "surrogateescape")


def table_of_csv(content: bytes, *texts: str, index: str | int | None = None) -> pd.DataFrame:
    r"""Read a table that :func:`csv_bytes` has written.

    Args:
        content: The content of the file.
        texts: Columns of texts, beside ``NAMES``, that may look like numbers.
        index: Name or position of the column of row names, which are texts; ``None`` for none.

    Returns:
        The table; an empty cell is NaN.

    Example:
        >>> table_of_csv(b"class,share\n'=1+1,0.5\n007,-0.25\n").to_dict("list")
        {'class': ['=1+1', '007'], 'share': [0.5, -0.25]}
    """
    header = pd.read_csv(io.BytesIO(content), nrows=0, encoding_errors="surrogateescape").columns
    first = [header[index] if isinstance(index, int) else index] if index is not None else []
    table = pd.read_csv(
        io.BytesIO(content),
        dtype=dict.fromkeys({*NAMES, *texts, *first}, str),
        keep_default_na=False,
        na_values=[""],
        encoding_errors="surrogateescape",
    )
    if first:
        table = table.set_index(first[0])
        table.index.name = None if str(first[0]).startswith("Unnamed: ") else first[0]
    return _with_texts(table, unguard)


def _with_texts(table: pd.DataFrame, change: Callable[[str], str]) -> pd.DataFrame:
    """A table in which every text, of cells and of names, has been changed."""

    def changed(cell: Any) -> Any:
        return change(cell) if isinstance(cell, str) else cell

    made = table.copy(deep=False)
    for position, kind in enumerate(table.dtypes):
        if isinstance(kind, pd.StringDtype) or kind == np.dtype(object):
            column = table.iloc[:, position]
            different = {text: new for text in _texts(column.unique()) if (new := change(text)) != text}
            if different:
                changed_cells = column.map(lambda cell, new=different: new.get(cell, cell))
                made.isetitem(position, changed_cells.array)
    return made.set_axis(_axis(table.index, changed), axis=0).set_axis(_axis(table.columns, changed), axis=1)


def _axis(axis: pd.Index, changed: Callable[[Any], Any]) -> pd.Index:
    """An axis with every text changed; the same one if there is none to change."""
    names = [changed(name) for name in axis.names]
    values = axis.map(changed) if any(changed(value) != value for value in _texts(axis.unique())) else axis
    return values.set_names(names)


def _texts(values: Collection[Any]) -> list[str]:
    return [value for value in values if isinstance(value, str)]


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return text == text.strip()
