"""What changes from iteration to iteration, as plain functions of it."""

import math


def linear(ends: tuple[float, float], iteration: int, iterations: int) -> float:
    """The value on the straight line from the first to the last iteration.

    Args:
        ends: Values at the first and at the last iteration.
        iteration: From 0 on.
        iterations: How many there are.
    """
    start, end = ends
    return start + (end - start) * iteration / max(1, iterations - 1)


def due(every: int, iteration: int) -> bool:
    """Whether something that happens after every so many iterations happens after this one; with 0, never."""
    return every > 0 and (iteration + 1) % every == 0


def period(every: int, iteration: int) -> int:
    """Number of the period that an iteration is in, for what is drawn anew after every so many."""
    return iteration // every if every > 0 else 0


def shown_iterations(iterations: int, count: int) -> list[int]:
    """Numbers of finished iterations at which pictures are kept: denser at the beginning; 0 is the start."""
    steps = [round(math.expm1(math.log1p(iterations) * place / (count - 1))) for place in range(count)]
    return sorted({0, *steps, iterations})
