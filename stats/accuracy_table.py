"""Checks of a square table of accuracies: rows are autoencoders, columns classifiers.

A cell is the classifier's accuracy on the autoencoder's reconstructions; the diagonal is each classifier's accuracy on
the autoencoder that was fine-tuned through it.
"""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from stats.arrays import FloatArray


def check_same_names(source: str, rows: Sequence[Any], columns: Sequence[Any]) -> None:
    """Check that the rows and the columns of a table have the same names, each once, in any order.

    Args:
        source: What the error message calls the table.
        rows: Names of the autoencoders.
        columns: Names of the classifiers.

    Raises:
        ValueError: If a name is missing on one side or is there more than once.

    Example:
        >>> check_same_names("my.csv", rows=["b", "a"], columns=["a", "b"])
        >>> check_same_names("my.csv", rows=["a"], columns=["a", "b"])  # doctest: +ELLIPSIS
        Traceback (most recent call last):
        ValueError: my.csv is not square: no row (autoencoder) for the column b; name rows and columns alike...
    """
    causes = []
    if without_row := [str(name) for name in columns if name not in rows]:
        causes.append(f"no row (autoencoder) for the column {', '.join(without_row)}")
    if without_column := [str(name) for name in rows if name not in columns]:
        causes.append(f"no column (classifier) for the row {', '.join(without_column)}")
    if repeated := [str(name) for names in (rows, columns) for name, count in Counter(names).items() if count > 1]:
        causes.append(f"more than one row or column named {repeated[0]}")
    if causes:
        raise ValueError(f"{source} is not square: {'; '.join(causes)}; name rows and columns alike, each name once")


def check_accuracies(values: FloatArray, names: Sequence[str], source: str) -> None:
    """Check that a square array holds accuracies, and no 0 on its diagonal.

    Args:
        values: Accuracies, shape ``(n, n)``, rows autoencoders, columns classifiers.
        names: Names of the classifiers.
        source: What the error message calls the array.

    Raises:
        ValueError: If the array is not square, a value is not finite or outside ``[0, 1]``, or the diagonal holds a 0.

    Example:
        >>> check_accuracies(np.array([[0.9, 0.5], [0.7, 0.8]]), ["a", "b"], "my.csv")
        >>> check_accuracies(np.array([[0.9, 1.5], [0.7, 0.8]]), ["a", "b"], "my.csv")
        Traceback (most recent call last):
        ValueError: my.csv: 1.5 in row 'a', column 'b' is outside [0, 1]; write accuracies from 0 to 1
    """
    if values.ndim != 2 or values.shape[0] != values.shape[1] or values.size == 0:
        raise ValueError(f"{source} has shape {values.shape}; expected one row (autoencoder) per column (classifier)")
    diagonal = values.diagonal()
    outside = np.argwhere(~((values >= 0) & (values <= 1)))  # so written, it also refuses NaN
    if len(outside):
        i, j = (int(index) for index in outside[0])
        percentages = ((values >= 0) & (values <= 100)).all() and (diagonal > 1).mean() > 0.5
        fix = "the values look like percentages: divide by 100" if percentages else "write accuracies from 0 to 1"
        raise ValueError(
            f"{source}: {float(values[i, j])} in row {names[i]!r}, column {names[j]!r} is outside [0, 1]; {fix}"
        )
    smallest = int(diagonal.argmin())
    if diagonal[smallest] < np.finfo(np.float64).tiny:  # a ratio to a subnormal number overflows
        raise ValueError(
            f"{source}: the accuracy of {names[smallest]!r} on its own autoencoder is 0, and ratios divide by it; "
            "leave this classifier out, row and column, or fine-tune its autoencoder again"
        )
