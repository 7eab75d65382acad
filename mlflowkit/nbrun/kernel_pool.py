"""Templates and the ready kernels forked from them, as the kernel server holds them.

Runs in the kernel server's event loop and waits for nothing by itself. It knows processes
and links, and neither clients nor their requests.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from time import monotonic
from typing import Final

from mlflowkit.nbrun.kernel_files import Imported
from mlflowkit.nbrun.kernel_known import Forked, Listener, Refused
from mlflowkit.nbrun.kernel_template import COMMAND
from mlflowkit.nbrun.kernel_wire import Message, Wire
from mlflowkit.worker import processes

#: Kernels that wait, for each template and command line.
READY: Final = 2
#: The making of a kernel takes a core for a moment: as long as another one waits, that is
#: left to the notebook that has just begun, until it has ended or runs for a while.
_LATER_SECONDS: Final = 0.3
#: After a kernel's end its notebook has still something to put away.
_AFTER_SECONDS: Final = 0.03
MOST_TEMPLATES: Final = 4
#: A template that nobody asked for this long is let go.
TEMPLATE_IDLE_SECONDS: Final = 600.0
#: Of the machine's memory, what templates may take.
_MEMORY_SHARE: Final = 0.25
_LOG_TAIL: Final = 2000


@dataclass(frozen=True)
class Wish:
    """What a template must be: the fixed environment, and modules to import ahead.

    With `args`, its kernels have this command line, and it makes what they have alike.
    """

    env: Mapping[str, str]
    preload: tuple[str, ...]
    args: tuple[str, ...] = ()


#: Command line, and whether it is set up only when it is handed over.
Kind = tuple[tuple[str, ...], bool]


@dataclass
class _Pool:
    ready: deque[Forked] = field(default_factory=deque)


class Template:
    """A template process and the kernels that wait in it."""

    command = COMMAND

    def __init__(self, wish: Wish, folder: Path, gone: Callable[[Template], None]) -> None:
        self._folder, self._gone_to = folder, gone
        self.used_at = monotonic()
        self.dead = False
        self._pools: dict[Kind, _Pool] = {}
        self._imported = Imported({})
        loop = asyncio.get_running_loop()
        #: `names` it has beyond a cold kernel, and what was `excluded`, with reasons.
        self.facts: asyncio.Future[Message] = loop.create_future()
        self.facts.add_done_callback(lambda f: f.cancelled() or f.exception())
        ours, theirs = socket.socketpair()
        self.log = folder / f"template-{id(self):x}.log"
        argv = [sys.executable, "-c", self.command, str(theirs.fileno())]
        argv += [json.dumps(list(wish.preload)), "{}", json.dumps(list(wish.args))]
        with theirs, self.log.open("wb") as log:
            self._process = subprocess.Popen(
                argv,
                env=dict(wish.env),
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=[theirs.fileno()],
                start_new_session=True,
            )
        self._link = Listener(Wire(ours), self._hear, self._closed)

    @property
    def pid(self) -> int:
        return self._process.pid

    def _hear(self, message: Message, files: list[int]) -> None:
        if not self.facts.done():
            self._imported = Imported(message.get("files", {}))
            self.facts.set_result(message)

    def _closed(self) -> None:
        self.dead = True
        self._imported.close()
        if not self.facts.done():
            text = self.log.read_bytes()[-_LOG_TAIL:].decode(errors="replace").strip()
            why = f"a template could not be made: {text.splitlines()[-1] if text else ''}"
            self.facts.set_exception(Refused(why))
        for pool in self._pools.values():
            while pool.ready:
                pool.ready.popleft().let_go()  # its keeper sees it, and ends it
        self.log.unlink(missing_ok=True)
        self._gone_to(self)

    def is_stale(self) -> bool:
        """Whether a module that it imported has been edited since."""
        return self._imported.changed()

    def close(self) -> None:
        self._link.close()

    def take(self, kind: Kind, make: Callable[[], Forked]) -> Forked:
        """A kernel that waits, or a new one; others are made to wait in its place."""
        self.used_at = monotonic()
        pool = self._pools.setdefault(kind, _Pool())
        pool.ready = deque(each for each in pool.ready if not each.ended)
        taken = pool.ready.popleft() if pool.ready else self._fork(kind, make)
        if not kind[1]:
            self._fill(kind, make, 1)
            loop = asyncio.get_running_loop()
            later = loop.call_later(_LATER_SECONDS, self._fill, kind, make, READY)
            taken.then = partial(self._fill_soon, later, kind, make)
        return taken

    def _fill_soon(
        self, later: asyncio.TimerHandle, kind: Kind, make: Callable[[], Forked]
    ) -> None:
        if not later.cancelled():
            later.cancel()
            loop = asyncio.get_running_loop()
            loop.call_later(_AFTER_SECONDS, self._fill, kind, make, READY)

    def _fill(self, kind: Kind, make: Callable[[], Forked], wanted: int) -> None:
        """Have so many kernels wait."""
        ready = self._pools[kind].ready
        with suppress(Refused):  # it ended; who takes the next one makes another
            while len(ready) < wanted and not self.dead:
                ready.append(self._fork(kind, make))

    def _fork(self, kind: Kind, make: Callable[[], Forked]) -> Forked:
        forked = make()
        order = {"folder": str(forked.folder), "args": list(kind[0]), "late": kind[1]}
        sent = self._link.send(order, [sock.fileno() for sock in forked.theirs])
        forked.close_theirs()
        if not sent:
            raise Refused("its template ended")
        if not kind[1]:
            forked.listen()
        return forked


class Templates:
    """Few at a time; who was used least recently goes first."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._held: dict[str, Template] = {}

    def get(self, wish: Wish) -> Template:
        key = json.dumps([sorted(wish.env.items()), sorted(wish.preload), wish.args])
        found = self._held.get(key)
        if found is not None and found.is_stale():
            found.close()
        if found is None or found.dead:
            self._make_room()
            found = self._held[key] = Template(wish, self._folder, self._gone)
        return found

    def _gone(self, template: Template) -> None:
        self._held = {k: t for k, t in self._held.items() if t is not template}

    def _make_room(self) -> None:
        total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        while self._held:
            used = sum(processes.resident_bytes(t.pid) for t in self._held.values())
            if len(self._held) < MOST_TEMPLATES and used < total * _MEMORY_SHARE:
                return
            # Somebody waits for one that is not ready yet.
            ready = [each for each in self._held.values() if each.facts.done()]
            if not ready:
                return
            min(ready, key=lambda t: t.used_at).close()

    def drop_idle(self) -> None:
        """Let go of those that nobody asked for in a long time."""
        for template in list(self._held.values()):
            if monotonic() - template.used_at > TEMPLATE_IDLE_SECONDS:
                template.close()

    def pids(self) -> set[int]:
        return {template.pid for template in self._held.values()}

    def close(self) -> None:
        for template in list(self._held.values()):
            template.close()
