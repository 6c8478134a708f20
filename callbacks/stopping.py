"""Signals that ask a job to stop: a training answers between two batches, anything else at once."""

import signal
from types import FrameType

STOP_SIGNALS = (signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2, signal.SIGINT)


class Stopped(Exception):
    """A job was asked to stop; the same command goes on with it."""


class StopRequests:
    """What this process was asked by signals.

    SIGTERM, SIGUSR1 and SIGUSR2 are what clusters send ahead of a time limit or when another job needs the place;
    Ctrl-C is SIGINT, and twice means at once.

    Attributes:
        asked: The last signal, if there was one.
        held_back: Whether somebody looks at ``asked`` from time to time; else a signal raises :class:`Stopped`.
    """

    def __init__(self) -> None:
        self.asked: signal.Signals | None = None
        self.held_back = False

    def listen(self) -> None:
        """Take the signals from now on; for a program's main thread."""
        for number in STOP_SIGNALS:
            signal.signal(number, self.ask)

    def leave(self) -> None:
        """Leave the signals to what they usually do: in a sweep, its jobs answer them."""
        for number in STOP_SIGNALS:
            signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)

    def ask(self, number: int, frame: FrameType | None) -> None:
        """Note a signal, and raise it unless it is held back."""
        at_once = not self.held_back or number == self.asked == signal.SIGINT
        self.asked = signal.Signals(number)
        if at_once:
            raise Stopped(self.asked.name)


STOP_REQUESTS = StopRequests()
