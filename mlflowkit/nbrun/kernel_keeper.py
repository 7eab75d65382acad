"""The keeper: the small process above one forked kernel. It ends what must end.

A fork of a template, in a session of its own, and a subreaper: whatever the kernel's cells
start comes to it when its parent dies, and is killed when the kernel is over. The kernel
is over when it ends, when it is told to end, when nobody holds the client's link any more,
and when the kernel server is gone. Its user is told as soon as nothing but its memory is
left of it. Runs no code of a person.
"""

from __future__ import annotations

import os
import select
import shutil
import signal
import socket
from contextlib import suppress
from time import monotonic
from typing import Final

from mlflowkit.nbrun.kernel_wire import Message, Wire, WireClosed
from mlflowkit.worker import processes

#: An orderly end may take this long, unless it is said.
END_SECONDS: Final = 2.0


class Keeper:
    """Watches over one kernel until it and all below it are dead.

    Args:
        kernel: Its pid, a child of this process.
        server: The kernel server's link. When it closes, the server is dead.
        client: The link of whoever uses the kernel. When it closes, nobody does.
        bell: Rung to have the kernel end in an orderly way; it says here when nothing
            of it can be at work any more.
        folder: The kernel's own folder, removed at the end.
    """

    def __init__(
        self, kernel: int, server: Wire, client: Wire, bell: socket.socket, folder: str
    ) -> None:
        self._kernel, self._server, self._client = kernel, server, client
        self._bell, self._folder = bell, folder
        self._pidfd = os.pidfd_open(kernel)
        self._kill_at: float | None = None
        self._told = False
        self._readers: dict[int, Wire] = {w.fileno(): w for w in (server, client)}

    def watch(self) -> None:
        """Until the kernel is over; then say how it ended."""
        poller = select.poll()
        for fd in (self._pidfd, bell := self._bell.fileno(), *self._readers):
            poller.register(fd, select.POLLIN)
        while True:
            found = [fd for fd, _ in poller.poll(self._timeout())]
            if self._pidfd in found:
                break
            for fd in found:
                if fd == bell:
                    poller.unregister(fd)
                    self._nearly_over()
                elif not self._hear(self._readers[fd]):
                    poller.unregister(fd)
            if self._kill_at is not None and monotonic() >= self._kill_at:
                processes.send(self._kernel, signal.SIGKILL)
                self._kill_at = None
        self._over()

    def _timeout(self) -> int | None:
        if self._kill_at is None:
            return None
        return max(int((self._kill_at - monotonic()) * 1000) + 1, 0)

    def _hear(self, wire: Wire) -> bool:
        try:
            for message, _ in wire.ready():
                self._do(message)
        except (WireClosed, OSError, ValueError):
            if not self._told:  # else its user was done with it, and it is ending
                processes.send(self._kernel, signal.SIGKILL)
            return False
        return True

    def _nearly_over(self) -> None:
        """The kernel has nothing left but its memory: its user need not wait for that,
        unless something below it still lives."""
        words = b""
        with suppress(ConnectionResetError):  # it died with the bell unheard
            words = self._bell.recv(64)
        alone = processes.own_children() == [self._kernel]
        if not words or not alone or processes.children(self._kernel):
            return
        status, peak = map(int, words.split())
        self._tell_user(status, peak)
        self._kill_at = monotonic() + END_SECONDS

    def _do(self, message: Message) -> None:
        match message.get("do"):
            case "end":
                self._kill_at = monotonic() + float(message.get("seconds", END_SECONDS))
                with suppress(OSError):
                    self._bell.send(b"e")
            case "kill":
                processes.send(self._kernel, signal.SIGKILL)
            case "signal":
                self._signal(signal.Signals(message["number"]))

    def _signal(self, number: signal.Signals) -> None:
        """To the kernel and the processes of its group, as Jupyter's own way does."""
        try:
            os.killpg(self._kernel, number)
        except (ProcessLookupError, PermissionError):
            processes.send(self._kernel, number)

    def _over(self) -> None:
        _, status, usage = os.wait4(self._kernel, 0)
        processes.kill_all_below()
        died = os.waitstatus_to_exitcode(status)
        self._tell_user(died, usage.ru_maxrss * 1024)
        shutil.rmtree(self._folder, ignore_errors=True)
        with suppress(OSError):
            self._server.send({"died": died})

    def _tell_user(self, status: int, peak: int) -> None:
        if not self._told:
            self._told = True
            with suppress(OSError):
                self._client.send({"died": status, "peak": peak})
