"""A kernel that is lent: what is asked for, and what one holds while using it.

The kernel lives as long as somebody holds its link: the `Lent` here, or the kernel server.
"""

from __future__ import annotations

import select
import signal
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic
from typing import Any

from mlflowkit.nbrun.kernel_wire import Message, Wire, WireClosed


class NoForkedKernel(Exception):
    """There is no forked kernel for this; why not. A cold one may be started."""


@dataclass(frozen=True, kw_only=True)
class StartOrder:
    """A kernel that somebody needs.

    Attributes:
        env: The fixed part of its environment: what modules may look at when imported.
        late_env: The rest, set when it is handed over.
        preload: Modules to import ahead.
        args: Of its command line, after the connection file.
        cwd: Its working folder.
        umask: Its umask.
        late: Set it up only when it is handed over: a person's start-up files run then.
        key: Signs its messages; its own, if empty.
        prefix: The shared prefix that it has, by its key; none, if empty.
        inside: Begin what works inside a notebook's kernel; see `nbrun.inside.start`.
    """

    env: Mapping[str, str]
    late_env: Mapping[str, str]
    preload: tuple[str, ...]
    args: tuple[str, ...]
    cwd: Path
    umask: int
    late: bool
    key: str = ""
    prefix: str = ""
    inside: bool = False


@dataclass(kw_only=True)
class Lent:
    """A forked kernel in use.

    Attributes:
        id: The server's name for it.
        pid: Its process.
        keeper: The process above it, which ends it. It ends after everything below it.
        connection: What a connection file says, with a `bytes`-able key as text.
        info: Its reply to a kernel_info_request.
        excluded: Modules that were not imported ahead, and why.
        inside: What works inside a notebook's kernel has begun.
        died: Its exit status, negative for a signal; None while it runs.
        peak_bytes: The most memory that it had; known at its end.
        server: The folder of the server that lent it, which may not be the one that a new
            kernel comes from by then: a cell may have installed something.
    """

    id: str
    pid: int
    keeper: int
    connection: dict[str, Any]
    info: dict[str, Any]
    excluded: dict[str, str] = field(default_factory=dict[str, str])
    inside: bool = False
    died: int | None = None
    peak_bytes: int = 0
    #: The folder of the server that lent it; None: it is not known.
    server: Path | None = None
    link: Wire

    def fileno(self) -> int:
        """Readable when there is something for `hear`."""
        return self.link.fileno()

    def hear(self) -> bool:
        """Take in what the keeper said. Returns whether the kernel is over."""
        try:
            for message, _ in self.link.ready():
                self.died = message.get("died", self.died)
                self.peak_bytes = message.get("peak", self.peak_bytes)
        except (WireClosed, OSError):
            if self.died is None:
                self.died = -signal.SIGKILL  # its keeper was killed, and it with it
        return self.died is not None

    def wait(self, seconds: float) -> int | None:
        """Wait for its end. Returns its exit status, or None when it still runs."""
        until = monotonic() + seconds
        while self.died is None:
            left = until - monotonic()
            if left <= 0 or not select.select([self.link], [], [], left)[0]:
                return None
            self.hear()
        return self.died

    def _tell(self, message: Message) -> None:
        with suppress(OSError):
            self.link.send(message)

    def signal(self, number: int) -> None:
        """Send a signal to the kernel and the processes of its group."""
        self._tell({"do": "signal", "number": int(number)})

    def interrupt(self) -> None:
        """KeyboardInterrupt in the running cell."""
        self.signal(signal.SIGINT)

    def ask_end(self, seconds: float) -> None:
        """Have it end: exit handlers, open files; SIGKILL after `seconds`. Does not wait."""
        self._tell({"do": "end", "seconds": seconds} if seconds > 0 else {"do": "kill"})

    def end(self, seconds: float) -> int:
        """End it, and wait until it and everything below it are dead."""
        self.ask_end(seconds)
        status = self.wait(seconds + 5)
        self.close()
        return -signal.SIGKILL if status is None else status

    def close(self) -> None:
        """Let go of it: it is killed, unless the server holds it."""
        self.link.close()


class ServerGone(NoForkedKernel):
    """The server ended; another one may be started."""
