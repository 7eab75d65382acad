"""Where a kernel server lives: its private folder, its socket, the lock of its starters.

Both sides use it. Whoever starts a server, and a server that leaves, hold the starters'
lock: so there is one server at a time, and nobody waits for one that is leaving.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import resource
import shutil
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cached_property, lru_cache
from pathlib import Path
from time import monotonic
from typing import Final

import mlflowkit
from mlflowkit.nbrun import private

_SOCKET: Final = "server"
_BACKLOG: Final = 128
_MOST_LIMITS: Final = 16
#: Code that is being worked on is looked at this often.
_SEEN_SECONDS: Final = 2.0
#: Our folders that kernels import from.
_IN_KERNELS: Final = ("nbrun", "nbrun/prefix", "worker", "artifacts", "errors", "core")


class Place:
    """One server's folder. `s…` under this user's private folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._alive = -1
        self._leaving = -1

    @cached_property
    def socket_path(self) -> Path:
        return self.folder / _SOCKET

    @property
    def _starters(self) -> Path:
        return self.folder.with_suffix(".starting")

    # ── the server's side ──

    def enter(self) -> socket.socket:
        """Make the folder, and listen. The starter holds the lock."""
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(mode=0o700)
        self._alive = private.locked(self.folder)
        private.sweep(self.folder.parent)
        listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        temporary = self.folder / "new"
        listening.bind(str(temporary))
        temporary.chmod(0o600)
        listening.listen(_BACKLOG)
        temporary.rename(self.socket_path)  # whoever sees it can connect
        listening.setblocking(False)
        return listening

    def may_leave(self) -> bool:
        """Whether nobody is starting or looking for a server; from then on nobody will."""
        lock = _try_lock(self._starters, wait=False)
        if lock is None:
            return False
        self._leaving = lock
        self.socket_path.unlink(missing_ok=True)
        return True

    def leave(self) -> None:
        """Remove the folder, and those that users left who were killed."""
        shutil.rmtree(self.folder, ignore_errors=True)
        with suppress(OSError):
            private.sweep(self.folder.parent)
        if self._leaving >= 0:
            self._starters.unlink(missing_ok=True)
            os.close(self._leaving)

    # ── the client's side ──

    def connect(self) -> socket.socket | None:
        """A connection, if a server listens."""
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            sock.connect(str(self.socket_path))
        except OSError:
            sock.close()
            return None
        return sock

    @contextmanager
    def starting(self) -> Iterator[None]:
        """One starter at a time."""
        lock = _try_lock(self._starters, wait=True)
        assert lock is not None
        try:
            yield
        finally:
            self._starters.unlink(
                missing_ok=True
            )  # who waits for it sees that, and tries again
            os.close(lock)


def _try_lock(path: Path, *, wait: bool) -> int | None:
    while True:
        fd = os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            os.close(fd)
            return None
        with suppress(OSError):
            if os.path.samestat(os.fstat(fd), path.stat()):
                return fd
        os.close(fd)  # somebody removed it meanwhile


def here() -> Place:
    """The place of the server for this interpreter as it is installed now, and for what
    its kernels would inherit from this process."""
    words = [sys.executable, sys.prefix, mlflowkit.__file__, *_installed(), *_inherited()]
    digest = hashlib.sha256("\0".join(words).encode()).hexdigest()[:12]
    return Place(private.parent() / f"s{digest}")


def _installed() -> Iterator[str]:
    """What is installed, and the state of our own code where that is a working tree."""
    import sysconfig

    for name in ("purelib", "platlib"):
        folder = Path(sysconfig.get_path(name))
        with suppress(OSError):
            yield f"{folder} {folder.stat().st_mtime_ns}"
    ours = Path(mlflowkit.__file__).parent
    if not ours.is_relative_to(sysconfig.get_path("purelib")):
        yield _working_tree(ours, int(monotonic() / _SEEN_SECONDS))


def _inherited() -> Iterator[str]:
    """What a process gives to those that it starts, and a stranger's fork would not have:
    its priority, its limits, its control group."""
    yield f"{os.getpriority(os.PRIO_PROCESS, 0)}"
    for limit in range(_MOST_LIMITS):
        with suppress(ValueError):  # this system has fewer
            yield f"{limit} {resource.getrlimit(limit)}"
    for name in ("cgroup", "oom_score_adj"):
        with suppress(OSError):
            yield Path("/proc/self", name).read_text()


@lru_cache(maxsize=1)
def _working_tree(ours: Path, _: int) -> str:
    """The state of our own code, looked at anew after a while."""
    found: list[str] = []
    for folder in (ours, *(ours / name for name in _IN_KERNELS)):
        with suppress(OSError):
            times = [e.stat().st_mtime_ns for e in os.scandir(folder)]
            found.append(f"{folder} {max(times)} {len(times)}")
    return " ".join(found)
