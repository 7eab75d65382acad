"""How an attempt is killed, in steps: an interrupt, SIGTERM for all below it, SIGKILL."""

from __future__ import annotations

import signal
import time

from mlflowkit.worker import processes
from mlflowkit.worker.protocol import Kill


class Killing:
    """A kill that was asked for, and how far it has come."""

    def __init__(self, asked: Kill) -> None:
        self.why, self._grace = asked.why, asked.grace
        #: When the next signal is due, on the monotonic clock; None after the last one.
        self.due: float | None = time.monotonic()
        self._signal = signal.SIGINT

    def go_on(self, pid: int) -> None:
        """Send the next signal to the child, if it is due."""
        if self.due is None or time.monotonic() < self.due:
            return
        if self._signal is signal.SIGKILL:
            self.due = None
            processes.send(pid, signal.SIGKILL)
            return
        targets = [pid]
        if self._signal is signal.SIGTERM:
            targets += processes.below(pid)
        for target in targets:
            processes.send(target, self._signal)
        first = self._signal is signal.SIGINT
        self._signal = signal.SIGTERM if first else signal.SIGKILL
        self.due = time.monotonic() + self._grace
