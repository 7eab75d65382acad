"""Threads that a task leaves behind: its end waits for them, as the end of a program does.

Only for threads that are no daemons, and never for a thread of a pool that has nothing
to do: that one waits for work for ever.
"""

from __future__ import annotations

import logging
import sys
import threading
import time
from collections.abc import Collection, Iterator

#: After so long, the log says what is waited for.
SAY_AFTER_SECONDS = 2.0
#: Between two looks at whether a pool has become idle.
LOOK_SECONDS = 0.005


def running() -> set[threading.Thread]:
    """The threads that run now."""
    return set(threading.enumerate())


def wait_for_new(before: Collection[threading.Thread], *, for_good: bool) -> None:
    """Wait for the threads that were not there `before`. A KeyboardInterrupt ends the wait.

    Args:
        for_good: No task runs in this process any more: the pools are closed, too.
    """
    if not any(_left(before)):
        return
    say = threading.Timer(SAY_AFTER_SECONDS, _say, [before])
    say.daemon = True
    say.start()
    try:
        if for_good:
            threading._shutdown()  # type: ignore[attr-defined]  # as the interpreter ends
        else:
            _wait(before)
    finally:
        say.cancel()


def _left(before: Collection[threading.Thread]) -> Iterator[threading.Thread]:
    for thread in threading.enumerate():
        if not thread.daemon and thread not in before:
            yield thread


def _wait(before: Collection[threading.Thread]) -> None:
    pools = _pools()
    for thread in _left(before):
        if thread not in pools:
            thread.join()
    idle = 0
    while idle < 2 and (workers := set(_left(before)) & set(_pools())):
        # twice: one may just have taken its next piece of work
        idle = 0 if any(map(_busy, workers)) else idle + 1
        time.sleep(LOOK_SECONDS)


def _pools() -> dict[threading.Thread, object]:
    """The threads of all `ThreadPoolExecutor`s, with the queue of their work."""
    module = sys.modules.get("concurrent.futures.thread")
    return dict(getattr(module, "_threads_queues", {}))


def _busy(thread: threading.Thread) -> bool:
    """Whether it does something other than wait for work."""
    queue = _pools().get(thread)
    frame = sys._current_frames().get(thread.ident or 0)
    if queue is None or frame is None:
        return False
    if not getattr(queue, "empty", lambda: True)():
        return True
    where = (frame.f_globals.get("__name__"), frame.f_code.co_name)
    return where != ("concurrent.futures.thread", "_worker")


def _say(before: Collection[threading.Thread]) -> None:
    names = ", ".join(sorted(thread.name for thread in _left(before)))
    logging.getLogger("mlflowkit.task").info(
        "the task's function has returned; waiting for the threads it has started: %s",
        names,
    )
