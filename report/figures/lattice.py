"""The Hasse diagram of a concept lattice, with room for every name."""

from collections.abc import Mapping, Sequence
from itertools import pairwise

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from report.figures.style import ACCENT, INK, STYLE, typeset

LINE = 0.17  # inches between lines of names
LETTERS = 46  # in a line of names
Cover = tuple[int, int]


def lattice(nodes: Sequence[Mapping[str, Sequence[str]]], covers: Sequence[Cover]) -> Figure:
    """Hasse diagram of a concept lattice, with reduced labels.

    For a classifier, named at the left of its node, the autoencoders named at the right of that node and of every node
    above it are sufficient. In a chain, the classifier with the fewest sufficient autoencoders is at the top.

    Args:
        nodes: For each node, from the top down, the names of its ``classifiers`` and of its ``autoencoders``.
        covers: Pairs of positions of neighbouring nodes, the upper one first.
    """
    labels = [(in_lines(node["classifiers"]), in_lines(node["autoencoders"])) for node in nodes]
    levels = node_levels(len(nodes), covers)
    lines = [max(left.count("\n"), right.count("\n")) + 1 for left, right in labels]
    heights = level_heights([level for _, level in levels], lines)
    positions = [(x, heights[level]) for x, level in levels]
    with mpl.rc_context(STYLE):
        wide = max(abs(x) for x, _ in positions) * 2 + 1
        figure = Figure(figsize=(max(4.6, 1.9 * wide), heights[-1] + 0.8))
        ax = figure.add_axes((0, 0, 1, 1))
        for upper, lower in covers:
            ax.plot(*zip(positions[upper], positions[lower], strict=True), color=INK, linewidth=1, zorder=1)
        for (left, right), (x, y) in zip(labels, positions, strict=True):
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


def in_lines(names: Sequence[str]) -> str:
    """Names with commas between them, broken into lines."""
    lines: list[list[str]] = [[]]
    for name in names:
        if lines[-1] and sum(len(other) + 2 for other in lines[-1]) + len(name) > LETTERS:
            lines.append([])
        lines[-1].append(name)
    return ",\n".join(", ".join(map(typeset, line)) for line in lines)


def level_heights(levels: Sequence[int], lines: Sequence[int]) -> list[float]:
    """The height of each level above the lowest, in inches, so that no lines of names meet.

    Args:
        levels: Level of each node.
        lines: Lines of names at each node.
    """
    most = [0] * (max(levels) + 1)
    for level, count in zip(levels, lines, strict=True):
        most[level] = max(most[level], count)
    usual = min(0.7, max(0.34, 6 / len(most)))
    steps = [max(usual, LINE * (below + above) / 2 + 0.15) for below, above in pairwise(most)]
    return [0.0, *np.cumsum(steps).tolist()]


def node_levels(nodes: int, covers: Sequence[Cover]) -> list[tuple[float, int]]:
    """For each node its horizontal position and its level.

    The level is the length of the longest way down; the nodes of one level are spread evenly.

    Args:
        nodes: How many there are; every node stands before the nodes below it.
        covers: As for :func:`lattice`.
    """
    levels = [0] * nodes
    for position in reversed(range(nodes)):
        levels[position] = max((levels[lower] + 1 for upper, lower in covers if upper == position), default=0)
    positions: list[tuple[float, int]] = []
    for position, level in enumerate(levels):
        equals = [other for other, value in enumerate(levels) if value == level]
        positions.append((equals.index(position) - (len(equals) - 1) / 2, level))
    return positions
