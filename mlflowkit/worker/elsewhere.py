"""Processes that work for an attempt and are not below it: the keepers of forked kernels.

Whoever starts one says so here, in any process; in a worker that tells the supervisor,
which reports the attempt ended only when they are dead, too.
"""

from __future__ import annotations

import os
import select
import signal
from collections.abc import Callable, Collection
from contextlib import suppress
from time import monotonic

#: Is told a pid, and whether it has ended or is nobody's concern any more.
Tell = Callable[[int, bool], None]

_tells: list[Tell] = []


def tell_with(tell: Tell) -> None:
    """Hand on what is said here. Twice is once."""
    if tell not in _tells:
        _tells.append(tell)


def started(pid: int) -> None:
    """A process works for this attempt from now on."""
    for tell in _tells:
        tell(pid, False)


def ended(pid: int) -> None:
    """It is dead, or works for somebody else now."""
    for tell in _tells:
        tell(pid, True)


def wait_for(pidfds: Collection[int], seconds: float) -> None:
    """Wait until these processes are dead; SIGKILL for those that still live then."""
    until = monotonic() + seconds
    for pidfd in pidfds:
        if not _is_dead(pidfd, max(until - monotonic(), 0)):
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(pidfd, signal.SIGKILL)
            _is_dead(pidfd, seconds)


def _is_dead(pidfd: int, seconds: float) -> bool:
    poller = select.poll()
    poller.register(pidfd, select.POLLIN)
    return bool(poller.poll(seconds * 1000))


def watch(pid: int) -> int | None:
    """A descriptor that tells when a process is dead; None when it is already."""
    try:
        return os.pidfd_open(pid)
    except OSError:
        return None
