"""How a forked kernel ends: as an interpreter does, without taking itself apart.

What a person can see of an end comes first: threads are waited for, exit handlers run,
files are written. Then only memory is given back, which takes the system longer than all
the rest; where nothing else is left, the keeper is told before that.
"""

from __future__ import annotations

import atexit
import gc
import io
import os
import resource
import socket
import threading
from contextlib import suppress
from typing import Any

from mlflowkit.nbrun import kernel_pages
from mlflowkit.worker import processes


class Serving:
    """A kernel's main loop and what comes after it. Used once, in the kernel's process.

    Args:
        app: Set up, not started.
        bell: Rung by the keeper when it is to end in an orderly way.
        folder: Of the kernel's own sockets.
    """

    def __init__(self, app: Any, bell: socket.socket, folder: str) -> None:
        self._app, self._bell, self._folder = app, bell, folder
        self._pid = os.getpid()
        self._tasks: set[str] | None = None
        self._files: set[tuple[int, str]] = set()

    def run(self) -> int:
        """Serve cells to the end. Returns the exit status."""
        from tornado.ioloop import IOLoop

        loop = IOLoop.current()
        loop.add_callback(self._note_what_is_its_own)
        self._end_when_it_rings(loop)
        status = 0
        try:
            self._app.start()
        except SystemExit as exc:
            status = exc.code if isinstance(exc.code, int) else int(exc.code is not None)
        finally:
            if os.getpid() == self._pid:
                self._last_wishes()
        if os.getpid() == self._pid:
            if self._has_only_memory_left():
                self._tell(status)
            kernel_pages.note()
        return status

    def _end_when_it_rings(self, main_loop: Any) -> None:
        """Leave the main loop then, as a shutdown request would have it."""
        app, loop = self._app, self._app.kernel.control_thread.io_loop

        def leave(*_: object) -> None:
            loop.remove_handler(self._bell.fileno())
            for takes_down in (app.close, app.iopub_thread.stop):
                atexit.unregister(takes_down)  # nobody listens any more
            main_loop.add_callback(main_loop.stop)

        loop.add_callback(lambda: loop.add_handler(self._bell.fileno(), leave, loop.READ))

    def _last_wishes(self) -> None:
        threading._shutdown()  # type: ignore[attr-defined]  # waits for threads that are no daemons
        atexit._run_exitfuncs()
        self._app.reset_io()
        with suppress(Exception):  # a person's `__del__` may raise anything
            self._app.shell.user_ns.clear()
            gc.collect()
        for found in gc.get_objects():  # only what was made after the fork
            if isinstance(found, io.TextIOWrapper | io.BufferedWriter | io.BufferedRandom):
                with suppress(OSError, ValueError):
                    found.flush()
        processes.flush()

    # ── what is left at the end ──

    def _note_what_is_its_own(self) -> None:
        self._tasks, self._files = set(os.listdir("/proc/self/task")), _open_files()

    def _has_only_memory_left(self) -> bool:
        """No thread of a cell that could still do something, no file or socket of one."""
        if self._tasks is None or not self._tasks.issuperset(os.listdir("/proc/self/task")):
            return False
        return all(self._is_own(fd, what) for fd, what in _open_files() - self._files)

    def _is_own(self, fd: int, what: str) -> bool:
        """Whether a file that is new belongs to the kernel's channels."""
        if not what.startswith("socket:"):
            return what == "anon_inode:[eventfd]"
        with suppress(OSError), socket.socket(fileno=os.dup(fd)) as found:
            return str(found.getsockname()).startswith(self._folder)
        return False

    def _tell(self, status: int) -> None:
        used = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
        peak = max(resource.getrusage(who).ru_maxrss for who in used) * 1024
        with suppress(OSError):
            self._bell.send(f"{status} {peak}".encode())


def _open_files() -> set[tuple[int, str]]:
    """Each descriptor, and what it stands for."""
    found = set()
    for fd in os.listdir("/proc/self/fd"):
        with suppress(FileNotFoundError):  # the listing's own
            found.add((int(fd), os.readlink(f"/proc/self/fd/{fd}")))
    return found
