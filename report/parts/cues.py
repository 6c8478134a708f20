"""What a study of planted cues adds to its report: does each autoencoder keep its classifier's cue, and no other?"""

from collections.abc import Mapping
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from report.figures.study import ACCENT, GREY, INK, STYLE, accuracy_matrix, typeset
from report.page import Part, Section
from report.study import row_names
from stats.cue_retention import pairs_by_labels, separation
from stats.intervals import Resampling, Sample, rates_of
from study.predictions import read_predictions


def read(root: Path, labels: Mapping[str, str]) -> Part | None:
    """The part, where classifiers were asked different questions, one of them twice."""
    path, probes = root / "cross_evaluation" / "predictions.npz", root / "probe" / "accuracy.csv"
    if not path.exists():
        return None
    predictions = read_predictions(path)
    columns = [predictions.columns.index(name) for name in predictions.classifiers]
    asked = [predictions.label_sets[column] for column in columns]
    same, apart = pairs_by_labels(asked)
    if not same.any() or not apart.any():
        return None
    sample = Sample(predictions.top1, predictions.sources, Resampling(1000, 0.95, seed=0))
    table = separation(predictions, sample).astype(float)
    rrc = rates_of(predictions, sample)(sample.means)
    names = [labels.get(name, name) for name in predictions.classifiers]
    figures = {"cue_rrc": served_figure(names, rrc, same, apart, float(table["estimate"]["guessing"]))}
    shown = table.rename(index=lambda name: renamed(name, labels))
    sections = [
        Section(
            "Does each autoencoder keep its classifier’s cue, and no other?",
            sentence(table),
            "cue_rrc",
            {"Cue retention, with 95 % intervals over images": shown},
        )
    ]
    if probes.exists():
        read_by_probes = pd.read_csv(probes).pivot_table("accuracy", "source", "classifier", sort=False)
        baselines = sum(name not in predictions.classifiers for name in read_by_probes.index)
        named = read_by_probes.rename(index=row_names(labels), columns=dict(labels))
        figures["cue_probes"] = accuracy_matrix(named, baselines)
        sections.append(
            Section(
                "What is there to be read, whoever it was made for",
                "Accuracy of readers: networks that were trained on each source of images, under noise, to answer each "
                "classifier’s question. A frozen classifier tells what it can use itself of another’s "
                "images; these readers tell what is there at all. A cue that neither can read is gone; one that only "
                "these readers find is there in a form that the frozen one does not know.",
                "cue_probes",
            )
        )
    return Part(sections, figures, [probes] if probes.exists() else [])


def renamed(number: str, labels: Mapping[str, str]) -> str:
    """A row's name for people."""
    what, _, name = number.partition(", ")
    return f"{what}, {labels.get(name, name)}" if name else what


def sentence(table: pd.DataFrame) -> str:
    """What was found, in words."""

    def described(name: str) -> str:
        estimate, lower, upper = (float(table[column][name]) for column in ("estimate", "lower", "upper"))
        return f"{estimate:.2f} [{lower:.2f}, {upper:.2f}]"

    kept = table[table.index.str.startswith("own kept")]["estimate"]
    return (
        "These images were drawn, so it is known what each classifier uses. Dots are relative rates of change: of "
        "another classifier that is asked for the same cue (filled) and of classifiers asked for other cues (open). If "
        "reconstructions held the classifier’s cue and nothing else, filled dots were at 1 and open ones at the line, "
        f"where readers guess. Here readers of the same cue get {described('same cue')} on average, readers of other "
        f"cues {described('other cue')}, guessing gives {table['estimate']['guessing']:.2f}; the separation is "
        f"{described('separation')}. Each classifier keeps at least {kept.min():.2f} of its own accuracy on its own "
        "autoencoder’s images."
    )


def served_figure(names: list[str], rrc: np.ndarray, same: np.ndarray, apart: np.ndarray, floor: float) -> Figure:
    """For each autoencoder (rows) how well it serves readers of its own cue and of other cues.

    Args:
        names: Of n classifiers.
        rrc: Relative rates of change, ``(n, n)``, rows autoencoders.
        same: Which pairs are asked the same, ``(n, n)``.
        apart: Which are asked for other cues, ``(n, n)``.
        floor: RRC of readers that guess.
    """
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(6.2, 0.28 * len(names) + 1.0))
        ax = figure.subplots()
        ax.axvline(floor, color=GREY, linewidth=1, linestyle="--", zorder=0)
        for row in range(len(names)):
            others, alike = rrc[row][apart[row] > 0], rrc[row][same[row] > 0]
            ax.plot(others, np.full(len(others), row), "o", color=INK, markerfacecolor="white", markersize=5)
            ax.plot(alike, np.full(len(alike), row), "o", color=ACCENT, markersize=6)
        ax.set_yticks(range(len(names)), [typeset(f"A_{name}") for name in names])
        ax.set_ylim(len(names) - 0.5, -0.5)
        ax.set_xlim(0, max(1.05, float(rrc.max()) * 1.03))
        ax.set_xlabel("relative rate of change")
        handles = [
            Line2D([], [], marker="o", linestyle="", color=ACCENT, label="same cue"),
            Line2D([], [], marker="o", linestyle="", color=INK, markerfacecolor="white", label="other cue"),
            Line2D([], [], color=GREY, linestyle="--", label="guessing"),
        ]
        figure.legend(handles=handles, loc="upper center", ncols=3, frameon=False, fontsize=8)
        figure.tight_layout(rect=(0, 0, 1, 1 - 0.3 / figure.get_figheight()))
    return figure
