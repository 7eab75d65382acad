"""The two channels a cell needs, shell and iopub, read as fast as a kernel talks.

Messages are taken from the kernel client's own sockets in callbacks of the loop: no task
and no future for a message, dates stay text. A burst is read in slices, so that deadlines
are kept while a kernel floods. Sends and reads; knows nothing of cells.
"""

from __future__ import annotations

import asyncio
import hmac
import json
from collections.abc import Callable
from time import monotonic
from typing import TYPE_CHECKING, Any, Final

import msgspec

if TYPE_CHECKING:
    import zmq

    from mlflowkit.nbrun.kernels import KernelHandle

#: Longest that a burst is read before others get their turn.
_SLICE_SECONDS: Final = 0.02
#: How often a socket is looked at though nothing was signalled: ZMQ signals edges, and a
#: send may take one away.
_LOOK_SECONDS: Final = 0.05
#: Messages that may wait here to be read; more wait in the kernel.
_AHEAD: Final = 100
_DELIMITER: Final = b"<IDS|MSG>"

Message = dict[str, Any]
Hear = Callable[[Message], None]


class Wire:
    """Of one kernel. Made in the loop that reads; `close` before the kernel's channels.

    Args:
        kernel: It has answered once already.
        on_shell: Gets every reply.
        on_iopub: Gets every output and status.

    Attributes:
        reading: Ends only with what one of these raised; nothing is read after it.
        heard_at: When a message was last taken in, by the monotonic clock.
    """

    def __init__(self, kernel: KernelHandle, on_shell: Hear, on_iopub: Hear) -> None:
        import zmq

        self._session = kernel.client.session
        self._shell: zmq.Socket[bytes] = zmq.Socket.shadow(
            kernel.client.shell_channel.socket.underlying
        )
        self._iopub: zmq.Socket[bytes] = zmq.Socket.shadow(
            kernel.client.iopub_channel.socket.underlying
        )
        self._iopub.setsockopt(zmq.RCVHWM, _AHEAD)
        self._hearers = ((self._iopub, on_iopub), (self._shell, on_shell))
        self._loop, self._signalled = asyncio.get_running_loop(), asyncio.Event()
        self._fds = [int(socket.FD) for socket, _ in self._hearers]
        for fd in self._fds:
            self._loop.add_reader(fd, self._signalled.set)
        self.heard_at = monotonic()
        self._look()
        self.reading = asyncio.create_task(self._read())

    def send(self, msg_type: str, content: Message) -> str:
        """Send a request on the shell channel. Returns its id."""
        message = self._session.send(self._shell, msg_type, content)
        self._signalled.set()
        return str(message["header"]["msg_id"])

    async def close(self) -> None:
        """Read no more. Twice is once."""
        self._timer.cancel()
        for fd in self._fds:
            self._loop.remove_reader(fd)
        self._fds = []
        self.reading.cancel()
        await asyncio.wait([self.reading])

    def _look(self) -> None:
        self._signalled.set()
        self._timer = self._loop.call_later(_LOOK_SECONDS, self._look)

    async def _read(self) -> None:
        """Take in what is there; what is there after a while comes in another turn."""
        while True:
            self._signalled.clear()
            until = monotonic() + _SLICE_SECONDS
            more = [self._drain(socket, hear, until) for socket, hear in self._hearers]
            if any(more):
                await asyncio.sleep(0)
            else:
                await self._signalled.wait()

    def _drain(self, socket: zmq.Socket[bytes], hear: Hear, until: float) -> bool:
        """Returns whether there may be more."""
        import zmq

        while True:
            try:
                frames = socket.recv_multipart(zmq.NOBLOCK)
            except zmq.Again:
                return False
            message = self._message(frames)
            if message is not None:
                self.heard_at = monotonic()
                hear(message)
            if monotonic() > until:
                return True

    def _message(self, frames: list[bytes]) -> Message | None:
        """A message, or None if it is not signed with the kernel's key."""
        start = frames.index(_DELIMITER) + 1
        signature, *parts = frames[start : start + 5]
        key = self._session.auth
        if key is not None and not hmac.compare_digest(
            self._session.sign(parts), signature
        ):
            return None
        header, parent, metadata, content = map(_decode, parts)
        return {
            "header": header,
            "msg_id": header.get("msg_id"),
            "msg_type": header.get("msg_type"),
            "parent_header": parent,
            "metadata": metadata,
            "content": content,
            "buffers": [memoryview(frame) for frame in frames[start + 5 :]],
        }


def _decode(part: bytes) -> Any:
    try:
        return msgspec.json.decode(part)
    except (msgspec.DecodeError, UnicodeDecodeError):
        # NaN, a half of a surrogate pair, or a file's name that is no text
        found = json.loads(part.decode(errors="replace"))
        return json.loads(json.dumps(found, ensure_ascii=False).encode(errors="replace"))
