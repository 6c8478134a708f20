"""The same images from several sources, side by side."""

from collections.abc import Mapping, Sequence

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from report.figures.style import INK, LETTER, STYLE, typeset
from report.text import LONGEST, figure_text

MANY = 10  # sources of images, beyond which each has a row instead of a column


def image_grid(images: Mapping[str, Sequence[np.ndarray]], row_names: Sequence[str] = (), width: float = 1.1) -> Figure:
    """The same images from every source: one column each.

    Args:
        images: For each column, its images ``(3, H, W)``, clamped to [0, 1] here; the same shapes in every column.
        row_names: Name of each row, if they shall have one.
        width: Width of a column, in inches; each row is as high as its images are at that width. More than ten
            sources have a row each instead, in two blocks side by side.
    """
    if len(images) > MANY:
        return image_rows(images, row_names, height=0.35 * width + 0.4)
    ratios = [image.shape[-2] / image.shape[-1] for image in next(iter(images.values()))]
    title = 0.25
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(width * len(images), width * sum(ratios) + title))
        axes = figure.subplots(
            len(ratios),
            len(images),
            squeeze=False,
            gridspec_kw={"height_ratios": ratios, "wspace": 0.03, "hspace": 0.03},
        )
        figure.subplots_adjust(left=0, right=1, bottom=0, top=1 - title / figure.get_figheight())
        for column, (name, sources) in enumerate(images.items()):
            axes[0, column].set_title(typeset(name), color=INK, pad=4)
            for row, image in enumerate(sources):
                ax = axes[row, column]
                draw_image(ax, image)
                if column == 0 and row_names:
                    ax.set_ylabel(lines_of(row_names[row]), fontsize=8, color=INK)
    return figure


def image_rows(images: Mapping[str, Sequence[np.ndarray]], names: Sequence[str], height: float) -> Figure:
    """The same images from many sources: one row each, the first half of the sources left of the second.

    Args:
        images: As for :func:`image_grid`.
        names: What each image shows, or nothing.
        height: Height of a row, in inches.
    """
    widths = [height * image.shape[-1] / image.shape[-2] for image in next(iter(images.values()))]
    rows, gap, title = -(-len(images) // 2), 0.03, 0.5 if names else 0.0
    label = 0.2 + 0.75 * LETTER * min(LONGEST, max(map(len, images)))
    block = label + sum(widths) + gap * len(widths)
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(2 * block, rows * height + title))
        wide, tall = figure.get_size_inches()
        for number, (name, sources) in enumerate(images.items()):
            side, row = divmod(number, rows)
            left, bottom = side * block + label, tall - title - (row + 1) * height
            middle = (bottom + height / 2) / tall
            figure.text((left - 0.08) / wide, middle, typeset(name), ha="right", va="center", color=INK)
            for position, image in enumerate(sources):
                ax = figure.add_axes((left / wide, bottom / tall, widths[position] / wide, (height - gap) / tall))
                draw_image(ax, image)
                if row == 0 and names:
                    ax.set_title(lines_of(names[position]), fontsize=7, color=INK, pad=3)
                left += widths[position] + gap
    return figure


def lines_of(name: str) -> str:
    """A name that the project has broken into lines, as text of a figure."""
    return "\n".join(map(figure_text, name.split("\n")))


def draw_image(ax: Axes, image: np.ndarray) -> None:
    """An image ``(3, H, W)``, clamped to [0, 1], over the whole of some axes."""
    ax.imshow(np.clip(image, 0, 1).transpose(1, 2, 0), interpolation="nearest", aspect="auto")
    ax.set(xticks=[], yticks=[])
    ax.spines[:].set_visible(False)
