"""The supervisor's end of the engine's socket."""

from __future__ import annotations

import socket
import time

from mlflowkit.worker.protocol import Frames, Message, Started, decode, encode

HOLD_SECONDS = 0.004
READ_BYTES = 262_144


class EngineEnd:
    """Whole messages, in their order; a `Started` may wait a moment for what comes after it."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self._frames = Frames()
        self._held = b""
        #: When what is held is sent at the latest, on the monotonic clock.
        self.held_until: float | None = None

    def read(self) -> list[Message] | None:
        """What the engine has said; None when it is gone."""
        try:
            data = self.sock.recv(READ_BYTES)
        except ConnectionResetError:
            return None
        return [decode(frame) for frame in self._frames.feed(data)] if data else None

    def tell(self, message: Message) -> None:
        """Send it now, after what was held."""
        self._send(encode(message))

    def hold(self, message: Started) -> None:
        """Send it in a moment: if the attempt ends meanwhile, both go in one piece."""
        self._held += encode(message)
        self.held_until = time.monotonic() + HOLD_SECONDS

    def say_held(self) -> None:
        if self.held_until is not None and time.monotonic() >= self.held_until:
            self._send(b"")

    def _send(self, data: bytes) -> None:
        held, self._held, self.held_until = self._held, b"", None
        self.sock.sendall(held + data)
