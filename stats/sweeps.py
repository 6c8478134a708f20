"""The jobs of a sweep as one table, with means over seeds."""

from collections.abc import Sequence
from typing import Any

import pandas as pd

FIXED = ("study", "job", "task", "classifier", "seed", "status")


def sweep_table(jobs: Sequence[dict[str, Any]]) -> pd.DataFrame:
    """A row per job.

    Args:
        jobs: For each job ``study``, ``job``, ``status``, ``objective``, ``seconds``, ``error``, its ``overrides``
            (``{key: value}``) and its ``metrics`` (``{name: number}``).

    Returns:
        Columns ``study``, ``job``, ``task``, ``classifier``, ``seed``, ``status``, the overrides that vary, then
        ``objective``, the metrics, ``seconds`` and ``error``.
    """
    keys = sorted({key for job in jobs for key in job["overrides"]})
    varied = [key for key in keys if len({job["overrides"].get(key) for job in jobs}) > 1 and key not in FIXED]
    metrics = sorted({name for job in jobs for name in job["metrics"]})
    rows = [
        {key: job.get(key) for key in FIXED}
        | {key: job["overrides"].get(key) for key in varied}
        | {"objective": job.get("objective")}
        | {name: job["metrics"].get(name) for name in metrics}
        | {"seconds": job.get("seconds"), "error": job.get("error")}
        for job in jobs
    ]
    return pd.DataFrame(rows)


def factors(table: pd.DataFrame) -> list[str]:
    """The columns that vary between the jobs of a table, without seeds; the one with most values leads.

    Example:
        >>> factors(pd.DataFrame({"seed": [0, 1, 2], "lr": [0.1, 0.1, 0.2], "objective": [1, 2, 3]}))
        ['lr']
    """
    names = [
        name for name in table.columns[: table.columns.get_loc("objective")] if name not in ("job", "seed", "status")
    ]
    varied = [name for name in names if table[name].nunique(dropna=False) > 1]
    others = [name for name in varied if name != "study"]
    if "study" in varied and others and same_groups(table, "study", others):
        varied.remove("study")  # its name only repeats what varies
    return sorted(varied, key=lambda name: -table[name].nunique(dropna=False))


def same_groups(table: pd.DataFrame, name: str, others: Sequence[str]) -> bool:
    """Whether one column distinguishes no more rows than some others together."""
    together = table.groupby(list(others), dropna=False)[name].nunique(dropna=False)
    return bool((together <= 1).all())


def means(table: pd.DataFrame, number: str) -> pd.DataFrame:
    """Mean, standard deviation and count of a number over the seeds, for each combination of what varies."""
    by = factors(table) or ["task"]
    grouped = table.dropna(subset=[number]).groupby(by, sort=False, dropna=False)[number]
    return grouped.agg(["mean", "std", "count"]).reset_index()
