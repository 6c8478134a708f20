"""The order relation: from a table of accuracies to "who needs more of the input than whom", at every threshold.

Row ``i`` of every table is an autoencoder ``A_i``, column ``j`` a classifier: the cell is classifier ``j`` fed with the
reconstructions of ``A_i``. Source: arXiv 1803.08337, the order relation.
"""

import csv
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from analysis.concept_lattice import count_concepts, is_chain

FloatArray = npt.NDArray[np.float64]

ORIGINAL = "original"
"""Row of a study's accuracy table: the classifiers on the untouched images."""
PRETRAINED = "pretrained"
"""Row of a study's accuracy table: the classifiers on the reconstructions of the autoencoder before fine-tuning."""

SAME_VALUE = 1e-12
"""Relative difference up to which two ratios count as one value: 0.1/0.2 and 0.3/0.6 may differ in the last bits."""


@dataclass(frozen=True)
class ThresholdInterval:
    """A range of thresholds ``(lower, upper]`` with one and the same concept lattice.

    Attributes:
        lower: Excluded lower end, at least 0.
        upper: Included upper end, a value of the relative rate of change.
        concepts: Number of formal concepts, at least 1.
        chain: Whether the lattice is a chain, so that the classifiers are ordered.
        order: Groups of classifier indices, from those served by the fewest autoencoders to those served by the most;
            classifiers served by the same autoencoders share a group. None where the lattice is not a chain.
    """

    lower: float
    upper: float
    concepts: int
    chain: bool
    order: tuple[tuple[int, ...], ...] | None


