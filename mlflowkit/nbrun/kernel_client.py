"""Asking the kernel server: kernels to use, and kernels to hold past whoever used them.

    server = kernel_client.connect()            # starts one where none listens
    lent = server.start(order)                  # a forked kernel, set up, in its folder
    lent.interrupt(); lent.end(2.0)             # or close: then it is killed

    server.hold(lent, 900, {"run": "…"})        # its life is the server's now
    server.held(); server.attach(id); server.take(id); server.release(id)

Everything here blocks, each time with a deadline; call it from a thread where a loop runs.
The kernel lives as long as somebody holds its link: the `Lent` here, or the server.
"""

from __future__ import annotations

import itertools
import os
import socket
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from mlflowkit.nbrun import kernel_place, kernel_start
from mlflowkit.nbrun.kernel_lent import Lent, NoForkedKernel, ServerGone, StartOrder
from mlflowkit.nbrun.kernel_start import ENV_IDLE
from mlflowkit.nbrun.kernel_wire import Message, Wire, WireClosed

__all__ = [
    "ENV_IDLE",
    "KernelServer",
    "Lent",
    "NoForkedKernel",
    "ServerGone",
    "StartOrder",
    "connect",
    "connected",
    "disconnect",
    "lend",
]

#: A little more than the server's own.
_ANSWER_SECONDS: Final = 65.0
#: From the hand-over to a kernel that serves.
_BEGIN_SECONDS: Final = 20.0


class KernelServer:
    """A connection to the kernel server. It lives on while this is open.

    Any thread may ask; one question at a time, which is answered within `seconds`.
    """

    def __init__(self, sock: socket.socket, seconds: float = _ANSWER_SECONDS) -> None:
        self._wire, self._seconds = Wire(sock), seconds
        self._folder = Path(sock.getpeername()).parent
        self._asking = threading.Lock()
        self._numbers = itertools.count(1)

    def close(self) -> None:
        self._wire.close()

    def _ask(
        self, message: Message, files: list[int] | None = None
    ) -> tuple[Message, list[int]]:
        with self._asking:
            number = next(self._numbers)
            try:
                self._wire.send({**message, "number": number}, files or ())
                reply, received = self._wire.receive(self._seconds)
                while reply.get("to") != number:  # the answer to one that was given up
                    for fd in received:
                        os.close(fd)
                    reply, received = self._wire.receive(self._seconds)
            except (
                OSError
            ) as exc:  # WireClosed and TimeoutError are OSErrors or come as such
                raise NoForkedKernel(f"the kernel server does not answer ({exc})") from exc
            except WireClosed as exc:
                raise ServerGone("the kernel server is gone") from exc
        if "refused" in reply:
            raise NoForkedKernel(reply["refused"])
        return reply, received

    def start(self, order: StartOrder, out: int, err: int) -> Lent:
        """A kernel that is set up, in its folder, with its streams.

        Args:
            order: What is needed.
            out: Descriptor that its process's own stdout goes to.
            err: The same for stderr.

        Raises:
            NoForkedKernel: it must be a cold one; why.
        """
        asked = {
            "do": "start",
            "env": dict(order.env),
            "preload": list(order.preload),
            "args": list(order.args),
            "cwd": str(order.cwd),
            "late": order.late,
            "prefix": order.prefix,
        }
        reply, files = self._ask(asked)
        link, hand_over = (Wire(socket.socket(fileno=fd)) for fd in files)
        try:
            facts = _hand_over(hand_over, order, out, err)
            known = {**reply, **facts}
            if order.key:
                known["connection"] = {**known["connection"], "key": order.key}
        except (OSError, EOFError) as exc:
            link.close()
            raise NoForkedKernel(f"a forked kernel could not begin ({exc!r})") from exc
        finally:
            hand_over.close()
        return Lent(
            id=known["kernel"],
            pid=known["ready"],
            keeper=known["keeper"],
            connection=known["connection"],
            info=known["info"],
            excluded=known["excluded"],
            inside=order.inside,
            server=self._folder,
            link=link,
        )

    def prefix(self, wanted: Message) -> tuple[Message, list[int]]:
        """How a shared prefix is getting on; the first who asks has it made.

        Args:
            wanted: See `prefix.held`.

        Raises:
            NoForkedKernel: the server does not make it; why.
        """
        return self._ask({"do": "prefix", **wanted})

    def hold(
        self,
        lent: Lent,
        seconds: float,
        facts: Mapping[str, Any],
        limits: Mapping[str, Any] | None = None,
    ) -> str:
        """Have the server hold a kernel when its user lets go of it, or ends.

        Args:
            lent: The kernel; its link may be closed after this.
            seconds: When it ends at last.
            facts: Whatever helps to find it again; plain data. Shown by `held`.
            limits: `most` kernels are held, with that `share` of the machine's memory.

        Returns:
            Its id, for `attach`, `take` and `release`.

        Raises:
            NoForkedKernel: it has ended, or is too large.
        """
        self.hold_in_place_of(lent, seconds, facts, limits)
        return lent.id

    def hold_in_place_of(
        self,
        lent: Lent,
        seconds: float,
        facts: Mapping[str, Any],
        limits: Mapping[str, Any] | None = None,
    ) -> list[dict[str, Any]]:
        """As `hold`. Returns the facts of those that had to end in its favour."""
        known = {"ready": lent.pid, "connection": lent.connection, "info": lent.info}
        asked = {"do": "hold", "id": lent.id, "seconds": seconds, "facts": dict(facts)}
        asked |= limits or {}
        reply, _ = self._ask({**asked, "known": known}, [lent.link.fileno()])
        ended: list[dict[str, Any]] = reply["ended"]
        return ended

    def held(self) -> list[dict[str, Any]]:
        """What is held: `id`, `pid`, `connection`, `info`, `facts`, `since` and
        `until` (seconds since 1970), `opened` (somebody uses it), `bytes`."""
        found: list[dict[str, Any]] = self._ask({"do": "held"})[0]["held"]
        return found

    def about(self, kernel: str) -> dict[str, Any]:
        """A held kernel, as `held` shows it.

        Raises:
            NoForkedKernel: no such kernel is held.
        """
        found: dict[str, Any] = self._ask({"do": "attach", "id": kernel})[0]["attached"]
        return found

    def open(self, kernel: str) -> dict[str, Any]:
        """As `about`; it counts as opened until this connection closes.

        Raises:
            NoForkedKernel: no such kernel is held.
        """
        found: dict[str, Any] = self._ask({"do": "open", "id": kernel})[0]["attached"]
        return found

    def attach(self, kernel: str, folder: Path) -> Path:
        """Write a connection file for a held kernel into `folder`, for `--existing` and the
        like. The server goes on holding it.

        Raises:
            NoForkedKernel: no such kernel is held.
        """
        import json

        found = self.about(kernel)
        path = folder / f"kernel-{kernel}-{found['pid']}.json"
        fd = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600)
        with os.fdopen(fd, "w") as file:
            json.dump(found["connection"], file)
        return path

    def take(self, kernel: str) -> Lent:
        """Use a held kernel again: its life is the caller's from now on.

        Raises:
            NoForkedKernel: no such kernel is held.
        """
        reply, files = self._ask({"do": "take", "id": kernel})
        found = reply["taken"]
        return Lent(
            id=found["id"],
            pid=found["pid"],
            keeper=found["keeper"],
            connection=found["connection"],
            info=found["info"],
            server=self._folder,
            link=Wire(socket.socket(fileno=files[0])),
        )

    def renew(self, kernel: str, seconds: float) -> bool:
        """Hold it for `seconds` from now on. Returns whether it is held."""
        return bool(
            self._ask({"do": "renew", "id": kernel, "seconds": seconds})[0]["renewed"]
        )

    def release(self, kernel: str) -> bool:
        """End a held kernel. Returns whether it was held."""
        return bool(self._ask({"do": "release", "id": kernel})[0]["released"])


