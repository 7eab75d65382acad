"""Whether a process may be forked with what cells have made in it, and each fork go on.

Runs in a prefix process: looked at before the first cell and after the last one.
"""

from __future__ import annotations

import os
import signal
import sys
import weakref
from pathlib import Path
from typing import Any, Final

from mlflowkit.nbrun import import_ahead
from mlflowkit.worker import processes

_HARMLESS: Final = frozenset({"/dev/null", "/dev/urandom", "/dev/zero"})
#: Their OpenMP threads do not survive a fork.
_THREADED: Final = ("gomp", "iomp", "libomp")


class Before:
    """What was there before the first cell."""

    def __init__(self) -> None:
        self._files = _open_files()
        self._handlers = _handlers()
        self._written = _written()
        self._temporary = _temporary()

    def why_unsafe(self) -> str:
        """What cells made that a fork cannot have; empty if nothing."""
        if processes.children(os.getpid()):
            return "it left a process running"
        return (
            import_ahead._threads()
            or import_ahead._cuda()
            or _native_threads()
            or self._files_left()
            or self._changed()
        )

    def _files_left(self) -> str:
        for fd, target in _open_files().items():
            if self._files.get(fd) != target and target not in _HARMLESS:
                kind = "socket" if target.startswith("socket:") else "file"
                return f"it left a {kind} open ({target})"
        return ""

    def _changed(self) -> str:
        if _handlers() != self._handlers:
            return "it set a signal handler"
        if _written() != self._written:
            return "it wrote to the process's own streams"
        if _temporary() != self._temporary:
            return "it made a temporary folder, which goes with the first that ends"
        return ""


def _open_files() -> dict[int, str]:
    found: dict[int, str] = {}
    for name in os.listdir("/proc/self/fd"):
        try:
            found[int(name)] = os.readlink(f"/proc/self/fd/{name}")
        except OSError:
            continue  # the listing's own
    return found


def _handlers() -> dict[int, Any]:
    return {int(each): signal.getsignal(each) for each in signal.valid_signals()}


def _written() -> tuple[int, int]:
    return os.fstat(1).st_size, os.fstat(2).st_size


def _temporary() -> int:
    """Folders that `tempfile` removes when a process ends."""
    registry: dict[Any, Any] = getattr(weakref.finalize, "_registry", {})
    modules = [getattr(info.func, "__module__", "") for info in registry.values()]
    kept = sys.modules.get("tempfile")
    return modules.count("tempfile") if kept is not None else 0


def _native_threads() -> str:
    """More threads than OpenBLAS alone has, where OpenMP is loaded: its own would hang."""
    paths = {
        line.rpartition("/")[2] for line in Path("/proc/self/maps").read_text().split("\n")
    }
    if not any(word in path for path in paths for word in _THREADED):
        return ""
    said = os.environ.get("OPENBLAS_NUM_THREADS") or os.environ.get("OMP_NUM_THREADS") or ""
    cores = len(os.sched_getaffinity(0))
    each = min(int(said), cores) if said.isdigit() and int(said) else cores
    found = len(os.listdir("/proc/self/task")) - 1
    allowed = sum("openblas" in path for path in paths) * (each - 1)
    return f"it left {found} native threads running" if found > allowed else ""
