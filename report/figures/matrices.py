"""Heat maps of tables, with the numbers in their cells."""

from collections.abc import Callable

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage

from report.figures.style import INK, PAGE, STYLE, name_columns, typeset
from report.text import figure_text

MANY = 60  # columns of a heat map, beyond which its cells have no numbers and some rows and columns no names
WIDEST = 20.0  # inches of such a heat map


def heat_map(
    ax: Axes,
    table: pd.DataFrame,
    limits: tuple[float, float],
    text: Callable[[float], str] | None,
    size: float = 8,
    colours: str = "GnBu",
    square: bool = False,
) -> AxesImage:
    """A table as coloured cells; the row names are its ticks, the columns are named by the caller.

    Args:
        ax: Where to draw.
        table: Numbers; NaN leaves a cell empty.
        limits: Values of the palest and of the darkest colour; of a range around 0 both ends are dark.
        text: What is written into a cell; ``None`` writes nothing.
        size: Font size of that.
        colours: Name of the colour map.
        square: Whether cells are as wide as high.
    """
    values, (low, high) = table.to_numpy(dtype=float), limits
    image = ax.imshow(values, cmap=colours, vmin=low, vmax=high, aspect="equal" if square else "auto")
    for (row, column), value in np.ndenumerate(values):
        if text is None:
            break
        dark = abs(value) > 0.55 * high if low == -high else value > low + 0.6 * (high - low)
        colour = "white" if dark else INK
        ax.text(column, row, text(float(value)), ha="center", va="center", fontsize=size, color=colour)
    ax.set_yticks(range(len(table)), [typeset(str(name)) for name in table.index])
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    return image


def slanted_columns(ax: Axes, table: pd.DataFrame) -> None:
    """Names under the columns of a heat map, slanted."""
    ax.set_xticks(range(len(table.columns)), [figure_text(name) for name in table.columns],
                  rotation=50, ha="right", rotation_mode="anchor")  # fmt: skip


def name_some(ax: Axes, table: pd.DataFrame) -> None:
    """Names of at most ``MANY`` rows and columns, evenly spread."""
    for axis, names in ((ax.xaxis, list(table.columns)), (ax.yaxis, list(table.index))):
        every = -(-len(names) // MANY)
        axis.set_ticks(range(0, len(names), every), [typeset(str(name)) for name in names[::every]], fontsize=7)
    ax.tick_params(axis="x", rotation=90)


def accuracy_matrix(table: pd.DataFrame, baselines: int, label: str = "top-1 accuracy") -> Figure:
    """Heat map of the accuracy of each classifier (columns) on each source of images (rows).

    Args:
        table: Accuracies in [0, 1], with names as they shall be read.
        baselines: How many rows at the top are no fine-tuned autoencoders; a line parts them from the others.
        label: What the numbers are.
    """
    many = len(table.columns) > MANY
    cell = min(0.95, max(0.36, PAGE / len(table.columns))) if not many else WIDEST / len(table.columns)
    row = min(0.42, max(0.26, PAGE / len(table.index))) if not many else cell
    digits, size = (1, 9) if cell > 0.5 else (0, 8)
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(1.5 + cell * len(table.columns), 0.9 + row * len(table.index)))
        ax = figure.subplots()
        image = heat_map(ax, table, (0, 1), None if many else lambda value: f"{100 * value:.{digits}f}", size)
        if many:
            name_some(ax, table)
        else:
            name_columns(ax, list(table.columns), cell)
        ax.set_xlabel("classifier")
        ax.axhline(baselines - 0.5, color="white", linewidth=3)
        figure.colorbar(image, ax=ax, label=label, fraction=0.05, pad=0.03).outline.set_visible(False)
    return figure
