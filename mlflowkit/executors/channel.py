"""The engine's end of a worker's stream: never blocks, whatever the other side does."""

from __future__ import annotations

import socket
from collections.abc import Callable

from mlflowkit.ports import Loop
from mlflowkit.worker.protocol import Frames, Message, decode, encode


class EngineChannel:
    """Reads frames as they come; keeps what cannot be written yet."""

    def __init__(
        self,
        loop: Loop,
        sock: socket.socket,
        hear: Callable[[Message], None],
        gone: Callable[[], None],
    ) -> None:
        sock.setblocking(False)
        self._loop, self._sock, self._hear, self._gone = loop, sock, hear, gone
        self._frames = Frames()
        self._unsent = bytearray()
        self._open = True
        loop.add_reader(sock.fileno(), self._read)

    def send(self, message: Message) -> None:
        """Say it, together with what else is said in this round of the loop. Nothing happens
        when the other side is gone."""
        if not self._open:
            return
        if not self._unsent:
            self._loop.call_soon(self._write)
        self._unsent += encode(message)

    def send_with_file(self, message: Message, fd: int) -> None:
        """Say it and hand over a file. Small, and the other side always reads: it may wait."""
        self._sock.setblocking(True)
        try:
            if self._unsent:
                self._sock.sendall(self._unsent)
                self._unsent.clear()
            socket.send_fds(self._sock, [encode(message)], [fd])
        except OSError:
            return  # gone: the next read says so
        finally:
            self._sock.setblocking(False)

    def close(self) -> None:
        if self._open:
            self._write()
            self._open = False
            self._loop.remove_reader(self._sock.fileno())
            self._loop.remove_writer(self._sock.fileno())
            self._sock.close()

    def _write(self) -> None:
        if not self._open:
            return
        try:
            while self._unsent:
                sent = self._sock.send(self._unsent)
                del self._unsent[:sent]
        except BlockingIOError:
            self._loop.add_writer(self._sock.fileno(), self._write)
            return
        except OSError:
            return  # gone: the next read says so
        self._loop.remove_writer(self._sock.fileno())

    def read_rest(self) -> None:
        """Hear what the other side had said before it was gone."""
        while self._open and self._heard():
            pass

    def _read(self) -> None:
        self._heard()

    def _heard(self) -> bool:
        """Whether there was something to hear."""
        try:
            data = self._sock.recv(1 << 20)
        except BlockingIOError:
            return False
        except OSError:
            data = b""
        if not data:
            self.close()
            self._gone()
            return False
        for frame in self._frames.feed(data):
            self._hear(decode(frame))
        return True
