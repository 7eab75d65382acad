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
import sys
import threading
from contextlib import suppress
from types import ModuleType
from typing import Any, Final

from mlflowkit.nbrun import kernel_pages
from mlflowkit.nbrun.preload import installed_in
from mlflowkit.worker import processes

#: Known before the fork: an end is waited for.
_LIBRARIES: Final = tuple(
    f"{folder}{os.sep}" for folder in (os.path.dirname(os.__file__), *installed_in())
)


class Serving:
    """A kernel's main loop and what comes after it. Used once, in the kernel's process.

    Args:
        app: Set up, not started.
        bell: Rung by the keeper when it is to end in an orderly way.
        folder: Of the kernel's own sockets.
    """

    def __init__(self, app: Any, bell: socket.socket, folder: str) -> None:
        self._app, self._bell, self._folder = app, bell, folder
        self._pid, self._modules = os.getpid(), set(sys.modules)
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
        self._let_go_of_modules()
        for found in gc.get_objects():  # only what was made after the fork
            if isinstance(found, io.TextIOWrapper | io.BufferedWriter | io.BufferedRandom):
                with suppress(OSError, ValueError):
                    found.flush()
        processes.flush()

    def _let_go_of_modules(self) -> None:
        """Those of the person, as an interpreter does: a compressed file is whole when closed."""
        found = [sys.modules[name] for name in set(sys.modules) - self._modules]
        with suppress(Exception):
            own = [module for module in found if _is_a_persons(module)]
            for module in own:
                vars(module).clear()
            if own:
                gc.collect()

    # ── what is left at the end ──

    def _note_what_is_its_own(self) -> None:
        self._tasks, self._files = set(os.listdir("/proc/self/task")), _open_files()

    def _has_only_memory_left(self) -> bool:
        """No thread of a cell that could still do something, no file or socket of one."""
        try:
            tasks, files = set(os.listdir("/proc/self/task")), _open_files()
        except OSError:
            return False  # a cell has used up all that may be opened
        if self._tasks is None or not self._tasks.issuperset(tasks):
            return False
        return all(self._is_own(fd, what) for fd, what in files - self._files)

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


def _is_a_persons(module: object) -> bool:
    """Made by a cell, or read from a file that is neither Python's own nor installed."""
    file = getattr(module, "__file__", None)
    if not isinstance(file, str):
        return isinstance(module, ModuleType) and module.__spec__ is None
    return not file.startswith(_LIBRARIES)


def _open_files() -> set[tuple[int, str]]:
    """Each descriptor, and what it stands for."""
    found = set()
    for fd in os.listdir("/proc/self/fd"):
        with suppress(FileNotFoundError):  # the listing's own
            found.add((int(fd), os.readlink(f"/proc/self/fd/{fd}")))
    return found
