"""How another thread asks a running notebook to end."""

from __future__ import annotations

import asyncio
from contextlib import suppress


class Stop:
    """Asks a running notebook to end, from any thread. The first reason counts."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._asked: asyncio.Event | None = None
        self.wanted = False

    def attach(self) -> None:
        """Called once in the loop that waits."""
        self._loop, self._asked = asyncio.get_running_loop(), asyncio.Event()
        if self.wanted:
            self._asked.set()

    def ask(self) -> None:
        """End the notebook soon. Twice is once."""
        self.wanted = True
        if self._loop is not None and self._asked is not None:
            with suppress(RuntimeError):  # the loop is over already
                self._loop.call_soon_threadsafe(self._asked.set)

    async def asked(self) -> None:
        """Wait until somebody asks."""
        assert self._asked is not None
        await self._asked.wait()
