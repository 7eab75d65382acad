"""One forked kernel as the kernel server holds it, and the wires that it hears by.

Runs in the kernel server's event loop and waits for nothing by itself.
"""

from __future__ import annotations

import asyncio
import shutil
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Final

from mlflowkit.nbrun.kernel_wire import Message, Wire, WireClosed

_SEND_SECONDS: Final = 10.0


def _nothing() -> None:
    """What follows the end of a kernel that nobody took."""


class Refused(Exception):
    """There is no forked kernel for this request; why not."""


class Listener:
    """A wire in the event loop: hands on messages, and says once that it closed."""

    def __init__(
        self,
        wire: Wire,
        hear: Callable[[Message, list[int]], None],
        closed: Callable[[], None],
    ) -> None:
        self.wire, self._hear, self._closed = wire, hear, closed
        self._open = True
        wire.sock.settimeout(_SEND_SECONDS)
        asyncio.get_running_loop().add_reader(wire.fileno(), self._read)

    def _read(self) -> None:
        try:
            for message, files in self.wire.ready():
                self._hear(message, files)
        except (WireClosed, OSError, ValueError, KeyError):
            self.close()

    def send(self, message: Message, files: list[int] | None = None) -> bool:
        """Returns whether it arrived."""
        try:
            self.wire.send(message, files or ())
        except OSError:
            self.close()
            return False
        return True

    def close(self) -> None:
        """Twice is once."""
        if self._open:
            self._open = False
            asyncio.get_running_loop().remove_reader(self.wire.fileno())
            self.wire.close()
            self._closed()


class Forked:
    """One forked kernel with its keeper, from the fork to its end."""

    def __init__(self, name: str, folder: Path, over: Callable[[Forked], None]) -> None:
        self.name, self.folder, self._over = name, folder, over
        loop = asyncio.get_running_loop()
        #: What it said of itself when it was set up; Refused, if it never was.
        self.facts: asyncio.Future[Message] = loop.create_future()
        self.facts.add_done_callback(lambda f: f.cancelled() or f.exception())
        self.ended = False
        #: Called when it is over.
        self.then: Callable[[], None] = _nothing
        self.keeper_pid = 0
        folder.mkdir(mode=0o700)
        server, keeper_server = socket.socketpair()
        self.client, keeper_client = socket.socketpair()
        hand_over, kernel_end = socket.socketpair()
        #: What the template is given: the keeper's ends and the kernel's.
        self.theirs = [keeper_server, keeper_client, kernel_end]
        self.keeper = Listener(Wire(server), self._hear_keeper, self._gone)
        self.hand_over: Wire | None = Wire(hand_over)

    def close_theirs(self) -> None:
        for sock in self.theirs:
            sock.close()

    def listen(self) -> None:
        """Wait for the kernel to say that it is set up."""
        assert self.hand_over is not None
        asyncio.get_running_loop().add_reader(self.hand_over.fileno(), self._hear_kernel)

    def _hear_kernel(self) -> None:
        assert self.hand_over is not None
        try:
            for message, _ in self.hand_over.ready():
                self._settle(message)
        except (WireClosed, OSError, ValueError):
            self._settle(None)

    def _settle(self, facts: Message | None) -> None:
        if self.hand_over is not None:
            asyncio.get_running_loop().remove_reader(self.hand_over.fileno())
        if self.facts.done():
            return
        if facts is None:
            self.facts.set_exception(Refused("a forked kernel ended before it was set up"))
        else:
            self.facts.set_result(facts)

    def _hear_keeper(self, message: Message, files: list[int]) -> None:
        self.keeper_pid = message.get("keeper", self.keeper_pid)
        if "died" in message:
            self._gone()

    def _gone(self) -> None:
        if self.ended:
            return
        self.ended = True
        self._settle(None)
        self.keeper.close()
        self.let_go()
        shutil.rmtree(self.folder, ignore_errors=True)
        self._over(self)
        self.then()

    def let_go(self) -> None:
        """Close this process's ends of what the client has now."""
        self.client.close()
        if self.hand_over is not None:
            if not self.facts.done():
                asyncio.get_running_loop().remove_reader(self.hand_over.fileno())
            self.hand_over.close()
            self.hand_over = None

    def end(self) -> None:
        """Orderly, within the keeper's time."""
        self.keeper.send({"do": "end"})
