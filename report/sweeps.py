"""The jobs of a sweep as one table and one figure."""

from collections.abc import Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from report.figures.study import ACCENT, GREY, INK, STYLE

FIXED = ("study", "job", "task", "classifier", "seed", "status")
COLOURS = (ACCENT, "#c2571a", "#5b4fa0", "#7a8b1f", "#b02a5b", GREY)


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
    """What varies between the jobs of a table, but for seeds: first what has most values."""
    names = [
        name for name in table.columns[: table.columns.get_loc("objective")] if name not in ("job", "seed", "status")
    ]
    varied = [name for name in names if table[name].nunique(dropna=False) > 1]
    if (
        "study" in varied
        and len(varied) > 1
        and same_groups(table, "study", [name for name in varied if name != "study"])
    ):
        varied.remove("study")  # its name only repeats what varies
    return sorted(varied, key=lambda name: -table[name].nunique(dropna=False))


def same_groups(table: pd.DataFrame, name: str, others: Sequence[str]) -> bool:
    """Whether one column tells no more rows apart than some others together."""
    together = table.groupby(list(others), dropna=False)[name].nunique(dropna=False)
    return bool((together <= 1).all())


def means(table: pd.DataFrame, number: str) -> pd.DataFrame:
    """Mean, standard deviation and count of a number over the seeds, for each combination of what varies."""
    by = factors(table) or ["task"]
    grouped = table.dropna(subset=[number]).groupby(by, sort=False, dropna=False)[number]
    return grouped.agg(["mean", "std", "count"]).reset_index()


def sweep_figure(table: pd.DataFrame, number: str) -> Figure:
    """A dot per job: across, the factor with most values; in colour, all others together; a bar at each mean.

    Args:
        table: As :func:`sweep_table` makes it.
        number: The column to show.
    """
    varied = factors(table)
    across, others = (varied[0], varied[1:]) if varied else ("task", [])
    table = table.dropna(subset=[number])
    groups = table[others].astype(str).agg(", ".join, axis=1) if others else pd.Series("", index=table.index)
    places, names = list(dict.fromkeys(table[across].astype(str))), list(dict.fromkeys(groups))
    width = 0.8 / max(1, len(names))
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(max(3.6, 1.6 + 0.5 * len(places) * max(1, len(names))), 3.2))
        ax = figure.subplots()
        for number_of_group, name in enumerate(names):
            colour = COLOURS[number_of_group % len(COLOURS)]
            for place, value in enumerate(places):
                found = table[(groups == name) & (table[across].astype(str) == value)][number].to_numpy(dtype=float)
                x = place + (number_of_group - (len(names) - 1) / 2) * width
                spread = (np.arange(len(found)) - (len(found) - 1) / 2) * width * 0.15
                ax.plot(x + spread, found, "o", color=colour, markersize=4, alpha=0.8, label=None if place else name)
                if len(found) > 1:
                    ax.hlines(found.mean(), x - 0.35 * width, x + 0.35 * width, color=INK, linewidth=1.2)
        ax.set_xticks(range(len(places)), places, rotation=30 if len(places) > 4 else 0)
        ax.set_xlim(-0.6, len(places) - 0.4)
        ax.set_xlabel(across)
        ax.set_ylabel(number)
        if others:
            ax.legend(frameon=False, fontsize=8, title=", ".join(others), loc="upper left", bbox_to_anchor=(1, 1))
    return figure
