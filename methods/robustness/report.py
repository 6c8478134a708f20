"""Part of the report: accuracy under attack, alone and behind autoencoders, and which attacks travel."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from report.figures.study import ACCENT, GREY, INK, PALE, STYLE
from report.page import Part, Section

FOLDER = "robustness"
FILES = ("accuracy.csv", "transfer.csv", "masking.csv", "predictions.npz")
TITLES = {"linf": "$L_\\infty$", "l2": "$L_2$"}
NORMS = {"linf": "L<sub>∞</sub>", "l2": "L<sub>2</sub>"}
MEASURES = {
    "linf": "every value of every pixel may change by up to ε (told in 255ths, the grey levels of a file)",
    "l2": "the Euclidean length of the whole change, pixels in [0, 1], is at most ε",
}
BEHIND = {"pretrained": "behind $A_S$", "own": "behind $A_i$"}
LINES = (  # attack, name, colour, line, width
    ("transfer", "images made for the classifier alone", "#d08c2f", "--", 1.1),
    ("bpda", "PGD, autoencoder taken for the identity", "#7b6ca8", ":", 1.3),
    ("pgd", "PGD through the autoencoder", ACCENT, "-.", 1.1),
    ("worst", "worst of all attacks", ACCENT, "-", 1.8),
)
ALONE = "classifier alone, worst of all attacks"


def read(root: Path, labels: Mapping[str, str]) -> Part | None:
    """The part, or ``None`` where nothing was attacked.

    Args:
        root: The study's folder.
        labels: What people call each classifier.
    """
    files = [root / FOLDER / name for name in FILES]
    if not all(path.exists() for path in files):
        return None
    accuracy = pd.read_csv(files[0]).replace({"classifier": dict(labels)})
    transfer = pd.read_csv(files[1]).replace({"source": dict(labels), "target": dict(labels)})
    masking = pd.read_csv(files[2]).replace({"classifier": dict(labels)})
    with np.load(files[3]) as file:
        predictions = {name: file[name] for name in file.files}
    figures, sections = {}, []
    for norm in accuracy["norm"].unique():
        part = accuracy[accuracy["norm"] == norm]
        figures[f"robustness_{norm}"] = curves(part, norm)
        text = f"{MEASURES[norm][:1].upper()}{MEASURES[norm][1:]}. {HOW_TO_READ} {finding(predictions, norm)}"
        tables = {
            f"Accuracy under attack, {part['images'].iloc[0]} images": wide(part, norm),
            "Where gradients mislead PGD: shares of images": masks(masking, norm),
        }
        sections.append(
            Section(f"Under attack, {norm.upper().replace('INF', '∞')}", text, f"robustness_{norm}", tables)
        )
    figures["robustness_transfer"] = matrices({norm: middle(transfer, norm) for norm in transfer["norm"].unique()})
    sections.append(Section("Attacks that travel", travel_text(transfer), "robustness_transfer"))
    return Part(sections, figures, files)


HOW_TO_READ = (
    "Attackers know the classifier. Dashed: they do not know of the autoencoder, and their images lose much of their "
    "effect on the way through it. The other lines know it. Only the worst of all attacks (thick, with its 95 % "
    "interval) says what an autoencoder protects from; even that is an upper bound, because a better attack may exist."
)


def finding(predictions: Mapping[str, npt.NDArray], norm: str) -> str:
    """What own autoencoders do against attackers that do and do not know them, in words, at the middle epsilon."""
    epsilons = predictions["epsilons"][predictions["norms"] == norm]
    epsilon = sorted(epsilons.tolist())[len(epsilons) // 2]
    place = int(np.flatnonzero((predictions["norms"] == norm) & (predictions["epsilons"] == epsilon))[0])
    own, transfer = predictions["defences"].tolist().index("own"), predictions["attacks"].tolist().index("transfer")
    clean = predictions["clean"].mean(axis=(0, 1))
    alone, known = (
        predictions["worst"][:, :, place, 0].mean(axis=1),
        predictions["worst"][:, :, place, own].mean(axis=1),
    )
    unknown = predictions["right"][:, :, place, own, transfer].mean(axis=1)
    gain, error = paired(known - alone)
    if gain - error > 0:
        answer = f"these attacks find it to protect from those who know it, too, by {points(gain, error)}"
    elif gain + error < 0:
        answer = f"against those who know it, it makes things worse, by {points(-gain, error)}"
    else:
        answer = f"against those who know it, no effect can be told ({points(gain, error)})"
    hidden, hidden_error = paired(unknown - known)
    return (
        f"At ε = {shown(norm, epsilon)}, mean over the classifiers: alone, {clean[0]:.0%} without attack and "
        f"{alone.mean():.0%} at worst; behind their own A<sub>i</sub> {clean[own]:.0%} without attack, "
        f"{unknown.mean():.0%} under images made for the classifier alone, {known.mean():.0%} at worst. So {answer}; "
        f"{points(hidden, hidden_error)} more are due to the attacker’s ignorance alone. "
        f"{doubt(predictions, place, own)}"
    )


def doubt(predictions: Mapping[str, npt.NDArray], place: int, own: int) -> str:
    """How often gradients misled PGD behind the own autoencoder, in words."""
    pgd = predictions["right"][:, :, place, own, predictions["attacks"].tolist().index("pgd")]
    missed = float((pgd & ~predictions["worst"][:, :, place, own]).mean())
    if missed == 0:
        return "Weaker attacks found nothing that PGD had missed, so there is no sign that gradients mislead it."
    return (
        f"For {missed:.0%} of the images a weaker attack succeeded where PGD, which knows most, had not: gradients "
        "through the autoencoder mislead it, and part of the protection may be no more than that."
    )


def paired(differences: npt.NDArray) -> tuple[float, float]:
    """Mean of differences, one for each image, and half the width of its 95 % interval."""
    error = differences.std(ddof=1) / math.sqrt(len(differences)) if len(differences) > 1 else math.inf
    return float(differences.mean()), float(1.96 * error)


def points(value: float, error: float) -> str:
    """A difference of shares with its interval, in percentage points."""
    return f"{100 * value:.0f} ± {100 * error:.0f} points"


def shown(norm: str, epsilon: float) -> str:
    """An epsilon as people write it: in 255ths for L∞."""
    return f"{255 * epsilon:.3g}/255" if norm == "linf" else f"{epsilon:.3g}"


def wide(table: pd.DataFrame, norm: str) -> pd.DataFrame:
    """A row for each classifier, defence and attack, a column for each epsilon."""
    rows = table["classifier"] + ", " + table["defence"].map(ROWS) + ": " + table["attack"].map(ATTACKS)
    named = table.assign(row=rows, column=[f"ε {shown(norm, epsilon)}" for epsilon in table["epsilon"]])
    return unfolded(named, "accuracy")


ROWS = {"plain": "alone", "pretrained": "behind A_S", "own": "behind A_i"}
ATTACKS = {"fgsm": "FGSM", "pgd": "PGD", "transfer": "transfer", "bpda": "BPDA", "worst": "worst"}


def masks(table: pd.DataFrame, norm: str) -> pd.DataFrame:
    """A row for each classifier and defence: no gradient at all, and attacks that PGD missed."""
    part = table[table["norm"] == norm]
    columns = [f"missed by PGD, ε {shown(norm, epsilon)}" for epsilon in part["epsilon"]]
    named = part.assign(row=part["classifier"] + ", " + part["defence"].map(ROWS), column=columns)
    none = named.drop_duplicates("row").set_index("row")["no_gradient"].rename("no gradient")
    return unfolded(named, "missed").join(none)


def unfolded(table: pd.DataFrame, values: str) -> pd.DataFrame:
    """Columns ``row`` and ``column`` as those of a table, in the order in which they come."""
    made = table.pivot(index="row", columns="column", values=values)
    return made.loc[table["row"].unique(), table["column"].unique()].rename_axis(columns=None)


def curves(table: pd.DataFrame, norm: str) -> Figure:
    """Accuracy against epsilon: a panel for each classifier behind each autoencoder.

    Args:
        table: The rows of ``accuracy.csv`` of one norm, with classifiers as people call them.
        norm: Which.
    """
    names = table["classifier"].unique().tolist()
    across = min(6, len(names))
    rows = len(BEHIND) * math.ceil(len(names) / across)
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(max(4.5, 1.55 * across + 0.6), 1.35 * rows + 0.9))
        axes = figure.subplots(rows, across, sharex=True, sharey=True, squeeze=False)
        for number, place in np.ndindex(rows * across // len(BEHIND), len(BEHIND)):
            ax = axes[number // across * len(BEHIND) + place, number % across]
            if number >= len(names):
                ax.set_visible(False)
                continue
            own = table[table["classifier"] == names[number]]
            panel(ax, own, list(BEHIND)[place], norm)
            if place == 0:
                ax.set_title(names[number], color=INK, pad=4)
            if number % across == 0:
                ax.set_ylabel(list(BEHIND.values())[place])
        figure.supylabel("accuracy", fontsize=9)
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
    """Places and names of ticks, without those that would touch."""
    values = sorted({scale * float(value) for value in epsilons})
    kept = [values[-1]]
    for value in reversed(values[:-1]):
        if kept[-1] - value >= 0.2 * values[-1]:
            kept.append(value)
    return kept, [f"{value:.3g}" for value in kept]


def middle(transfer: pd.DataFrame, norm: str) -> tuple[float, pd.DataFrame]:
    """The middle epsilon of a norm, and the accuracies of targets (columns) on the images of sources (rows)."""
    part = transfer[transfer["norm"] == norm]
    epsilons = sorted(part["epsilon"].unique())
    epsilon = epsilons[len(epsilons) // 2]
    chosen = part[part["epsilon"] == epsilon].rename(columns={"source": "row", "target": "column"})
    return float(epsilon), unfolded(chosen, "accuracy")


def matrices(tables: Mapping[str, tuple[float, pd.DataFrame]]) -> Figure:
    """Heat maps: accuracy of each classifier (columns) on images made against each (rows).

    Args:
        tables: By norm, an epsilon and the accuracies at it.
    """
    count = len(next(iter(tables.values()))[1])
    side = max(2.0, 0.6 * count) if count <= 8 else 0.33 * count
    shape = (1, len(tables)) if count <= 8 else (len(tables), 1)
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=((side + 1.5) * shape[1], (side + 1.2) * shape[0]))
        axes: Sequence[Axes] = figure.subplots(*shape, squeeze=False).flatten().tolist()
        for ax, (norm, (epsilon, table)) in zip(axes, tables.items(), strict=True):
            values = table.to_numpy(dtype=float)
            ax.imshow(values, cmap="GnBu", vmin=0, vmax=1)
            for (row, column), value in np.ndenumerate(values):
                ax.text(column, row, f"{100 * value:.0f}", ha="center", va="center", fontsize=9 if count <= 8 else 6,
                        color="white" if value > 0.6 else INK)  # fmt: skip
            ax.set_xticks(range(count), list(table.columns), rotation=45, ha="right", rotation_mode="anchor")
            ax.set_yticks(range(count), list(table.index))
            ax.tick_params(length=0)
            ax.set_title(f"{TITLES[norm]}, ε = {shown(norm, epsilon)}", color=INK)
            ax.set_xlabel("seen by")
            ax.spines[:].set_visible(False)
            if ax is axes[0] or shape[1] == 1:
                ax.set_ylabel("made against")
        figure.tight_layout()
    return figure


def travel_text(transfer: pd.DataFrame) -> str:
    """What the matrices show, in words."""
    parts = []
    for norm in transfer["norm"].unique():
        epsilon, table = middle(transfer, norm)
        values = table.to_numpy(dtype=float)
        own = float(np.diag(values).mean())
        if len(values) == 1:
            return "With one classifier there is none for its attacks to travel to."
        others = float((values.sum() - np.trace(values)) / (values.size - len(values)))
        parts.append(f"{own:.0%} and {others:.0%} at {NORMS[norm]} ε = {shown(norm, epsilon)}")
    return (
        "Accuracy in % of each classifier (columns) on the images that PGD made against each (rows), all without an "
        "autoencoder. On the diagonal are the attacked ones themselves; a dark row is an attack that stays at home, a "
        "pale one travels. Mean accuracy on a classifier’s own attacks and on those of others: "
        + "; ".join(parts)
        + "."
    )
