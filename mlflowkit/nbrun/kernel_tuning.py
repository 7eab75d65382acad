"""Makes an IPython kernel answer faster, and keeps its output from outrunning who listens.

Runs in the kernel, before its first cell. Changes how and when output travels, never what
it says or in which order; where ipykernel is another than is known here, it stays as it is.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from functools import wraps
from time import monotonic, sleep
from typing import Any, Final

#: Characters that a stream may hold back; then the cell waits until they are on their way.
_HELD_BACK: Final = 64 * 1024
#: Characters that are written at once: each message is held in memory several times.
_LARGEST: Final = 1024 * 1024
#: Messages that may be on their way, on each side.
_ON_THEIR_WAY: Final = 100
#: Nobody listens if nothing moved for this long: then output is lost rather than the cell.
_PATIENCE_SECONDS: Final = 20.0
_DONE: Final = "_mlflowkit_tuned"


def apply() -> None:
    """Tune the kernel that this runs in. Twice is once; without a kernel, nothing happens."""
    ipython = sys.modules.get("IPython")
    shell: Any = ipython.get_ipython() if ipython is not None else None
    kernel = getattr(shell, "kernel", None)
    thread = getattr(kernel, "iopub_thread", None)
    if kernel is None or thread is None or hasattr(kernel, _DONE):
        return
    setattr(kernel, _DONE, True)
    if hasattr(kernel, "_execute_sleep"):
        kernel._execute_sleep = 0  # idle comes after all output by the same channel
    with suppress(AttributeError):
        _wait_for_listeners(thread)
    for stream in (sys.stdout, sys.stderr):
        if _is_known(stream):
            _tune_stream(stream, thread)


def _is_known(stream: Any) -> bool:
    known = ("_flush_pending", "_subprocess_flush_pending", "_buffer_lock", "echo")
    return all(hasattr(stream, name) for name in known) and stream.echo is None


def _tune_stream(stream: Any, thread: Any) -> None:
    """`flush` costs nothing where nothing waits; `write` waits where too much does."""
    flush: Callable[[], None] = stream.flush
    write: Callable[[str], int | None] = stream.write
    pid, held = os.getpid(), [0]

    @wraps(flush)
    def quick_flush() -> None:
        if os.getpid() != pid or stream._flush_pending or stream._subprocess_flush_pending:
            held[0] = 0
            flush()

    @wraps(write)
    def patient_write(text: str) -> int | None:
        if isinstance(text, str) and len(text) > _LARGEST:
            pieces = (text[at : at + _LARGEST] for at in range(0, len(text), _LARGEST))
            return sum(patient_write(piece) or 0 for piece in pieces)
        written = write(text)
        held[0] += len(text)
        if held[0] > _HELD_BACK and threading.current_thread() is not thread.thread:
            quick_flush()
        return written

    stream.flush, stream.write = quick_flush, patient_write


def _wait_for_listeners(thread: Any) -> None:
    """What is put out faster than it is taken waits in the cell, not in memory."""
    import zmq

    schedule, waiting, pid = thread.schedule, thread._events, os.getpid()

    @wraps(schedule)
    def patient_schedule(call: Callable[[], None]) -> None:
        if len(waiting) > _ON_THEIR_WAY and os.getpid() == pid:
            _let_it_move(thread, waiting)
        schedule(call)

    def bound() -> None:
        thread.socket.setsockopt(zmq.SNDHWM, _ON_THEIR_WAY)
        thread.socket.setsockopt(zmq.XPUB_NODROP, 1)
        thread.socket.setsockopt(zmq.SNDTIMEO, int(_PATIENCE_SECONDS * 1000))

    schedule(bound)
    thread.schedule = patient_schedule


def _let_it_move(thread: Any, waiting: Any) -> None:
    if threading.current_thread() is thread.thread:
        return
    until = monotonic() + _PATIENCE_SECONDS
    while len(waiting) > _ON_THEIR_WAY // 2 and monotonic() < until:
        sleep(0.001)
