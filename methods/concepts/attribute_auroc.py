"""Whether known attributes of the images appear as concepts."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.stats import rankdata  # type: ignore[import-untyped]

from methods.concepts.files import Array
from methods.concepts.stability import matching

Floats = npt.NDArray[np.float64]
COLUMNS = ["cue", "value", "concept", "auroc", "null_upper"]


@dataclass(frozen=True)
class Indicators:
    """Which images have each value of each attribute.

    Attributes:
        names: Of the attribute; attributes that always agree are one, as ``colour = shape``.
        values: Of the attribute.
        members: Booleans, ``(N, V)``.
    """

    names: list[str]
    values: list[int]
    members: npt.NDArray[np.bool_]


def indicators(attributes: Array, names: Sequence[str]) -> Indicators:
    """One column for each value that some images have and others have not.

    Args:
        attributes: Small integers, ``(N, A)``.
        names: Of the A attributes.

    Raises:
        ValueError: If there is not a name for each attribute, or no attribute varies.
    """
    if attributes.ndim != 2 or attributes.shape[1] != len(names):
        raise ValueError(f"attributes of shape {attributes.shape} and {len(names)} names: give (N, A) and A")
    joined: dict[bytes, list[int]] = {}
    for column in range(attributes.shape[1]):
        joined.setdefault(np.ascontiguousarray(attributes[:, column]).tobytes(), []).append(column)
    found = [
        (" = ".join(names[column] for column in same), int(value), attributes[:, same[0]] == value)
        for same in joined.values()
        if len(present := np.unique(attributes[:, same[0]])) > 1
        for value in present
    ]
    if not found:
        raise ValueError("no attribute varies between the images, so none can be found")
    called, values, members = zip(*found, strict=True)
    return Indicators(list(called), list(values), np.stack(members, axis=1))


def aurocs(image_factor: Array, members: npt.NDArray[np.bool_]) -> Floats:
    """How well each concept tells each value: the area under the ROC curve, ties counted half.

    Args:
        image_factor: ``(N, k)``, in any scale.
        members: ``(N, V)``; each value has images, and not all.

    Returns:
        In [0, 1], ``(V, k)``.
    """
    return from_ranks(rankdata(image_factor, axis=0), members)


def from_ranks(ranks: Floats, members: npt.NDArray[np.bool_]) -> Floats:
    """As :func:`aurocs`, from the ranks of the images within each concept, from 1."""
    inside = members.sum(axis=0)[:, None]
    area: Floats = (members.T.astype(float) @ ranks - inside * (inside + 1) / 2) / (inside * (len(members) - inside))
    return area


def planted_table(
    image_factor: Array, attributes: Array, names: Sequence[str], permutations: int = 200, seed: int = 0
) -> pd.DataFrame:
    """The concept that tells each value of each attribute best, where no concept may stand for two values.

    Args:
        image_factor: At least 0, ``(N, k)``, in any scale.
        attributes: Small integers, ``(N, A)``.
        names: Of the A attributes.
        permutations: Of the images, for the chance level.
        seed: Decides them.

    Returns:
        ``cue``, ``value``, ``concept`` (-1, with NaN, for a value that is left over), ``auroc``, and ``null_upper``:
        what the best of all values reaches at most in 95 % of the permutations, matched likewise.
    """
    known = indicators(np.asarray(attributes), names)
    ranks, generator = rankdata(image_factor, axis=0), np.random.default_rng(seed)
    concepts, areas = best(from_ranks(ranks, known.members))
    drawn = [
        np.nanmax(best(from_ranks(ranks, known.members[generator.permutation(len(ranks))]))[1])
        for _ in range(permutations)
    ]
    upper = float(np.quantile(drawn, 0.95)) if drawn else float("nan")
    rows = {"cue": known.names, "value": known.values, "concept": concepts, "auroc": areas}
    return pd.DataFrame(rows).assign(null_upper=upper)[COLUMNS]


def best(areas: Floats) -> tuple[npt.NDArray[np.int64], Floats]:
    """The concept of each value ``(V,)`` with the largest sum of areas, and its area; -1 and NaN if none is left."""
    concepts = matching(areas)
    own = np.where(concepts >= 0, areas[np.arange(len(areas)), concepts], np.nan)
    return concepts, own
