"""Prefix processes, as the kernel server holds them: made once, forked, and let go of.

Runs in the kernel server's event loop. A wish, as it is asked for:

    key      says the run, the cells, all they are given and the environment
    label    of who asks: the first one is named as who made it
    env      fixed part of the environment; late_env: the rest, with the folder for values
    cwd, umask, args, cells ([position, code]), io (the folder for values)

The answer has `state`: "running", "ready" (then `label`, and an open file with what the
cells put out) or "alone" (then `why`): whoever asked runs these cells itself.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from time import monotonic
from typing import Final

from mlflowkit.nbrun.kernel_known import Forked, Refused
from mlflowkit.nbrun.kernel_pool import Kind, Template, Wish
from mlflowkit.nbrun.kernel_wire import Message
from mlflowkit.nbrun.prefix.process import COMMAND
from mlflowkit.worker import processes

MOST: Final = 4
#: Of the machine's memory, what all of them may take.
_MEMORY_SHARE: Final = 0.5
#: Let go of when no kernel of it runs and nobody asked for one so long.
IDLE_SECONDS: Final = 60.0
#: One that runs, and that nobody waits for any more, is killed.
_FORSAKEN_SECONDS: Final = 10.0
#: Between two instances of a sweep; after it, another prefix may have the place.
_BETWEEN_SECONDS: Final = 1.0
#: Who was told that it is ready comes for a kernel, on a busy machine not at once.
_PROMISED_SECONDS: Final = 30.0
#: Why there is none is remembered so long.
_REMEMBERED_SECONDS: Final = 900.0


class Prefix(Template):
    """One prefix process."""

    command = COMMAND

    def __init__(self, wanted: Message, folder: Path) -> None:
        super().__init__(Wish(wanted["env"], ()), folder, lambda _: None)
        self.label = str(wanted["label"])
        #: What the cells put out: a file in memory.
        self.record: int | None = None
        self.why = ""
        self.ready = False
        self._out: list[Forked] = []
        #: Those that were told that it is ready, and have not come yet.
        self._promised = 0
        names = ("cwd", "umask", "args", "cells", "io")
        order = {name: wanted[name] for name in names}
        self._link.send({**order, "env": wanted["late_env"]})

    def _hear(self, message: Message, files: list[int]) -> None:
        self.ready = "done" in message
        self.record = files[0] if files else None
        self.why = message.get("unsafe", "")
        super()._hear(message, files)

    def _closed(self) -> None:
        super()._closed()
        with suppress(ProcessLookupError):
            self._process.kill()  # where it does not listen: it runs a cell
        self.ready = False
        self.why = self.why or "the process that ran them ended before it was done"
        if self.record is not None:
            os.close(self.record)
            self.record = None

    def take(self, kind: Kind, make: Callable[[], Forked]) -> Forked:
        taken = super().take(kind, make)
        self._out.append(taken)
        self._promised = max(self._promised - 1, 0)
        return taken

    def is_unused(self, seconds: float) -> bool:
        """No kernel of it runs, and nobody asked for it so long."""
        self._out = [each for each in self._out if not each.ended]
        if self._out:
            self.used_at = monotonic()
        return monotonic() - self.used_at > seconds

    def may_go(self) -> bool:
        """Another one may have its place: nobody waits for it, and nobody is on the way."""
        if not self.ready:
            return self.is_unused(_FORSAKEN_SECONDS)
        return self.is_unused(_PROMISED_SECONDS if self._promised else _BETWEEN_SECONDS)

    def is_idle(self) -> bool:
        """Nobody needs it."""
        return self.is_unused(IDLE_SECONDS if self.ready else _FORSAKEN_SECONDS)

    def told(self) -> tuple[Message, list[int]]:
        """The answer, and the files that go with it."""
        if self.dead or self.why:
            return {"state": "alone", "why": self.why}, []
        if not self.ready or self.record is None:
            return {"state": "running"}, []
        self._promised += 1
        return {"state": "ready", "label": self.label}, [self.record]


class Prefixes:
    """Those of all runs, by key. No key is ever asked for by two runs."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._held: dict[str, Prefix] = {}

    async def ask(self, message: Message, files: list[int]) -> tuple[Message, list[int]]:
        """How the prefix of a key is getting on; made, if it is not there."""
        for fd in files:
            os.close(fd)
        key = str(message["key"])
        found = self._held.get(key)
        if found is None:
            self._make_room()
            found = self._held[key] = Prefix(message, self._folder)
        found.used_at = monotonic()
        return found.told()

    def get(self, key: str) -> Prefix:
        """One that is ready.

        Raises:
            Refused: it is not.
        """
        found = self._held.get(key)
        if found is None or found.dead or not found.ready:
            raise Refused("the shared prefix is gone")
        return found

    def _make_room(self) -> None:
        """Let go of what was not used for the longest time. Raises Refused where all are."""
        total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        living = [key for key, each in self._held.items() if not each.dead]
        for key in sorted(living, key=lambda key: self._held[key].used_at):
            pids = self.pids()
            used = sum(map(processes.resident_bytes, pids))
            if len(pids) < MOST and used < total * _MEMORY_SHARE:
                return
            if self._held[key].may_go():
                self._let_go(key)
        pids = self.pids()
        if len(pids) >= MOST:
            raise Refused(f"{MOST} other shared prefixes are in use")
        if sum(map(processes.resident_bytes, pids)) > total * _MEMORY_SHARE:
            raise Refused("other shared prefixes take too much memory")

    def _let_go(self, key: str) -> None:
        """It can be made again."""
        self._held.pop(key).close()

    def drop_idle(self) -> None:
        """Let go of those that nobody needs; forget those that ended long ago."""
        for key, prefix in list(self._held.items()):
            if not prefix.dead and prefix.is_idle():
                self._let_go(key)
            elif prefix.dead and monotonic() - prefix.used_at > _REMEMBERED_SECONDS:
                del self._held[key]

    def pids(self) -> set[int]:
        return {each.pid for each in self._held.values() if not each.dead}

    def close(self) -> None:
        for prefix in self._held.values():
            prefix.close()
