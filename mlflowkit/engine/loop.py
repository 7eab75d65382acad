"""The engine's single thread: waits for files and for time, and calls whoever wanted to know."""

from __future__ import annotations

import heapq
import itertools
import os
import selectors
import time
from collections.abc import Callable

Call = Callable[[], None]


class SelectLoop:
    """`ports.Loop`. `wake()` may be called from other threads and from signal handlers."""

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()
        self._readers: dict[int, Call] = {}
        self._writers: dict[int, Call] = {}
        self._later: list[tuple[float, int, Call]] = []
        self._order = itertools.count()
        self._soon: list[Call] = []
        self._wake_read, self._wake_write = os.pipe()
        os.set_blocking(self._wake_read, False)
        os.set_blocking(self._wake_write, False)
        self.add_reader(self._wake_read, self._woken)

    def add_reader(self, fd: int, call: Call) -> None:
        self._readers[fd] = call
        self._register(fd)

    def remove_reader(self, fd: int) -> None:
        if self._readers.pop(fd, None) is not None:
            self._register(fd)

    def add_writer(self, fd: int, call: Call) -> None:
        self._writers[fd] = call
        self._register(fd)

    def remove_writer(self, fd: int) -> None:
        if self._writers.pop(fd, None) is not None:
            self._register(fd)

    def call_soon(self, call: Call) -> None:
        """Call it at the end of this round, or at the start of the next."""
        self._soon.append(call)

    def call_later(self, seconds: float, call: Call) -> None:
        heapq.heappush(self._later, (time.monotonic() + seconds, next(self._order), call))

    def wake(self) -> None:
        """End a wait that is under way, or the next one."""
        try:
            os.write(self._wake_write, b"\0")
        except BlockingIOError:
            return  # it is full: the wait will end

    def run_once(self, timeout: float | None) -> None:
        """Wait for something to happen, at most `timeout` seconds, and call who wanted it."""
        self.flush()
        if self._later:
            until = max(self._later[0][0] - time.monotonic(), 0)
            timeout = until if timeout is None else min(timeout, until)
        for key, events in self._selector.select(timeout):
            if events & selectors.EVENT_READ and key.fd in self._readers:
                self._readers[key.fd]()
            if events & selectors.EVENT_WRITE and key.fd in self._writers:
                self._writers[key.fd]()
        while self._later and self._later[0][0] <= time.monotonic():
            heapq.heappop(self._later)[2]()
        self.flush()

    def flush(self) -> None:
        """Call what was put off to the end of the round."""
        while self._soon:
            soon, self._soon = self._soon, []
            for call in soon:
                call()

    def close(self) -> None:
        self._selector.close()
        os.close(self._wake_read)
        os.close(self._wake_write)

    def _register(self, fd: int) -> None:
        mask = (fd in self._readers) * selectors.EVENT_READ
        mask |= (fd in self._writers) * selectors.EVENT_WRITE
        known = fd in self._selector.get_map()
        if known and not mask:
            self._selector.unregister(fd)
        elif known and self._selector.get_key(fd).events != mask:
            self._selector.modify(fd, mask)
        elif mask and not known:
            self._selector.register(fd, mask)

    def _woken(self) -> None:
        try:
            os.read(self._wake_read, 4096)
        except BlockingIOError:
            return
