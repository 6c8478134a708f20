"""The look that all figures share: colours, sizes, names with subscripts, and how a figure is written."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from report.text import figure_text

STYLE: Any = {
    "font.family": "sans-serif",
    "font.size": 9,
    "axes.titlesize": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.6,
    "pdf.fonttype": 42,  # text stays text
}
INK, ACCENT, PALE, GREY = "#1f2933", "#0b6e69", "#e3f1ef", "#9fb3c8"
DEEP, FAINT = "#b5dcd6", "#f5f7f8"
PAGE = 8.6  # inches that the columns of a wide figure share, so that its text is readable on a page
SUBSCRIPT = re.compile(r"[\w .,:;!?+\-*/=<>()\[\]|@&×–—…−∞≤≥]+")  # what mathtext writes as it is
LETTER = 0.075  # inches, about, at the font size of the style


def save_figure(figure: Figure, png: Path, pdf: Path) -> None:
    """Write a figure as PNG (200 dpi) and PDF, with no date in either, so that equal figures are equal files.

    Layout and margins are computed once, for both files: ``bbox_inches="tight"`` would draw the figure twice for each.
    """
    figure.set_dpi(200)
    figure.draw_without_rendering()
    box = figure.get_tightbbox().padded(matplotlib.rcParams["savefig.pad_inches"])
    figure.set_layout_engine("none")
    figure.savefig(png, dpi=200, bbox_inches=box, metadata={"Software": None})
    figure.savefig(pdf, dpi=200, bbox_inches=box, metadata={"CreationDate": None, "Producer": None, "Creator": None})


def name_columns(ax: Axes, names: Sequence[str], room: float) -> None:
    """Names under columns: level where each fits into its column's ``room``, in inches, else slanted."""
    texts = [typeset(name) for name in names]
    if max(map(len, names), default=0) * LETTER <= room:
        ax.set_xticks(range(len(texts)), texts)
    else:
        ax.set_xticks(range(len(texts)), texts, rotation=50, ha="right", rotation_mode="anchor")


def typeset(name: str) -> str:
    """A name for a figure: ``A_S``, ``B_i`` and their like get their subscript, unless mathematics would misread it."""
    text = figure_text(name)
    if not (text.startswith(("A_", "B_")) and SUBSCRIPT.fullmatch(text, 2)):
        return text
    subscript = text[2:].replace("_", r"\_").replace(" ", "~")
    return f"${text[0]}_{{\\mathrm{{{subscript}}}}}$"
