"""Studies of planted cues: how much each autoencoder keeps of its classifier's cue and of other cues."""

from collections.abc import Mapping
from pathlib import Path

import matplotlib as mpl
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from report.figures.matrices import accuracy_matrix
from report.figures.style import ACCENT, GREY, INK, STYLE, typeset
from report.names import source_titles
from report.page import Part
from report.parts.intervals import level_of
from report.tables import read_table
from report.words import measure

TEMPLATE = "report/templates/cues.html.j2"
KEPT = "own kept"


def read(root: Path, titles: Mapping[str, str]) -> Part | None:
    """The part of a study with classifiers of the same and of different cues, in which ``task=intervals`` has run."""
    paths = [root / "intervals" / name for name in ("cues.csv", "cue_pairs.csv", "rrc.csv")]
    probes = root / "probe" / f"{measure()}.csv"
    if not all(path.exists() for path in paths):
        return None
    retention, pairs = read_table(paths[0], index="number"), read_table(paths[1])
    names = list(dict.fromkeys(read_table(paths[2])["autoencoder"]))
    if not len(retention):
        return None
    figures = {"cue_rrc": retention_figure(pairs, names, titles, float(retention["estimate"]["guessing"]))}
    if probes.exists():
        accuracy = read_table(probes).pivot_table("accuracy", "source", "classifier", sort=False)
        baselines = sum(name not in names for name in accuracy.index)
        named = accuracy.rename(index=source_titles(titles), columns=titles)
        figures["cue_probes"] = accuracy_matrix(named, baselines)
    values = {
        "level": level_of(root),
        "retention": retention.rename(index=lambda name: row_title(name, titles)),
        "rows": retention.to_dict("index"),
        "kept": retention[retention.index.str.startswith(KEPT)]["estimate"].min(),
    }
    return Part(TEMPLATE, values, figures, [*paths[:2], *([probes] if probes.exists() else [])])


def row_title(number: str, titles: Mapping[str, str]) -> str:
    """The name of a row, with the display name of its classifier."""
    what, _, name = number.partition(", ")
    return f"{what}, {titles.get(name, name)}" if name else what


def retention_figure(
    pairs: pd.DataFrame, names: list[str], titles: Mapping[str, str], guessing: float, letter: str = "A"
) -> Figure:
    """For each autoencoder (rows) the relative rates of change of classifiers with its cue and with other cues.

    Args:
        pairs: Columns ``autoencoder``, ``classifier``, ``cue`` (``same cue`` or ``other cue``), ``rrc``.
        names: The classifiers, from the top.
        titles: Display name of each classifier.
        guessing: RRC of classifiers that guess.
        letter: Of the sources of images: A of autoencoders, B of bands.
    """
    looks = {"other cue": {"color": INK, "markerfacecolor": "white"}, "same cue": {"color": ACCENT}}
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(6.2, 0.28 * len(names) + 1.0))
        ax = figure.subplots()
        ax.axvline(guessing, color=GREY, linewidth=1, linestyle="--", zorder=0)
        for cue, look in looks.items():
            dots = pairs[pairs["cue"] == cue]
            heights = [names.index(name) for name in dots["autoencoder"]]
            ax.plot(dots["rrc"], heights, "o", markersize=6 if cue == "same cue" else 5, **look)  # type: ignore[arg-type]
        ax.set_yticks(range(len(names)), [typeset(f"{letter}_{titles.get(name, name)}") for name in names])
        ax.set_ylim(len(names) - 0.5, -0.5)
        ax.set_xlim(0, max(1.05, float(pairs["rrc"].max()) * 1.03))
        ax.set_xlabel("relative rate of change")
        handles = [Line2D([], [], marker="o", linestyle="", label=cue, **looks[cue]) for cue in reversed(looks)]  # type: ignore[arg-type]
        handles.append(Line2D([], [], color=GREY, linestyle="--", label="guessing"))
        figure.legend(handles=handles, loc="upper center", ncols=3, frameon=False, fontsize=8)
        figure.tight_layout(rect=(0, 0, 1, 1 - 0.3 / figure.get_figheight()))
    return figure