def read_accuracy_table(path: str | Path) -> pd.DataFrame:
    """Read a square table of accuracies from a CSV file.

    The header names the classifiers, the first column names the autoencoders; both must be the same names, in any
    order. Rows named ``original`` and ``pretrained`` are left out: a study's own table has them. Every number is read
    to the nearest float64, so a table written with ``repr`` precision comes back bit for bit.

    Args:
        path: A comma-separated UTF-8 file with accuracies in ``[0, 1]``.

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
    rows = {line[0]: line for line in lines if line[0] not in (ORIGINAL, PRETRAINED)}
    if not rows:
        raise ValueError(f"{path} is empty: no row of an autoencoder; expected one row per column, with the same names")
    for name, line in rows.items():
        if len(line) != len(header):
            raise ValueError(
                f"{path}: row {name!r} has {len(line) - 1} values for {len(classifiers)} columns; give every row its "
                "name and one value per column, and the first line a cell for the corner before the columns' names"
            )
    _check_same_names(str(path), rows=list(rows), columns=classifiers)
    values = np.array(
        [[_parse_cell(path, i, j, rows[i][k]) for k, j in enumerate(classifiers, start=1)] for i in classifiers],
        dtype=np.float64,
    )
    _check_accuracies(values, names=classifiers, source=str(path))
    return pd.DataFrame(values, index=pd.Index(classifiers, name="autoencoder"), columns=pd.Index(classifiers))


def relative_rate_of_change(accuracy: FloatArray) -> FloatArray:
    """Compare each accuracy with the smaller of the two classifiers' accuracies on their own autoencoders.

    ``RRC[i, j] = acc[i, j] / min(acc[i, i], acc[j, j])``: near 1 where the signal that ``A_i`` keeps serves
    classifier ``j``, near 0 where it does not. The diagonal is exactly 1; a value above 1 is possible.

    Args:
        accuracy: Accuracies in ``[0, 1]``, shape ``(n, n)``, rows autoencoders, columns classifiers.

    Returns:
        Non-negative ratios of shape ``(n, n)``.

    Raises:
        ValueError: If the array is not square, a value is not finite or outside ``[0, 1]``, or the diagonal holds a 0.

    Source: arXiv 1803.08337, relative rate of change.
    """
    accuracy = np.asarray(accuracy, dtype=np.float64)
    _check_accuracies(accuracy, names=None, source="accuracy")
    own = accuracy.diagonal()
    return accuracy / np.minimum.outer(own, own)


def threshold_intervals(rrc: FloatArray) -> list[ThresholdInterval]:
    """Find the concept lattice at every threshold in ``(0, rrc.max()]``.

    At threshold ``t`` the objects are the classifiers ``j``, the attributes the autoencoders ``i``, and ``j`` has ``i``
    where ``rrc[i, j] >= t``. Values that differ by rounding alone (``SAME_VALUE``) count as the largest of them.

    Args:
        rrc: Relative rates of change, non-negative, shape ``(n, n)``, rows autoencoders, columns classifiers.

    Returns:
        Intervals in ascending order, each starting where the one before ends; none where all values are 0.

    Raises:
        ValueError: If the array is not square or a value is negative or not finite.

    Source: arXiv 1803.08337, formal concept analysis, shown there at the thresholds .1, .2, .8 and .9.
    """
    rrc = np.asarray(rrc, dtype=np.float64)
    if rrc.ndim != 2 or rrc.shape[0] != rrc.shape[1]:
        raise ValueError(f"rrc has shape {rrc.shape}, not square; pass the result of relative_rate_of_change")
    if not np.isfinite(rrc).all() or (rrc < 0).any():
        raise ValueError("rrc has a negative or non-finite value; pass the result of relative_rate_of_change")
    cuts = _distinct_values(rrc)
    # The cut that stands for a value: every value of a merged group is at or below its cut and above the one before.
    rank = np.where(rrc > 0, np.searchsorted(cuts, rrc), -1)
    intervals = []
    for k, upper in enumerate(cuts):
        served = (rank >= k).T
        chain = is_chain(served)
        intervals.append(
            ThresholdInterval(
                lower=float(cuts[k - 1]) if k else 0.0,
                upper=float(upper),
                concepts=count_concepts(served),
                chain=chain,
                order=_groups_by_count(served.sum(axis=1).tolist()) if chain else None,
            )
        )
    return intervals


def widest_chain(intervals: Sequence[ThresholdInterval]) -> ThresholdInterval | None:
    """Pick the order that holds over the widest range of thresholds.

    A chain that tells at least two groups of classifiers apart goes before one that puts all into a single group.

    Args:
        intervals: Result of ``threshold_intervals``.

    Returns:
        The widest chain, the lowest of equally wide ones (widths that differ by rounding alone are equal); None where
        no interval is a chain.
    """
    chains = [interval for interval in intervals if interval.order is not None]
    candidates = [interval for interval in chains if interval.order and len(interval.order) > 1] or chains
    if not candidates:
        return None
    widest = max(interval.upper - interval.lower for interval in candidates)
    tied = (i for i in candidates if math.isclose(i.upper - i.lower, widest, abs_tol=SAME_VALUE * i.upper))
    return min(tied, key=lambda interval: interval.lower)


def order_document(accuracy: pd.DataFrame) -> dict[str, Any]:
    """Write the whole order analysis of a table as one JSON-ready document.

    Args:
        accuracy: Accuracies in ``[0, 1]``, shape ``(n, n)``; index and columns hold the same names.

    Returns:
        ``{"rrc": {autoencoder: {classifier: value}}, "intervals": [{"from", "to", "concepts", "chain", "order"}]}``
        where an interval is the thresholds in ``(from, to]`` and ``order`` holds groups of names, or None where the
        lattice is not a chain. Names and rows follow the order of the columns.

    Raises:
        ValueError: If the names of rows and columns differ or repeat, or a value is not a possible accuracy.
    """
    _check_same_names("accuracy", rows=list(accuracy.index), columns=list(accuracy.columns))
    values = accuracy.loc[list(accuracy.columns)].to_numpy(dtype=np.float64)
    names = [str(name) for name in accuracy.columns]
    _check_accuracies(values, names=names, source="accuracy")
    rrc = relative_rate_of_change(values)
    return {
        "rrc": {name: dict(zip(names, row, strict=True)) for name, row in zip(names, rrc.tolist(), strict=True)},
        "intervals": [
            {
                "from": interval.lower,
                "to": interval.upper,
                "concepts": interval.concepts,
                "chain": interval.chain,
                "order": None if interval.order is None else [[names[j] for j in group] for group in interval.order],
            }
            for interval in threshold_intervals(rrc)
        ],
    }


def _distinct_values(rrc: FloatArray) -> FloatArray:
    """Positive values in ascending order, each run of nearly equal ones replaced by its largest."""
    values = np.unique(rrc[rrc > 0])
    last_of_run = np.append(np.diff(values) > SAME_VALUE * values[1:], True)[: len(values)]
    return values[last_of_run]


def _groups_by_count(counts: Sequence[int]) -> tuple[tuple[int, ...], ...]:
    """Positions grouped by their count, ascending: in a chain, intents of equal size are equal."""
    return tuple(tuple(j for j, count in enumerate(counts) if count == size) for size in sorted(set(counts)))


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


def _check_same_names(source: str, rows: Sequence[Any], columns: Sequence[Any]) -> None:
    """Refuse a table whose rows and columns are not the same names, each once."""
    causes = []
    if without_row := [str(name) for name in columns if name not in rows]:
        causes.append(f"no row (autoencoder) for the column {', '.join(without_row)}")
    if without_column := [str(name) for name in rows if name not in columns]:
        causes.append(f"no column (classifier) for the row {', '.join(without_column)}")
    if repeated := [str(name) for names in (rows, columns) for name, count in Counter(names).items() if count > 1]:
        causes.append(f"more than one row or column named {repeated[0]}")
    if causes:
        raise ValueError(f"{source} is not square: {'; '.join(causes)}; name rows and columns alike, each name once")


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
    """The number that a text spells, or None; Python's own ``1_000`` is none."""
    try:
        return None if "_" in text else float(text)
    except ValueError:
        return None


def _check_accuracies(values: FloatArray, names: Sequence[str] | None, source: str) -> None:
    """Refuse an array that cannot be a square table of accuracies with a usable diagonal."""
    if values.ndim != 2 or values.shape[0] != values.shape[1] or values.size == 0:
        raise ValueError(f"{source} has shape {values.shape}; expected one row (autoencoder) per column (classifier)")
    names = names or [str(position) for position in range(len(values))]
    own = values.diagonal()
    outside = np.argwhere(~((values >= 0) & (values <= 1)))
    if len(outside):
        i, j = (int(position) for position in outside[0])
        percentages = ((values >= 0) & (values <= 100)).all() and (own > 1).mean() > 0.5
        fix = "the values look like percentages: divide by 100" if percentages else "write accuracies from 0 to 1"
        raise ValueError(
            f"{source}: {float(values[i, j])} in row {names[i]!r}, column {names[j]!r} is outside [0, 1]; {fix}"
        )
    smallest = int(own.argmin())
    if own[smallest] < np.finfo(np.float64).tiny:
        raise ValueError(
            f"{source}: the accuracy of {names[smallest]!r} on its own autoencoder is 0, and ratios divide by it; "
            "leave this classifier out, row and column, or fine-tune its autoencoder again"
        )
