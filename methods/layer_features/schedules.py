"""Schedules: values and events as functions of the iteration."""

import math
from collections.abc import Sequence


def linear(ends: Sequence[float], iteration: int, iterations: int) -> float:
    """Interpolate linearly between the first and the last iteration.

    Args:
        ends: Values at the first and at the last iteration.
        iteration: Number of the iteration, from 0.
        iterations: Number of iterations.
    """
    start, end = ends
    return start + (end - start) * iteration / max(1, iterations - 1)


def due(every: int, iteration: int) -> bool:
    """Whether an event that follows every ``every``-th iteration follows this one; never if ``every`` is 0."""
    return every > 0 and (iteration + 1) % every == 0


def period(every: int, iteration: int) -> int:
    """Number of the period of ``every`` iterations that contains an iteration; there is one period if it is 0."""
    return iteration // every if every > 0 else 0


def shown_iterations(iterations: int, count: int) -> list[int]:
    """Numbers of finished iterations after which images are kept, denser at the beginning; 0 is the start."""
    steps = [round(math.expm1(math.log1p(iterations) * step / (count - 1))) for step in range(count)]
    return sorted({0, *steps, iterations})
