"""Part of the page: accuracy under attack, alone and behind autoencoders, and which attacks transfer."""

import math
from collections.abc import Mapping
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from methods.robustness.tables import FILES
from report.figures.matrices import heat_map, slanted_columns
from report.figures.style import ACCENT, GREY, INK, PALE, STYLE
from report.page import Part
from report.tables import read_table
from report.text import figure_text
from report.words import measure
from stats.names import in_measure

TEMPLATE = "methods/robustness/report.html.j2"
TITLES = {"linf": "$L_\\infty$", "l2": "$L_2$"}
BEHIND = {"pretrained": "behind $A_S$", "own": "behind $A_i$"}
LINES = (  # attack, name, colour, line, width
    ("transfer", "images made for the classifier alone", "#d08c2f", "--", 1.1),
    ("bpda", "PGD, autoencoder taken for the identity", "#7b6ca8", ":", 1.3),
    ("pgd", "PGD through the autoencoder", ACCENT, "-.", 1.1),
    ("worst", "worst of all attacks", ACCENT, "-", 1.8),
)
ALONE = "classifier alone, worst of all attacks"
ROWS = {"plain": "alone", "pretrained": "behind A_S", "own": "behind A_i"}
ATTACKS = {"fgsm": "FGSM", "pgd": "PGD", "transfer": "transfer", "bpda": "BPDA", "worst": "worst"}
FEW = 8  # classifiers, up to which heat maps stand side by side


def read(root: Path, titles: Mapping[str, str]) -> Part | None:
    """The part, or ``None`` if no attack was made.

    Args:
        root: The study's folder.
        titles: Display name of each classifier.
    """
    files = [root / "robustness" / in_measure(name, measure()) for name in FILES]
    if not all(path.exists() for path in files):
        return None
    named = dict.fromkeys(("classifier", "source", "target"), titles)
    accuracy, transfer, masking, findings = (read_table(path, "target").replace(named) for path in files[:4])
    figures, norms = {}, []
    for finding in findings.to_dict("records"):
        norm = str(finding["norm"])
        of_norm = accuracy[accuracy["norm"] == norm]
        figures[f"robustness_{norm}"] = curves(of_norm, norm)
        further = {
            "shown_epsilon": shown(norm, finding["epsilon"]),
            "images": int(of_norm["images"].iloc[0]),
            "accuracy": wide(of_norm, norm),
            "masking": masks(masking[masking["norm"] == norm], norm),
        }
        norms.append(finding | further)
    figures["robustness_transfer"] = transfers(transfer.merge(findings[["norm", "epsilon"]]))
    values = {"norms": norms, "classifiers": transfer["target"].nunique()}
    return Part(TEMPLATE, values, figures, files)


def shown(norm: str, epsilon: float) -> str:
    """An epsilon as people write it: in 255ths for L∞."""
    return f"{255 * epsilon:.3g}/255" if norm == "linf" else f"{epsilon:.3g}"


def wide(table: pd.DataFrame, norm: str) -> pd.DataFrame:
    """A row for each classifier, defence and attack, a column for each epsilon."""
    rows = table["classifier"] + ", " + table["defence"].map(ROWS) + ": " + table["attack"].map(ATTACKS)
    return by_epsilon(table.assign(row=rows), "accuracy", norm, "ε ")


def masks(table: pd.DataFrame, norm: str) -> pd.DataFrame:
    """A row for each classifier and defence: no gradient at all, and attacks that PGD missed."""
    named = table.assign(row=table["classifier"] + ", " + table["defence"].map(ROWS))
    none = named.drop_duplicates("row").set_index("row")["no_gradient"].rename("no gradient")
    return by_epsilon(named, "missed", norm, "missed by PGD, ε ").join(none)


def by_epsilon(table: pd.DataFrame, values: str, norm: str, heading: str) -> pd.DataFrame:
    """A row for each ``row`` of a table, a column for each epsilon under its heading."""
    made = unfolded(table, values, "epsilon")
    # named only now: two epsilons may look the same
    return made.set_axis([heading + shown(norm, float(epsilon)) for epsilon in made.columns], axis=1)


def unfolded(table: pd.DataFrame, values: str, columns: str) -> pd.DataFrame:
    """Rows ``row`` and columns of a long table as those of a wide one, in the order in which they come."""
    made = table.pivot(index="row", columns=columns, values=values)
    return made.loc[table["row"].unique(), table[columns].unique()].rename_axis(columns=None)


