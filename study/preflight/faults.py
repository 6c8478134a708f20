"""Faults are collected, then reported together."""

from collections.abc import Iterator
from contextlib import contextmanager


class Faults(ValueError):
    """Several errors that were found before any work.

    Args:
        errors: The errors.
    """

    def __init__(self, errors: list[Exception]) -> None:
        super().__init__("; ".join(map(str, errors)))
        self.errors = errors


class FaultList:
    """Collects errors instead of stopping at the first one."""

    def __init__(self) -> None:
        self.errors: list[Exception] = []

    @contextmanager
    def noted(self) -> Iterator[None]:
        """Note an error of the block, once if several blocks raise the same one."""
        try:
            yield
        except Exception as error:  # a network of a user can raise anything
            if str(error) not in map(str, self.errors):
                self.errors.append(error)

    def report(self) -> None:
        """Raise what was noted: one error as it is, several as :class:`Faults`."""
        if len(self.errors) == 1:
            raise self.errors[0]
        if self.errors:
            raise Faults(self.errors)
