"""Stability: how similar the concepts of other starts are, and how similar they would be by chance."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import linear_sum_assignment  # type: ignore[import-untyped]

from methods.concepts.clusters import unit
from methods.concepts.record import Array, Floats, Integers

DRAWS = 10  # shuffles of each other factorisation, for the level of chance
Stacked = Sequence[Array]
"""Weighted rows of the concepts by block, each ``(k, m_b)``: the second result of ``scaled()``."""


@dataclass(frozen=True)
class Stability:
    """How well k concepts agree with those of other factorisations of the same blocks.

    Attributes:
        cosine: Cosine of each concept with its match, mean over the other factorisations, in [0, 1], ``(k,)``.
        chance: The same after a shuffle of the columns of the other factorisations within each block, ``(k,)``.
        matrix: Cosines of the concepts (rows) with other concepts in the order of their matches (columns), mean over
            the other factorisations, ``(k, k)``; empty without any.
    """

    cosine: Floats
    chance: Floats
    matrix: Floats


def cosines(first: Stacked, second: Stacked) -> Floats:
    """Cosine of every concept of one factorisation (rows) with every one of another, ``(k, k')``."""
    one, other = (unit(np.concatenate(list(parts), axis=1)) for parts in (first, second))
    return np.clip(one @ other.T, 0, 1)


def matching(similar: Floats) -> Integers:
    """Match rows with columns so that the sum of the matched entries is largest.

    Args:
        similar: Cosines, ``(k, k')``.

    Returns:
        The column of each row ``(k,)``, each column once; -1 for a row without a column, if there are fewer columns.
    """
    rows, columns = linear_sum_assignment(similar, maximize=True)
    column = np.full(len(similar), -1)
    column[rows] = columns
    return column


def reordered(similar: Floats) -> Floats:
    """Cosines with the columns in the order of their matches, ``(k, k)``; 0 where a concept has none."""
    order = matching(similar)
    return np.where(order >= 0, similar[:, order], 0.0)


def stability(first: Stacked, others: Sequence[Stacked], seed: int) -> Stability:
    """How well the concepts of one factorisation agree with those of others.

    Args:
        first: The factorisation.
        others: Factorisations of other starts; without any the result is empty.
        seed: Decides the shuffles of the level of chance.
    """
    if not others:
        return Stability(np.zeros(0), np.zeros(0), np.zeros((0, 0)))
    generator = np.random.default_rng(seed)
    matrices = np.stack([reordered(cosines(first, other)) for other in others])
    chance = np.stack(
        [reordered(cosines(first, shuffled(other, generator))).diagonal() for other in others for _ in range(DRAWS)]
    )
    matrix = matrices.mean(axis=0)
    return Stability(matrix.diagonal().copy(), chance.mean(axis=0), matrix)


def shuffled(parts: Stacked, generator: np.random.Generator) -> list[Array]:
    """Every row with its columns shuffled, each row on its own, within each block."""
    return [generator.permuted(part, axis=1) for part in parts]
