"""A factorisation in one process, without Lightning."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from torch import Tensor

from methods.concepts.blocks import Blocks
from methods.concepts.factorization import CoupledFactorization
from methods.concepts.hals import NO_PENALTIES


def begin(blocks: Blocks, concepts: int, **options: Any) -> CoupledFactorization:
    """A factorisation by HALS from NNDSVDa without penalties, or as the options say."""
    plain: dict[str, Any] = {"penalties": NO_PENALTIES, "solver": "hals", "start": "nndsvda", "seed": 0}
    return CoupledFactorization(blocks, concepts, **(plain | options))


def fit(
    factorization: CoupledFactorization,
    chunks: Callable[[], Iterable[tuple[Tensor, Sequence[Tensor]]]],
    passes: int,
    tolerance: float = 1e-6,
) -> int:
    """Run passes, in place; returns the number of passes after the start.

    Args:
        factorization: The factorisation.
        chunks: Gives the numbers of the rows and their blocks, chunk by chunk, anew for every pass.
        passes: Most passes after the start.
        tolerance: As for :meth:`CoupledFactorization.converged`.
    """
    while len(factorization.history) < passes:
        factorization.begin_pass()
        for rows, chunk in chunks():
            factorization.add(rows, chunk)
        factorization.end_pass()
        if factorization.converged(tolerance):
            break
    return len(factorization.history)
