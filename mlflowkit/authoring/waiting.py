"""The clock of sensors: the one place where they read the time and wait.

Tests and simulated runs put another one in its place with `using_clock`; nothing here
may wait in one long sleep, for whoever ends the task must be heard.
"""

from __future__ import annotations

import time
from collections.abc import Generator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Final, Protocol

#: Longest single sleep, in seconds: an interrupt or a changed system clock is seen after it.
LONGEST_SLEEP: Final = 1.0


class WaitingClock(Protocol):
    """What sensors need of time."""

    def now(self) -> datetime:
        """An aware UTC datetime."""
        ...

    def elapsed(self) -> float:
        """Seconds since some fixed moment; never goes back."""
        ...

    def wait(self, seconds: float) -> None:
        """Come back after `seconds`."""
        ...


class SystemClock:
    """The machine's own clock."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def elapsed(self) -> float:
        return time.monotonic()

    def wait(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            time.sleep(min(left, LONGEST_SLEEP))


_SYSTEM: Final = SystemClock()
_used: ContextVar[WaitingClock] = ContextVar("mlflowkit_waiting_clock", default=_SYSTEM)


@contextmanager
def using_clock(other: WaitingClock) -> Generator[None, None, None]:
    """Sensors inside the block live by `other`."""
    token = _used.set(other)
    try:
        yield
    finally:
        _used.reset(token)


def now() -> datetime:
    """The present moment, aware, in UTC."""
    return _used.get().now()


def elapsed() -> float:
    """Seconds since some fixed moment."""
    return _used.get().elapsed()


def wait(seconds: float) -> None:
    """Come back after `seconds`; an interrupt is heard in between."""
    _used.get().wait(seconds)
