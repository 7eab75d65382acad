"""What clients may ask of the engine: one JSON object a line, over a Unix socket in the home.

    {"do": "submit", …} → {"ok": {"run_id": "train/3"}}        errors: {"error": …, "code": …}

The socket lies in the home, which only its owner may enter. A path too long for a
socket gets one in a private folder of the system's temporary folder; the file
`engine.sock.path` in the home says where.
"""

from __future__ import annotations

import logging
import os
import socket
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from mlflowkit.errors import MlflowkitError
from mlflowkit.ports import Loop

log = logging.getLogger("mlflowkit.engine")
#: Bytes that a socket's path may have on Linux, the closing zero left out.
MAX_SOCKET_PATH = 107
ACCEPT_AGAIN_SECONDS = 0.2
MAX_LINE_BYTES = 64 * 1024 * 1024

#: Takes a command and a function to answer with, now or later.
Handler = Callable[[dict[str, Any], Callable[[Any], None]], None]


def socket_path(home: Path) -> Path:
    """Where the engine of this home listens, or will."""
    path = home / "engine.sock"
    if len(os.fsencode(path)) <= MAX_SOCKET_PATH:
        return path
    pointer = home / "engine.sock.path"
    if pointer.exists():
        known = Path(pointer.read_text())
        if known.parent.is_dir() and known.parent.stat().st_uid == os.getuid():
            return known
        pointer.unlink()  # the temporary folder was swept; nobody else's is taken for it
    folder = Path(tempfile.mkdtemp(prefix="mlflowkit-"))
    draft = pointer.with_name(f"{pointer.name}.{folder.name}")
    draft.write_text(str(folder / "engine.sock"))
    try:
        os.link(draft, pointer)  # whole or not at all: the first of several processes wins
    except FileExistsError:
        folder.rmdir()
    finally:
        draft.unlink()
    return Path(pointer.read_text())


class CommandServer:
    """Listens, and answers each line with a line."""

    def __init__(self, loop: Loop, home: Path, handle: Handler) -> None:
        self._loop, self._handle = loop, handle
        self._path = socket_path(home)
        self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._path.unlink(missing_ok=True)
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(self._path))
        os.chmod(self._path, 0o600)
        self._inode = self._path.stat().st_ino
        self._listener.listen(64)
        self._listener.setblocking(False)
        self.clients: set[_Client] = set()
        loop.add_reader(self._listener.fileno(), self._accept)

    def close(self) -> None:
        self._loop.remove_reader(self._listener.fileno())
        self._listener.close()
        if self._path.exists() and self._path.stat().st_ino == self._inode:
            self._path.unlink()  # else another engine listens there now
        for client in list(self.clients):
            client.close()

    def _accept(self) -> None:
        try:
            sock, _ = self._listener.accept()
        except BlockingIOError:
            return
        except OSError as exc:  # no more files: whoever waits is let in later
            log.warning("a client has to wait: %s", exc, extra={"action": "accept_failed"})
            self._loop.remove_reader(self._listener.fileno())
            self._loop.call_later(ACCEPT_AGAIN_SECONDS, self._listen_again)
            return
        self.clients.add(_Client(self._loop, sock, self._handle, self.clients))

    def _listen_again(self) -> None:
        if self._listener.fileno() >= 0:
            self._loop.add_reader(self._listener.fileno(), self._accept)


class _Client:
    """One connection."""

    def __init__(
        self, loop: Loop, sock: socket.socket, handle: Handler, clients: set[_Client]
    ) -> None:
        sock.setblocking(False)
        self._loop, self._sock, self._handle, self._clients = (
            loop,
            sock,
            handle,
            clients,
        )
        self._buffer = bytearray()
        self._unsent = bytearray()
        self._open = True
        loop.add_reader(sock.fileno(), self._read)

    def close(self) -> None:
        if not self._open:
            return
        self._open = False
        self._clients.discard(self)
        self._loop.remove_reader(self._sock.fileno())
        self._loop.remove_writer(self._sock.fileno())
        self._sock.close()

    def _read(self) -> None:
        try:
            data = self._sock.recv(1 << 20)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        self._buffer += data
        if not data or len(self._buffer) > MAX_LINE_BYTES:
            self.close()
            return
        while (end := self._buffer.find(b"\n")) >= 0:
            line = bytes(self._buffer[:end])
            del self._buffer[: end + 1]
            self._do(line)

    def _do(self, line: bytes) -> None:
        try:
            command = msgspec.json.decode(line, type=dict[str, Any])
            self._handle(command, lambda body: self._answer({"ok": body}))
        except MlflowkitError as exc:
            self._answer({"error": str(exc), "code": exc.code})
        except (
            msgspec.DecodeError,
            TypeError,
            KeyError,
            ValueError,
            ArithmeticError,
        ) as exc:
            log.exception("a command was not understood", extra={"action": "bad_command"})
            error = (
                f"the engine does not understand this ({exc}). If mlflowkit was changed or "
                "upgraded since it started: `mlflowkit engine stop`, and try again."
            )
            self._answer({"error": error, "code": "bad_command"})

    def _answer(self, body: dict[str, Any]) -> None:
        if self._open:
            self._unsent += msgspec.json.encode(body) + b"\n"
            self._write()

    def _write(self) -> None:
        try:
            while self._unsent:
                sent = self._sock.send(self._unsent)
                del self._unsent[:sent]
        except BlockingIOError:
            self._loop.add_writer(self._sock.fileno(), self._write)
            return
        except OSError:
            self.close()
            return
        self._loop.remove_writer(self._sock.fileno())
