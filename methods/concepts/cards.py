"""Concept cards: the images of each concept, its picture, and how it is spread over the blocks."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from methods.concepts.record import PIXELS, Array, ConceptRecord, Floats
from report.figures.style import ACCENT, GREY, INK, PAGE, STYLE
from report.text import figure_text

SIDE = 0.86  # inches of the picture on a card
IMAGES = 8  # on a card at most, in two rows
TITLE = 0.24
HEADER = 0.16  # above the first cards: what their parts are
BLANK = 0.16  # between two rows of cards
SMALL = 6.5
SOFT = "#52606d"
LONGEST = 13  # letters of the name of a block


@dataclass(frozen=True)
class Card:
    """What is shown of a concept.

    Attributes:
        title: Its number and its class.
        note: Further text, in grey.
        images: Images with most of the concept, in descending order, uint8 ``(T, 3, h, w)``.
        picture: Difference of its pixels to the mean image, ``(3, h, w)``; ``None`` draws nothing.
        profile: Its share in each block, in [0, 1], with sum 1.
    """

    title: str
    note: str
    images: Array
    picture: Floats | None
    profile: Mapping[Any, float]


def concept_cards(cards: Sequence[Card]) -> Figure:
    """Cards in two columns: top images, pixel picture (grey: as the mean image), profile over blocks.

    Args:
        cards: In reading order, at least one.
    """
    rows, across = math.ceil(len(cards) / 2), min(2, len(cards))
    side = max(SIDE, 0.13 * max(len(card.profile) for card in cards))
    height = TITLE + side + BLANK
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(PAGE / 2 * across + 0.1 * (across - 1), rows * height + HEADER))
        for number, card in enumerate(cards):
            row, column = divmod(number, across)
            draw_card(figure, card, column * (PAGE / 2 + 0.1), (rows - row - 1) * height + BLANK, side, row == 0)
    return figure


def draw_card(figure: Figure, card: Card, left: float, bottom: float, side: float, first: bool) -> None:
    """A card with its lower left corner at a position in inches; the first of a column has headings."""
    wide, tall = figure.get_size_inches()
    top, count, tile = bottom + side, IMAGES // 2, side / 2
    right = PAGE / 2 - 0.2

    def axes(x: float, y: float, width: float, height: float) -> Axes:
        return figure.add_axes(((left + x) / wide, y / tall, width / wide, height / tall))

    def write(x: float, above: float, text: str, **look: Any) -> None:
        figure.text((left + x) / wide, (top + above) / tall, text, va="bottom", **look)

    write(0, 0.06, figure_text(card.title), fontsize=8.5, fontweight="bold", color=INK)
    write(right, 0.06, figure_text(card.note), fontsize=7, color=SOFT, ha="right")
    shift = 0.0
    if card.picture is not None:
        picture_axes(axes(0, bottom, side - 0.03, side - 0.03)).imshow(signed_picture(card.picture), aspect="auto")
        shift = side + 0.06
    for number, image in enumerate(card.images[:IMAGES]):
        row, column = divmod(number, count)
        corner = (shift + column * tile, top - (row + 1) * tile)
        picture_axes(axes(*corner, tile - 0.03, tile - 0.03)).imshow(image.transpose(1, 2, 0), aspect="auto")
    start = shift + count * tile + 0.1 + 0.049 * min(LONGEST, max(map(len, card.profile)))
    profile_bars(axes(start, bottom, right - start, side - 0.03), card.profile)
    if first:
        heads = {0.0: "pixels − mean"} if card.picture is not None else {}
        for x, text in (heads | {shift: "images with most of it", start: "spread over blocks"}).items():
            write(x, TITLE + 0.02, text, fontsize=7, color=SOFT, style="italic")


def picture_axes(ax: Axes) -> Axes:
    """Axes without anything around a picture."""
    ax.set(xticks=[], yticks=[])
    ax.spines[:].set_visible(False)
    return ax


def profile_bars(ax: Axes, profile: Mapping[Any, float]) -> None:
    """A bar for each block, the first one at the top; the whole width is 1."""
    shares = list(profile.values())
    ax.barh(range(len(shares)), [1] * len(shares), 0.62, color="#eceff2")
    ax.barh(range(len(shares)), shares, 0.62, color=ACCENT)
    for row, share in enumerate(shares):
        inside = share > 0.62
        ax.text(
            share - 0.03 if inside else share + 0.03, row, f"{100 * share:.0f} %", va="center", fontsize=5.5,
            color="white" if inside else INK, ha="right" if inside else "left",
        )  # fmt: skip
    ax.set_yticks(range(len(shares)), [figure_text(shortened(name)) for name in profile], fontsize=SMALL, color=INK)
    ax.set(xticks=[], xlim=(0, 1), ylim=(len(shares) - 0.5, -0.5))
    ax.tick_params(length=0, pad=2)
    ax.spines[:].set_visible(False)
    ax.spines["left"].set(visible=True, color=GREY)


def shortened(name: str) -> str:
    """A name that fits: its end is kept, as in ``features.12.conv``."""
    return name if len(name) <= LONGEST else f"…{name[-LONGEST + 1 :]}"


def signed_picture(difference: Floats) -> Floats:
    """A difference ``(3, h, w)`` of pixels in [0, 1] as colours ``(h, w, 3)``: 0 is mid grey, the largest is full.

    Differences below 1 / 255 stay grey: they are rounding, and would be enlarged.
    """
    largest = max(float(np.quantile(np.abs(difference), 0.99)), 1 / 255)
    return np.clip(0.5 + difference / (2 * largest), 0, 1).transpose(1, 2, 0)


def pixel_pictures(record: ConceptRecord) -> Floats | None:
    """The picture of each concept, as its difference to the mean image.

    The scale of a concept's row in the block of pixels is free. It is made as bright as the mean image, all pixels and
    colours together. The difference to the mean image then shows where the concept is brighter or darker, and has
    more or less of a colour, than images are on average.

    Args:
        record: The factorisation.

    Returns:
        0 where a pixel is as in the mean image, ``(k, 3, h, w)``; 0 everywhere for a concept without pixels; ``None``
        where pixels were not factorised.
    """
    names = [str(block) for block in record.blocks]
    if PIXELS not in names:
        return None
    block = names.index(PIXELS)
    rows: Floats = record.block_factors[block].astype(float).reshape(-1, *record.shapes[block])
    mean = record.mean_image.astype(float)
    total = rows.sum(axis=(1, 2, 3), keepdims=True)
    some = total > 0
    return np.where(some, rows * mean.sum() / np.where(some, total, 1) - mean, 0.0)
