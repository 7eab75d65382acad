"""Kernels that outlive whoever used them, until somebody wants them or their time is up.

Part of the kernel server. Holding a kernel is holding the client's end of its keeper's
link. Limited in number and in memory: the oldest that nobody has open goes first. It is
open while somebody says so (JupyterLab's provisioner), and while anybody listens to what it
puts out: a console or an editor that was given its connection file, until that ends or dies.
"""

from __future__ import annotations

import asyncio
import os
import socket
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from time import time
from typing import Any, Final

from mlflowkit.nbrun.kernel_known import Forked
from mlflowkit.nbrun.kernel_wire import Message
from mlflowkit.worker import processes

MOST: Final = 3
#: Of the machine's memory, what held kernels may take together.
MEMORY_SHARE: Final = 0.25
#: While one is open, its time is prolonged by this, again and again.
_OPEN_SECONDS: Final = 30.0
#: The Unix sockets of this machine: a line each, its state and at last its name.
_SOCKETS: Final = Path("/proc/self/net/unix")
_CONNECTED: Final = b"03"


@dataclass(frozen=True)
class Limits:
    """How many kernels may be held, and how much of the machine's memory they may have."""

    most: int = MOST
    share: float = MEMORY_SHARE

    @property
    def size(self) -> float:
        """Bytes."""
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") * self.share


@dataclass
class HeldKernel:
    """One of them."""

    forked: Forked
    link: socket.socket
    facts: dict[str, Any]
    #: Seconds since 1970.
    until: float
    timer: asyncio.TimerHandle
    since: float = field(default_factory=time)
    #: Connections of those who said that they have it open.
    openers: set[object] = field(default_factory=set[object])

    @property
    def opened(self) -> bool:
        """Whether somebody has it open, in whatever way."""
        return bool(self.openers) or _is_heard(self.forked.facts.result()["connection"])

    def told(self) -> Message:
        """For those who ask what is held."""
        known = self.forked.facts.result()
        return {
            "id": self.forked.name,
            "pid": known["ready"],
            "keeper": self.forked.keeper_pid,
            "connection": known["connection"],
            "info": known["info"],
            "facts": self.facts,
            "since": self.since,
            "until": self.until,
            "opened": self.opened,
            "bytes": processes.resident_bytes(known["ready"]),
        }


class Held:
    """The kernels that the server holds."""

    def __init__(self) -> None:
        self._held: dict[str, HeldKernel] = {}

    def __len__(self) -> int:
        return len(self._held)

    def hold(
        self,
        forked: Forked,
        link: int,
        seconds: float,
        facts: dict[str, Any],
        limits: Limits,
    ) -> tuple[str, list[dict[str, Any]]]:
        """Hold a kernel for a time.

        Returns:
            Why not, or nothing; and the facts of those that had to end in its favour.
        """
        sock = socket.socket(fileno=link)
        why = _why_not(forked, limits)
        if why:
            sock.close()
            return why, []
        size = processes.resident_bytes(forked.facts.result()["ready"])
        ended = self._make_room(facts.get("home"), limits.most, limits.size - size)
        timer = asyncio.get_running_loop().call_later(seconds, self._expire, forked.name)
        held = HeldKernel(forked, sock, facts, time() + seconds, timer)
        self._held[forked.name] = held
        return "", ended

    def _make_room(self, home: object, most: int, limit: float) -> list[dict[str, Any]]:
        """Their number is limited in each home, their memory in all together."""
        ended: list[dict[str, Any]] = []
        while self._held:
            every = list(self._held.values())
            mine = [each for each in every if each.facts.get("home") == home]
            sizes = [processes.resident_bytes(each.told()["pid"]) for each in every]
            crowd = mine if len(mine) >= most else every
            if crowd is every and sum(sizes) <= limit:
                break
            first = min(crowd, key=lambda e: (e.opened, e.since))
            ended.append(first.facts)
            self.release(first.forked.name)
        return ended

    def _expire(self, name: str) -> None:
        """Its time is up, unless somebody has it open."""
        held = self._held.get(name)
        if held is not None and held.opened:
            self.renew(name, _OPEN_SECONDS)
        else:
            self.release(name)

    def drop_homeless(self) -> None:
        """End those whose home was deleted: nobody finds them any more."""
        for each in list(self._held.values()):
            home = each.facts.get("home")
            if home and not os.path.isdir(home):
                self.release(each.forked.name)

    def told(self) -> list[Message]:
        """What is held, oldest first."""
        return [each.told() for each in self._held.values()]

    def find(self, name: str) -> HeldKernel | None:
        return self._held.get(name)

    def open(self, name: str, opener: object) -> HeldKernel | None:
        """Somebody uses it, as long as its connection is open."""
        held = self._held.get(name)
        if held is not None:
            held.openers.add(opener)
        return held

    def leave(self, opener: object) -> None:
        """Somebody is gone."""
        for held in self._held.values():
            held.openers.discard(opener)

    def renew(self, name: str, seconds: float) -> bool:
        """Hold it for `seconds` from now on. Returns whether it is held."""
        held = self._held.get(name)
        if held is None:
            return False
        held.timer.cancel()
        held.timer = asyncio.get_running_loop().call_later(seconds, self._expire, name)
        held.until = time() + seconds
        return True

    def take(self, name: str) -> HeldKernel | None:
        """Hold it no longer; the caller has its link now."""
        held = self._held.pop(name, None)
        if held is not None:
            held.timer.cancel()
        return held

    def release(self, name: str) -> bool:
        """End it in an orderly way. Returns whether it was held."""
        held = self.take(name)
        if held is None:
            return False
        held.forked.end()
        loop = asyncio.get_running_loop()
        loop.call_later(10.0, held.link.close)  # its keeper has ended it long before
        return True

    def forget(self, forked: Forked) -> None:
        """It has ended."""
        held = self.take(forked.name)
        if held is not None:
            held.link.close()


def _why_not(forked: Forked, limits: Limits) -> str:
    if forked.ended:
        return "it has ended"
    if limits.most < 1:
        return "no kernel is to be held"
    size = processes.resident_bytes(forked.facts.result()["ready"])
    if size > limits.size:
        return f"it has {size / 2**30:.1f} GB of memory, more than held kernels may have"
    return ""


def _is_heard(connection: Message) -> bool:
    """Whether somebody is connected to the channel with a kernel's outputs; it never is
    itself."""
    name = os.fsencode(f"{connection['ip']}-{connection['iopub_port']}")
    with suppress(OSError):
        for line in _SOCKETS.read_bytes().splitlines():
            if line.endswith(b" " + name) and line.split(maxsplit=6)[5] == _CONNECTED:
                return True
    return False
