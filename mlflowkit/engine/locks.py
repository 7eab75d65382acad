"""One home, one engine; and knowing that everything an earlier one started is dead."""

from __future__ import annotations

import fcntl
import os
import shutil
import time
from pathlib import Path

from mlflowkit.errors import HomeBusy
from mlflowkit.worker import processes

WAIT_SECONDS = 15.0


class HomeLock:
    """Held as long as this engine lives; the kernel lets it go however it dies."""

    def __init__(self, home: Path) -> None:
        self._path = home / "engine.lock"
        self._fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            while not self._taken():
                time.sleep(0.001)
        except BlockingIOError:
            pid = int(os.pread(self._fd, 20, 0) or b"0")
            os.close(self._fd)
            raise HomeBusy(home, pid) from None
        os.ftruncate(self._fd, 0)
        os.pwrite(self._fd, str(os.getpid()).encode(), 0)

    def _taken(self) -> bool:
        """Raises BlockingIOError if an engine has it; False if somebody only looks."""
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            fcntl.flock(self._fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
            fcntl.flock(self._fd, fcntl.LOCK_UN)
            return False
        return True

    def holds(self) -> bool:
        """Whether the home is still there: it may have been deleted under a living engine."""
        try:
            return os.stat(self._path).st_ino == os.fstat(self._fd).st_ino
        except OSError:
            return False

    def release(self) -> None:
        os.close(self._fd)


def engine_alive(home: Path) -> bool:
    """Whether an engine works in this home now."""
    path = home / "engine.lock"
    if not path.exists():
        return False
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(fd)
    return False


def engine_folder(home: Path, engine_id: str) -> Path:
    """Where an engine keeps what is its own, with a lock that says that it lives."""
    folder = home / "engines" / engine_id
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def bury_earlier_engines(home: Path, engine_id: str) -> None:
    """Wait until all that earlier engines of this home started is dead, and clear their folders.

    Supervisors end what is below them when their engine goes. What escaped even
    that (everything was killed at one stroke) is found by the mark in its environment.
    """
    for folder in (home / "engines").glob("*"):
        if folder.name != engine_id:
            _bury(folder)


def _bury(folder: Path) -> None:
    deadline = time.monotonic() + WAIT_SECONDS
    lock = folder / "alive.lock"
    while lock.exists() and not processes.nobody_holds(lock):
        if time.monotonic() > deadline:
            processes.kill_marked(folder.name)
            deadline = time.monotonic() + WAIT_SECONDS
        time.sleep(0.01)
    processes.kill_marked(folder.name)
    shutil.rmtree(folder, ignore_errors=True)