def _hand_over(wire: Wire, order: StartOrder, out: int, err: int) -> Message:
    cwd = "" if order.prefix else str(order.cwd)  # a prefix is there already
    begin = {"cwd": cwd, "umask": order.umask, "env": dict(order.late_env)}
    begin |= {"key": order.key, "inside": order.inside}
    wire.send({**begin, "cores": sorted(os.sched_getaffinity(0))}, [out, err])
    answer, _ = wire.receive(_BEGIN_SECONDS)
    return answer if "connection" in answer else {}


# ── one connection for each process ─────────────────────────────────────────

_open: dict[Path, KernelServer] = {}
_lock = threading.Lock()


def _forget_in_fork() -> None:
    """A fork must not use its parent's connection, nor hold the server by it."""
    global _lock  # noqa: PLW0603 - it may be held by a thread that the fork does not have
    _lock = threading.Lock()
    for server in _open.values():
        server.close()
    _open.clear()


os.register_at_fork(after_in_child=_forget_in_fork)


def connect(place: kernel_place.Place | None = None) -> KernelServer:
    """This process's connection to the server; one is started where none listens.

    Raises:
        NoForkedKernel: it could not be started.
    """
    place = place or kernel_place.here()
    with _lock:
        found = _open.get(place.folder)
        if found is None:
            found = _open[place.folder] = KernelServer(kernel_start.connection(place))
        return found


def connected() -> KernelServer | None:
    """The server that runs already, if one does. Starts none."""
    place = kernel_place.here()
    with _lock:
        found = _open.get(place.folder)
        sock = place.connect() if found is None else None
        if sock is not None:
            found = _open[place.folder] = KernelServer(sock)
        return found


def disconnect() -> None:
    """Close this process's connections: servers may end when nobody else has one."""
    with _lock:
        for server in _open.values():
            server.close()
        _open.clear()


def lend(
    order: StartOrder, out: int, err: int, place: kernel_place.Place | None = None
) -> Lent:
    """`KernelServer.start` on this process's connection, again where the server just left.

    Args:
        place: Of the server that alone can do it; otherwise that of new kernels.

    Raises:
        NoForkedKernel: it must be a cold one; why.
    """
    try:
        return connect(place).start(order, out, err)
    except ServerGone:
        if place is not None:
            raise
        disconnect()
        return connect().start(order, out, err)
