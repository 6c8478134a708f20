"""Whether known attributes of the images appear as concepts."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.stats import rankdata  # type: ignore[import-untyped]

from methods.concepts.record import Array, Floats, Integers
from methods.concepts.stability import matching

PERMUTATIONS = 200  # of the images, for the level of chance
COLUMNS = ["cue", "value", "concept", "auroc", "null_upper"]


@dataclass(frozen=True)
class Indicators:
    """Which images have each value of each attribute.

    Attributes:
        names: The attribute of each column; attributes that always agree are one, as ``colour = shape``.
        values: The value of each column.
        members: Whether each image has the value, ``(N, V)``.
    """

    names: list[str]
    values: list[int]
    members: npt.NDArray[np.bool_]


def indicators(attributes: Array, names: Sequence[str]) -> Indicators:
    """One column for each value that some images have and other images do not have.

    Args:
        attributes: Small integers, ``(N, A)``.
        names: Names of the A attributes.

    Raises:
        ValueError: If there is not a name for each attribute, or no attribute varies.
    """
    if attributes.ndim != 2 or attributes.shape[1] != len(names):
        raise ValueError(f"attributes of shape {attributes.shape} and {len(names)} names: give (N, A) and A")
    joined: dict[bytes, list[int]] = {}
    for column in range(attributes.shape[1]):
        joined.setdefault(np.ascontiguousarray(attributes[:, column]).tobytes(), []).append(column)
    columns = [
        (" = ".join(names[column] for column in same), int(value), attributes[:, same[0]] == value)
        for same in joined.values()
        if len(present := np.unique(attributes[:, same[0]])) > 1
        for value in present
    ]
    if not columns:
        raise ValueError("no attribute varies between the images, so no concept can stand for one")
    attribute, values, members = zip(*columns, strict=True)
    return Indicators(list(attribute), list(values), np.stack(members, axis=1))


def aurocs(ranks: Floats, members: npt.NDArray[np.bool_]) -> Floats:
    """How well each concept separates the images with each value: the area under the ROC curve, ties counted half.

    Args:
        ranks: Ranks of the images within each concept, from 1, equal values with their mean rank, ``(N, k)``.
        members: Whether each image has each value, ``(N, V)``; some images have it, and some do not.

    Returns:
        In [0, 1], ``(V, k)``.
    """
    inside = members.sum(axis=0)[:, None]
    return (members.T.astype(float) @ ranks - inside * (inside + 1) / 2) / (inside * (len(members) - inside))


def attribute_table(
    image_factor: Array, attributes: Array, names: Sequence[str], seed: int, permutations: int = PERMUTATIONS
) -> pd.DataFrame:
    """The concept that separates each value of each attribute best, where no concept may stand for two values.

    Args:
        image_factor: At least 0, ``(N, k)``, in any scale.
        attributes: Small integers, ``(N, A)``.
        names: Names of the A attributes.
        seed: Decides the permutations.
        permutations: Permutations of the images, for the level of chance.

    Returns:
        ``cue``, ``value``, ``concept`` (-1, with NaN, for a value without one), ``auroc``, and ``null_upper``: the
        largest area over all values is at most this in 95 % of the permutations, matched in the same way.
    """
    known = indicators(np.asarray(attributes), names)
    ranks, generator = rankdata(image_factor, axis=0), np.random.default_rng(seed)
    concepts, areas = best(aurocs(ranks, known.members))
    drawn = [
        np.nanmax(best(aurocs(ranks, known.members[generator.permutation(len(ranks))]))[1]) for _ in range(permutations)
    ]
    rows = {"cue": known.names, "value": known.values, "concept": concepts, "auroc": areas}
    return pd.DataFrame(rows).assign(null_upper=float(np.quantile(drawn, 0.95)))[COLUMNS]


def best(areas: Floats) -> tuple[Integers, Floats]:
    """The concept of each value ``(V,)``, so that the sum of areas is largest, and its area; -1 and NaN without one."""
    concepts = matching(areas)
    return concepts, np.where(concepts >= 0, areas[np.arange(len(areas)), concepts], np.nan)
