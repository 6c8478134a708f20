"""Signals that ask a job to stop: a training stops between two batches, anything else at once."""

import os
import signal
from types import FrameType

STOP_SIGNALS = (signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2, signal.SIGINT)
STOPPED = 75  # exit status of a job that was asked to stop and can go on (EX_TEMPFAIL)


def stop_before_work(number: int, frame: FrameType | None) -> None:
    """End the process at once with one line: for the time in which modules load and nothing has begun."""
    os.write(2, f"stopped by {signal.Signals(number).name}: the same command goes on from here\n".encode())
    os._exit(STOPPED)


class Stopped(BaseException):
    """A job was stopped by a signal; the same command continues it.

    As ``KeyboardInterrupt``, no ``Exception``: code of libraries that catches every exception must not swallow it.
    """


class StopRequests:
    """The stop signals that this process has received.

    Clusters send SIGTERM, SIGUSR1 or SIGUSR2 ahead of a time limit, or when another job needs the machine. Ctrl-C sends
    SIGINT; the second one stops at once.

    Attributes:
        received: The last signal, if there was one.
        held_back: Whether signals are only kept, because a callback checks ``received`` between batches; otherwise a
            signal raises :class:`Stopped`.
    """

    def __init__(self) -> None:
        self.received: signal.Signals | None = None
        self.held_back = False

    def listen(self) -> None:
        """Handle the signals from now on; must be called in the main thread."""
        for number in STOP_SIGNALS:
            signal.signal(number, self.receive)

    def check(self) -> None:
        """Stop if a signal was received that has stopped nothing yet, such as one after the last batch of a training.

        Raises:
            Stopped: If there was one.
        """
        if self.received is not None:
            raise Stopped(self.received.name)

    def restore(self) -> None:
        """Restore the usual handlers: in a sweep, only its jobs handle the signals."""
        for number in STOP_SIGNALS:
            signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)

    def receive(self, number: int, frame: FrameType | None) -> None:
        """Keep a signal, and raise unless signals are held back.

        Raises:
            Stopped: Where the process stops at once.
        """
        at_once = not self.held_back or number == self.received == signal.SIGINT
        self.received = signal.Signals(number)
        if at_once:
            raise Stopped(self.received.name)


STOP_REQUESTS = StopRequests()