def curves(table: pd.DataFrame, norm: str) -> Figure:
    """Accuracy against epsilon: a panel for each classifier behind each autoencoder.

    Args:
        table: The rows of ``accuracy.csv`` of one norm, with display names of classifiers.
        norm: The norm, ``linf`` or ``l2``.
    """
    names = table["classifier"].unique().tolist()
    across = min(6, len(names))
    rows = len(BEHIND) * math.ceil(len(names) / across)
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(max(4.5, 1.55 * across + 0.6), 1.35 * rows + 0.9))
        axes = figure.subplots(rows, across, sharex=True, sharey=True, squeeze=False)
        for number, defence in np.ndindex(rows * across // len(BEHIND), len(BEHIND)):
            ax = axes[number // across * len(BEHIND) + defence, number % across]
            if number >= len(names):
                ax.set_visible(False)
                continue
            panel(ax, table[table["classifier"] == names[number]], list(BEHIND)[defence], norm)
            if defence == 0:
                ax.set_title(figure_text(names[number]), color=INK, pad=4)
            if number % across == 0:
                ax.set_ylabel(list(BEHIND.values())[defence])
        figure.supylabel(measure(), fontsize=9)
        figure.supxlabel("ε" + (" (255ths)" if norm == "linf" else ""), fontsize=9)
        handles, texts = axes[0, 0].get_legend_handles_labels()
        figure.tight_layout(h_pad=0.6, w_pad=0.4)
        figure.legend(
            handles, texts, frameon=False, fontsize=8, loc="lower center", bbox_to_anchor=(0.5, 1.0),
            ncols=3 if across > 3 else 1, columnspacing=1.2,
        )  # fmt: skip
    return figure


def panel(ax: Axes, table: pd.DataFrame, defence: str, norm: str) -> None:
    """The lines of one classifier behind one autoencoder."""
    scale = 255 if norm == "linf" else 1
    alone = table[(table["defence"] == "plain") & (table["attack"] == "worst")]
    ax.plot(scale * alone["epsilon"], alone["accuracy"], color=GREY, linewidth=1.8, label=ALONE)
    for attack, name, colour, line, width in LINES:
        part = table[(table["defence"] == defence) & (table["attack"] == attack)]
        if attack == "worst":
            ax.fill_between(scale * part["epsilon"], part["lower"], part["upper"], color=PALE, linewidth=0)
        ax.plot(scale * part["epsilon"], part["accuracy"], color=colour, linestyle=line, linewidth=width, label=name)
    ax.set_ylim(0, 1.02)
    ax.set_yticks([0, 0.5, 1], ["0", "50", "100 %"])
    ax.set_xticks(*ticks(table["epsilon"], scale), fontsize=8)


def ticks(epsilons: pd.Series, scale: float) -> tuple[list[float], list[str]]:
    """Positions and names of ticks, without those that would touch."""
    values = sorted({scale * float(value) for value in epsilons})
    kept = [values[-1]]
    for value in reversed(values[:-1]):
        if kept[-1] - value >= 0.2 * values[-1]:
            kept.append(value)
    return kept, [f"{value:.3g}" for value in kept]


def transfers(table: pd.DataFrame) -> Figure:
    """Heat maps: accuracy of each classifier (columns) on images made against each (rows).

    Args:
        table: The rows of ``transfer.csv`` of one epsilon for each norm, with display names of classifiers.
    """
    count, norms = table["target"].nunique(), table["norm"].unique().tolist()
    side = max(2.0, 0.6 * count) if count <= FEW else 0.33 * count
    shape = (1, len(norms)) if count <= FEW else (len(norms), 1)
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=((side + 1.5) * shape[1], (side + 1.2) * shape[0]))
        for ax, norm in zip(figure.subplots(*shape, squeeze=False).flat, norms, strict=True):
            part = table[table["norm"] == norm].rename(columns={"source": "row"})
            accuracy = unfolded(part, "accuracy", "target")
            size = 9 if count <= FEW else 6
            heat_map(ax, accuracy, (0, 1), lambda share: f"{100 * share:.0f}", size, square=True)
            slanted_columns(ax, accuracy)
            ax.set_title(f"{TITLES[norm]}, ε = {shown(norm, part['epsilon'].iloc[0])}", color=INK)
            ax.set_xlabel("evaluated by")
            if norm == norms[0] or shape[1] == 1:
                ax.set_ylabel("made against")
        figure.tight_layout()
    return figure
