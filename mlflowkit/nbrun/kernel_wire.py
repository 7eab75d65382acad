"""Messages with open files between kernel server, templates, keepers and clients.

One Unix stream socket on each side. A frame is 4 bytes of length, 1 byte that counts the
descriptors which ride on it, and a JSON object. Received descriptors are never inherited.
"""

from __future__ import annotations

import json
import select
import socket
import struct
from collections import deque
from collections.abc import Iterator, Sequence
from time import monotonic
from typing import Any, Final

_HEAD: Final = struct.Struct(">IB")
_CHUNK: Final = 262_144
_MOST_FILES: Final = 16
#: No message is larger: an environment is the largest thing that travels.
_LARGEST: Final = 16 * 2**20

Message = dict[str, Any]
Received = tuple[Message, list[int]]


class WireClosed(EOFError):
    """The other side is gone."""


class Wire:
    """One end of a connection."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self._buffer = bytearray()
        self._files: list[int] = []
        self._waiting: deque[Received] = deque()

    def fileno(self) -> int:
        return self.sock.fileno()

    def send(self, message: Message, files: Sequence[int] = ()) -> None:
        """Send all of it. Raises OSError when the other side is gone."""
        body = json.dumps(message).encode()
        data = _HEAD.pack(len(body), len(files)) + body
        sent = socket.send_fds(self.sock, [data], list(files)) if files else 0
        if sent < len(data):  # sending nothing to one who has closed would fail
            self.sock.sendall(data[sent:])

    def receive(self, seconds: float | None = None) -> Received:
        """The next message and its descriptors.

        Raises:
            WireClosed: the other side is gone.
            TimeoutError: nothing came within `seconds`.
        """
        until = None if seconds is None else monotonic() + seconds
        while not self._waiting:
            left = None if until is None else max(until - monotonic(), 0)
            if not select.select([self.sock], [], [], left)[0]:
                raise TimeoutError
            self._read()
        return self._waiting.popleft()

    def ready(self) -> Iterator[Received]:
        """What has come, when the socket is readable: reads once.

        Raises:
            WireClosed: the other side is gone, and everything it said was given out.
        """
        try:
            self._read()
        finally:
            while self._waiting:
                yield self._waiting.popleft()

    def _read(self) -> None:
        try:
            data, files, _, _ = socket.recv_fds(
                self.sock, _CHUNK, _MOST_FILES, socket.MSG_CMSG_CLOEXEC
            )
        except ConnectionError as exc:
            raise WireClosed from exc
        if not data:
            raise WireClosed
        self._buffer += data
        self._files += files
        self._take_frames()

    def _take_frames(self) -> None:
        while len(self._buffer) >= _HEAD.size:
            length, count = _HEAD.unpack_from(self._buffer)
            if length > _LARGEST:
                raise WireClosed
            end = _HEAD.size + length
            if len(self._buffer) < end:
                return
            message = json.loads(self._buffer[_HEAD.size : end])
            del self._buffer[:end]
            files, self._files = self._files[:count], self._files[count:]
            self._waiting.append((message, files))

    def close(self) -> None:
        self.sock.close()
