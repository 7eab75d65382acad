"""The kernel server: holds templates and ready kernels, and lends kernels to whoever asks.

`python -m mlflowkit.nbrun.kernel_server FOLDER`, freshly started, detached, one for each
user, interpreter and set of installed distributions. It listens on a Unix socket in a
private folder, runs no code of a person, and ends when nobody was connected for a while:
then everything it made is gone. Templates and keepers end by themselves when it dies.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import struct
import sys
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from time import monotonic
from typing import Final

from mlflowkit.nbrun import kernel_place
from mlflowkit.nbrun.kernel_held import MEMORY_SHARE, MOST, Held, Limits
from mlflowkit.nbrun.kernel_known import Forked, Listener, Refused
from mlflowkit.nbrun.kernel_pool import Templates, Wish
from mlflowkit.nbrun.kernel_shell import IN_MEMORY
from mlflowkit.nbrun.kernel_wire import Message, Wire
from mlflowkit.nbrun.prefix.held import Prefixes
from mlflowkit.worker import processes

IDLE_SECONDS: Final = 60.0
#: From a request to its kernel; making a template with heavy modules takes a while.
START_SECONDS: Final = 60.0
_Answer = Callable[[Message, list[int]], Awaitable[tuple[Message, list[int]]]]
_UCRED: Final = struct.Struct("3i")


class Server:
    """One kernel server.

    Args:
        place: Where it listens and keeps its files.
        idle: Seconds without connections and held kernels after which it ends.
    """

    def __init__(self, place: kernel_place.Place, idle: float) -> None:
        self._place, self._idle = place, idle
        self._templates = Templates(place.folder)
        self._prefixes = Prefixes(place.folder)
        self._held = Held()
        self._forked: dict[str, Forked] = {}
        self._count = 0
        self._connected: set[Listener] = set()
        self._alone_since = monotonic()
        self._tasks: set[asyncio.Task[None]] = set()
        self._over = asyncio.Event()

    async def serve(self, listening: socket.socket) -> None:
        """Until nobody needs it."""
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGCHLD, self._reap)
        loop.add_signal_handler(signal.SIGTERM, self._over.set)
        loop.add_reader(listening.fileno(), self._accept, listening)
        while not self._over.is_set():
            with suppress(TimeoutError):
                await asyncio.wait_for(self._over.wait(), min(self._idle / 4 + 0.05, 15))
            self._templates.drop_idle()
            self._prefixes.drop_idle()
            self._held.drop_homeless()
            if self._is_idle() and self._place.may_leave():
                break
        loop.remove_reader(listening.fileno())
        listening.close()
        await self._leave()

    def _is_idle(self) -> bool:
        if self._connected or len(self._held):
            self._alone_since = monotonic()
        return monotonic() - self._alone_since >= self._idle

    async def _leave(self) -> None:
        for forked in list(self._forked.values()):
            forked.end()
        self._templates.close()
        self._prefixes.close()
        until = monotonic() + 5
        while self._forked and monotonic() < until:
            await asyncio.sleep(0.02)
        processes.kill_all_below()

    def _reap(self) -> None:
        """Bury the dead; what nobody watches over any more goes with them."""
        with suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        watched = [each.keeper_pid for each in self._forked.values()]
        if 0 not in watched:  # else a keeper is not known yet
            spared = self._templates.pids() | self._prefixes.pids() | set(watched)
            processes.kill_all_below(spare=spared)

    # ── connections ─────────────────────────────────────────────────────────

    def _accept(self, listening: socket.socket) -> None:
        sock, _ = listening.accept()
        _, uid, _ = _UCRED.unpack(
            sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size)
        )
        if uid != os.getuid():
            sock.close()
            return
        listener: Listener

        def hear(message: Message, files: list[int]) -> None:
            task = asyncio.create_task(self._answer(listener, message, files))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

        def closed() -> None:
            self._connected.discard(listener)
            self._held.leave(listener)
            self._alone_since = monotonic()

        listener = Listener(Wire(sock), hear, closed)
        self._connected.add(listener)

    async def _answer(self, to: Listener, message: Message, files: list[int]) -> None:
        answers: dict[str, _Answer] = {
            "start": self._start,
            "prefix": self._prefixes.ask,
            "hold": self._hold,
            "held": self._list_held,
            "attach": self._attach,
            "take": self._take,
            "renew": self._renew,
            "release": self._release,
            "open": lambda asked, _: self._open(asked, to),
        }
        reply: Message
        sent: list[int] = []
        try:
            reply, sent = await answers[message["do"]](message, files)
        except (Refused, KeyError, TypeError, ValueError) as exc:
            reply = {"refused": str(exc) if isinstance(exc, Refused) else repr(exc)}
        except TimeoutError:
            reply = {"refused": f"no kernel was set up within {START_SECONDS:g} s"}
        to.send({**reply, "to": message.get("number")}, sent)
        if "kernel" in reply and (forked := self._forked.get(reply["kernel"])):
            forked.let_go()

    # ── kernels ─────────────────────────────────────────────────────────────

    async def _start(self, message: Message, _: list[int]) -> tuple[Message, list[int]]:
        args, late = tuple(message["args"]), bool(message["late"])
        alike = IN_MEMORY in args and not late
        wish = Wish(message["env"], tuple(message["preload"]), args if alike else ())
        async with asyncio.timeout(START_SECONDS):
            shared = message.get("prefix")
            template = self._prefixes.get(shared) if shared else self._templates.get(wish)
            about = await asyncio.shield(template.facts)
            _check_nothing_hides(Path(message["cwd"]), set(about["names"]))
            forked = template.take((args, late), self._make)
            facts = {} if late else await asyncio.shield(forked.facts)
        if forked.ended or forked.hand_over is None:
            raise Refused("a forked kernel ended before it was handed over")
        files = [forked.client.fileno(), forked.hand_over.fileno()]
        known = {"kernel": forked.name, "keeper": forked.keeper_pid}
        return {**known, "excluded": about["excluded"], **facts}, files

    def _make(self) -> Forked:
        self._count += 1
        name = f"k{self._count}"
        forked = Forked(name, self._place.folder / name, self._kernel_over)
        self._forked[name] = forked
        return forked

    def _kernel_over(self, forked: Forked) -> None:
        self._forked.pop(forked.name, None)
        self._held.forget(forked)

    # ── held kernels ────────────────────────────────────────────────────────

    async def _hold(self, message: Message, files: list[int]) -> tuple[Message, list[int]]:
        forked = self._forked.get(message["id"])
        if forked is None:
            for fd in files:
                os.close(fd)
            raise Refused("it has ended")
        if not forked.facts.done():  # it was set up late: its client heard it, and tells
            forked.facts.set_result(message["known"])
        limits = Limits(message.get("most", MOST), message.get("share", MEMORY_SHARE))
        seconds, facts = message["seconds"], message["facts"]
        why, ended = self._held.hold(forked, files[0], seconds, facts, limits)
        if why:
            raise Refused(why)
        return {"held": message["id"], "ended": ended}, []

    async def _list_held(self, _: Message, __: list[int]) -> tuple[Message, list[int]]:
        return {"held": self._held.told()}, []

    async def _attach(self, message: Message, _: list[int]) -> tuple[Message, list[int]]:
        found = self._held.find(message["id"])
        if found is None:
            raise Refused("no such kernel is held")
        return {"attached": found.told()}, []

    async def _take(self, message: Message, _: list[int]) -> tuple[Message, list[int]]:
        found = self._held.take(message["id"])
        if found is None:
            raise Refused("no such kernel is held")
        fd = os.dup(found.link.fileno())
        found.link.close()
        asyncio.get_running_loop().call_later(1.0, os.close, fd)  # when it has been sent
        return {"taken": found.told()}, [fd]

    async def _renew(self, message: Message, _: list[int]) -> tuple[Message, list[int]]:
        return {"renewed": self._held.renew(message["id"], message["seconds"])}, []

    async def _open(self, message: Message, who: Listener) -> tuple[Message, list[int]]:
        found = self._held.open(message["id"], who)
        if found is None:
            raise Refused("no such kernel is held")
        return {"attached": found.told()}, []

    async def _release(self, message: Message, _: list[int]) -> tuple[Message, list[int]]:
        return {"released": self._held.release(message["id"])}, []


def _check_nothing_hides(cwd: Path, names: set[str]) -> None:
    """What lies in the working folder comes first in a cold kernel.

    Raises:
        Refused: it would hide a module that is imported ahead.
    """
    import mlflowkit

    ours = Path(mlflowkit.__file__).parent
    try:
        entries = list(os.scandir(cwd))
    except OSError as exc:
        raise Refused(f"its working folder cannot be read: {exc.strerror}") from exc
    for entry in entries:
        name = entry.name.partition(".")[0]
        if name not in names or (name == "mlflowkit" and Path(entry.path) == ours):
            continue
        if entry.name.endswith((".py", ".so")) or Path(entry.path, "__init__.py").exists():
            raise Refused(f"{entry.name} in its working folder hides an installed module")


def main(argv: list[str]) -> None:
    """Serve, in the place that the arguments name."""
    place = kernel_place.Place(Path(argv[0]))
    os.umask(0o077)
    processes.become_subreaper()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    listening = place.enter()
    try:
        idle = float(argv[1]) if len(argv) > 1 else IDLE_SECONDS
        asyncio.run(_serve(place, idle, listening))
    finally:
        place.leave()


async def _serve(place: kernel_place.Place, idle: float, listening: socket.socket) -> None:
    await Server(place, idle).serve(listening)


if __name__ == "__main__":
    main(sys.argv[1:])
