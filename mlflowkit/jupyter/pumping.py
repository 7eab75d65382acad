"""Clicks are heard while a cell waits for a run: widget messages are taken in between.

A front end with subshells (JupyterLab 4.4 and newer) needs none of it: its messages come in
another thread. For others, the messages that came to the busy kernel are looked through; those
of widgets are handled, all others wait for their turn, in their order.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final, TypeVar

T = TypeVar("T")
STEP: Final = 0.05
_COMMS: Final = frozenset({"comm_msg", "comm_close"})
#: What the comms of our views bear.
OURS: Final = "_mlflowkit_view"


def kernel_here() -> Any:
    """The kernel whose cell runs in this thread; else None."""
    import sys

    if threading.current_thread() is not threading.main_thread():
        return None
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return getattr(shell, "kernel", None)


def waited(work: Callable[[], T]) -> T:
    """What `work` gives; meanwhile widgets are listened to, if this is a kernel's cell.

    An interrupt ends the waiting, not `work`, which goes on in its thread until it is done.
    """
    kernel = kernel_here()
    if kernel is None:
        return work()
    inbox = Inbox(kernel)
    found: list[T] = []
    failed: list[BaseException] = []
    ended = threading.Event()

    def doing() -> None:
        try:
            found.append(work())
        except BaseException as exc:  # noqa: BLE001 - raised where it is waited for
            failed.append(exc)
        finally:
            ended.set()

    threading.Thread(target=doing, name="mlflowkit-wait", daemon=True).start()
    try:
        while not ended.wait(STEP):
            inbox.take()
    finally:
        inbox.give_back()
    if failed:
        raise failed[0]
    return found[0]


@contextmanager
def napping() -> Iterator[Callable[[float], None]]:
    """A `sleep(seconds)` that listens to widgets, if this is a kernel's cell."""
    kernel = kernel_here()
    if kernel is None:
        yield time.sleep
        return
    inbox = Inbox(kernel)

    def nap(seconds: float) -> None:
        ends = time.monotonic() + seconds
        while True:
            inbox.take()
            left = ends - time.monotonic()
            if left <= 0:
                return
            time.sleep(min(left, STEP))

    try:
        yield nap
    finally:
        inbox.give_back()


class Inbox:
    """Messages that come to the main shell of a kernel while one of its cells runs."""

    def __init__(self, kernel: Any) -> None:
        self._kernel = kernel
        self._stream = _stream(kernel)
        self._kept: list[Any] = []

    def take(self) -> None:
        """Handle what came for widgets; keep the rest."""
        import zmq

        while self._stream is not None:
            try:
                frames = self._stream.socket.recv_multipart(zmq.NOBLOCK, copy=False)
            except zmq.ZMQError:
                return
            if not self._handled(frames):
                self._kept.append(frames)

    def _handled(self, frames: Any) -> bool:
        """Whether it was for a view of ours: other widgets run code of a person, who does
        not expect it in the middle of a cell."""
        kernel = self._kernel
        if len(frames) < 2:
            return False
        idents, rest = kernel.session.feed_identities(frames, copy=False)
        seen = kernel.session.deserialize(rest, content=False, copy=False)
        kind = seen["header"]["msg_type"]
        if kind not in _COMMS or not self._ours(seen["content"]):
            return False
        message = kernel.session.deserialize(rest, content=True, copy=False)
        getattr(kernel.comm_manager, kind)(self._stream, idents, message)
        return True

    def _ours(self, content: bytes) -> bool:
        comm_id = self._kernel.session.unpack(content).get("comm_id")
        return OURS in vars(self._kernel.comm_manager.get_comm(comm_id) or object)

    def give_back(self) -> None:
        """What was kept is handled when the cell has ended, before what comes later."""
        if not self._kept:
            return
        kept, self._kept = self._kept, []
        handle = self._stream._recv_callback
        for frames in kept:
            self._stream.io_loop.add_callback(handle, frames)
        self._stream.io_loop.add_callback(self._stream.flush)


def _stream(kernel: Any) -> Any:
    """The stream of the main shell: of ipykernel 7, or of 6."""
    thread = getattr(kernel, "shell_channel_thread", None)
    if thread is None:
        return getattr(kernel, "shell_stream", None)
    return thread.manager.get_shell_channel_to_subshell_pair(None).to_stream
