"""The Hasse diagram of a concept lattice, with a place for every name."""

from collections.abc import Sequence
from itertools import pairwise

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from report.figures.study import ACCENT, INK, STYLE, typeset
from stats.concept_lattice import FormalConcept, cover_relation, formal_concepts

LINE = 0.17  # inches between lines of names
LETTERS = 46  # in a line of names


def lattice(served: pd.DataFrame) -> Figure:
    """Hasse diagram of a concept lattice, with reduced labels.

    A classifier, named at the left of its node, is served by the autoencoders named at the right of that node and of
    every node above it. In a chain, the classifier that the fewest autoencoders serve is at the top.

    Args:
        served: Booleans: whether a classifier (row) is served by an autoencoder (column).
    """
    concepts = formal_concepts(served.to_numpy(dtype=bool))
    labels = [reduced_labels(concept, concepts, served) for concept in concepts]
    levels = lattice_places(concepts)
    heights = level_heights(levels, [max(left.count("\n"), right.count("\n")) + 1 for left, right in labels])
    places = [(x, heights[level]) for x, level in levels]
    with mpl.rc_context(STYLE):
        wide = max(abs(x) for x, _ in places) * 2 + 1
        figure = Figure(figsize=(max(4.6, 1.9 * wide), heights[-1] + 0.8))
        ax = figure.add_axes((0, 0, 1, 1))
        for upper, lower in cover_relation(concepts):
            ax.plot(*zip(places[upper], places[lower], strict=True), color=INK, linewidth=1, zorder=1)
        for (left, right), (x, y) in zip(labels, places, strict=True):
            draw_node(ax, left, right, x, y)
        ax.set_xlim(-wide / 2 - 0.6, wide / 2 + 0.6)
        ax.set_ylim(-0.4, heights[-1] + 0.4)
        ax.axis("off")
    return figure


def draw_node(ax: Axes, left: str, right: str, x: float, y: float) -> None:
    """A node with the names at its sides; filled where a classifier belongs to it."""
    ax.plot(x, y, "o", color=ACCENT if left else "white", markeredgecolor=ACCENT, markersize=9, zorder=2)
    ax.text(x - 0.1, y, left, ha="right", va="center", color=INK)
    ax.text(x + 0.1, y, right, ha="left", va="center", color=ACCENT)


def reduced_labels(concept: FormalConcept, concepts: Sequence[FormalConcept], served: pd.DataFrame) -> tuple[str, str]:
    """The classifiers for which a concept is the lowest, and the autoencoders for which it is the highest."""
    own_objects = set(concept.extent)
    own_attributes = set(concept.intent)
    for other in concepts:
        if set(other.extent) < set(concept.extent):
            own_objects -= set(other.extent)
        if set(other.intent) < set(concept.intent):
            own_attributes -= set(other.intent)
    objects, attributes = served.index[sorted(own_objects)], served.columns[sorted(own_attributes)]
    return in_lines(objects.tolist()), in_lines(attributes.tolist())


def in_lines(names: Sequence[str]) -> str:
    """Names with commas between them, broken into lines."""
    lines: list[list[str]] = [[]]
    for name in names:
        if lines[-1] and sum(len(other) + 2 for other in lines[-1]) + len(name) > LETTERS:
            lines.append([])
        lines[-1].append(name)
    return ",\n".join(", ".join(map(typeset, line)) for line in lines)


def level_heights(places: Sequence[tuple[float, int]], lines: Sequence[int]) -> list[float]:
    """The height of each level above the lowest, in inches, so that no lines of names meet.

    Args:
        places: Level of each node, behind its place in the level.
        lines: Lines of names at each node.
    """
    levels = max(level for _, level in places) + 1
    most = [0] * levels
    for (_, level), count in zip(places, lines, strict=True):
        most[level] = max(most[level], count)
    usual = min(0.7, max(0.34, 6 / levels))
    steps = [max(usual, LINE * (below + above) / 2 + 0.15) for below, above in pairwise(most)]
    return [0.0, *np.cumsum(steps).tolist()]


def lattice_places(concepts: Sequence[FormalConcept]) -> list[tuple[float, int]]:
    """A place for each node: its level is its longest way down, and those of one level are spread evenly."""
    covers = cover_relation(concepts)
    levels = [0] * len(concepts)
    for position in reversed(range(len(concepts))):
        levels[position] = max((levels[lower] + 1 for upper, lower in covers if upper == position), default=0)
    places: list[tuple[float, int]] = []
    for position, level in enumerate(levels):
        equals = [other for other, value in enumerate(levels) if value == level]
        places.append((equals.index(position) - (len(equals) - 1) / 2, level))
    return places
