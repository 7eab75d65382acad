"""A running kernel, however it was started: what an execution may do with it."""

from __future__ import annotations

import asyncio
import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from mlflowkit.nbrun import failures
from mlflowkit.worker import processes

if TYPE_CHECKING:
    from jupyter_client.asynchronous.client import AsyncKernelClient

#: An orderly end (atexit handlers, open files) may take this long.
END_SECONDS: Final = 2.0
#: How often its memory is looked at.
_MEASURE_SECONDS: Final = 0.5
#: The first time is soon: a cell may eat all memory at once.
_FIRST_SECONDS: Final = 0.1
_LOG_TAIL_BYTES: Final = 16_000
#: What subprocesses put out is copied to the log: only its end is ever read.
_LOG_MOST_BYTES: Final = 16 * 1024 * 1024


class KernelHandle:
    """One running kernel.

    Attributes:
        manager: Jupyter's manager of it, where there is one.
        client: Connected to its sockets.
        pid: Its process.
        info: Its reply to the first kernel_info_request.
        peak_bytes: The most memory that it was seen to have.
        why_cold: Why it is no forked one; empty for a forked one.
        excluded: Modules that it imports but that were not imported ahead, and why.
        inside: `nbrun.inside` works in it already.
    """

    manager: Any = None
    why_cold = ""
    inside = False

    def __init__(self, client: AsyncKernelClient, pid: int, log: Path) -> None:
        self.client, self.pid = client, pid
        self.info: dict[str, Any] = {}
        self.excluded: dict[str, str] = {}
        self.peak_bytes = 0
        self._log, self._ended = log, False
        self._died: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._measuring = asyncio.create_task(self._measure())

    async def _measure(self) -> None:
        pause = _FIRST_SECONDS
        while not self.dead:
            await asyncio.wait([self._died], timeout=pause)
            self.peak_bytes = max(self.peak_bytes, processes.resident_bytes(self.pid))
            if not self.dead:
                self._empty_full_log()
            pause = _MEASURE_SECONDS

    def _empty_full_log(self) -> None:
        """All who write to it append, so that it goes on from its beginning."""
        with suppress(OSError):
            if os.stat(self._log).st_size > _LOG_MOST_BYTES:
                os.truncate(self._log, 0)

    def _is_over(self, status: int) -> None:
        if not self._died.done():
            self._died.set_result(status)

    def how_started(self) -> dict[str, Any]:
        """Facts for an event: `cold`, why it is no forked kernel; `not_imported_ahead`."""
        facts = {"cold": self.why_cold, "not_imported_ahead": self.excluded}
        return {name: value for name, value in facts.items() if value}

    @property
    def dead(self) -> bool:
        """Whether its process has ended."""
        return self._died.done()

    async def died(self) -> int:
        """Wait for its end. Returns the exit status, negative for a signal."""
        return int(await asyncio.shield(self._died))

    def has_children(self) -> bool:
        """Whether cells left processes running."""
        return not self.dead and bool(processes.children(self.pid))

    async def interrupt(self) -> None:
        """What Jupyter's stop button does: KeyboardInterrupt in the running cell."""
        raise NotImplementedError

    def log_tail(self) -> str:
        """The end of what the process wrote outside of any cell."""
        try:
            with self._log.open("rb") as file:
                size = file.seek(0, os.SEEK_END)
                file.seek(max(0, size - _LOG_TAIL_BYTES))
                data = file.read(_LOG_TAIL_BYTES)
        except OSError:
            return ""
        return failures.last_words(data.decode(errors="replace"))

    async def end(self, seconds: float = END_SECONDS) -> None:
        """End it in an orderly way within `seconds`, else by SIGKILL, its children too.

        Twice is once.
        """
        if self._ended:
            return
        self._ended = True
        try:
            await self._end(seconds)
        finally:
            self._measuring.cancel()

    async def _end(self, seconds: float) -> None:
        raise NotImplementedError
