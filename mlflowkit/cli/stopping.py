"""How Ctrl-C and its like ask a command to stop: once politely, the second time at once."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Final

#: Exit status of a process that a signal has ended, as shells count.
SIGNALLED: Final = 128


class Stop:
    """Whether somebody asked to stop. The second time ends the process.

    Args:
        wake: Called when somebody has asked, in a signal handler.
        restore: Called before the process ends at once: gives the terminal back.
    """

    def __init__(
        self,
        wake: Callable[[], None] = lambda: None,
        restore: Callable[[], None] = lambda: None,
    ) -> None:
        self.wake, self._restore = wake, restore
        #: The signal that asked; 0 if none did.
        self.asked = 0

    def __call__(self, number: int, _frame: FrameType | None) -> None:
        if self.asked:
            self._restore()
            os._exit(SIGNALLED + number)
        self.asked = number
        self.wake()


@contextmanager
def stoppable(
    stop: Stop, signals: tuple[signal.Signals, ...] = (signal.SIGINT, signal.SIGTERM)
) -> Iterator[None]:
    """These signals ask `stop` meanwhile."""
    before = {number: signal.signal(number, stop) for number in signals}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
