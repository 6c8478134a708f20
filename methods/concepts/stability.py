"""Whether another start finds the same concepts: matched cosines, and what chance would give."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.optimize import linear_sum_assignment  # type: ignore[import-untyped]

from methods.concepts.files import Array
from methods.concepts.neighbours import unit

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
Stacked = Sequence[Array]
"""Weighted rows of the concepts by block, each ``(k, m_b)``, as :meth:`ConceptFile.scaled` gives them."""


@dataclass(frozen=True)
class Stability:
    """How well k concepts are found again by other factorisations of the same blocks.

    Attributes:
        cosine: Of each concept with its match, mean over the others, in [0, 1], ``(k,)``.
        chance: The same where the columns of the others' rows are shuffled within each block, ``(k,)``.
        matrix: Cosines of the concepts (rows) with the others' in the order of their matches, mean over the others,
            ``(k, k)``.
    """

    cosine: Floats
    chance: Floats
    matrix: Floats


def cosines(first: Stacked, second: Stacked) -> Floats:
    """Cosine of every concept of one factorisation (rows) with every one of another, ``(k, k')``."""
    one, other = (unit(np.concatenate(list(parts), axis=1)) for parts in (first, second))
    return np.clip(one @ other.T, 0, 1)


def matching(similar: Floats) -> Integers:
    """Match rows with columns so that the sum of what is matched is largest.

    Args:
        similar: Cosines, ``(k, k')``.

    Returns:
        The column of each row ``(k,)``, each column once; -1 where there are fewer columns than rows and none is left.
    """
    rows, columns = linear_sum_assignment(similar, maximize=True)
    found = np.full(len(similar), -1)
    found[rows] = columns
    return found


def reordered(similar: Floats) -> Floats:
    """Cosines with the columns in the order of their matches, ``(k, k)``; 0 where a concept has none."""
    order = matching(similar)
    found: Floats = np.where(order >= 0, similar[:, order], 0.0)
    return found


def stability(first: Stacked, others: Sequence[Stacked], seed: int = 0, draws: int = 10) -> Stability:
    """How well the concepts of one factorisation are found again by others.

    Args:
        first: The one.
        others: From other seeds; at least one.
        seed: Of the shuffles of the chance level.
        draws: Shuffles of each of the others.

    Raises:
        ValueError: If there are no others, or no draws.
    """
    if not others or draws < 1:
        raise ValueError(f"{len(others)} other factorisations and {draws} draws: at least one of each is needed")
    generator = np.random.default_rng(seed)
    matrices = np.stack([reordered(cosines(first, other)) for other in others])
    chance = np.stack(
        [reordered(cosines(first, shuffled(other, generator))).diagonal() for other in others for _ in range(draws)]
    )
    matrix = matrices.mean(axis=0)
    return Stability(matrix.diagonal().copy(), chance.mean(axis=0), matrix)


def shuffled(parts: Stacked, generator: np.random.Generator) -> list[Array]:
    """Every row with its columns shuffled, on its own, within each block."""
    return [generator.permuted(part, axis=1) for part in parts]
