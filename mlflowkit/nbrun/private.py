"""A private folder for one kernel: its sockets, its connection file, its inputs.

Short, because a Unix socket's path has at most 107 bytes; 0700, because whoever can write
to the sockets can run code. A folder whose owner died is swept by the next one that is
made: its lock can be had.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Final, Self

#: Longest folder path that leaves room for socket names.
_ROOM: Final = 60
#: A folder younger than this may not have its lock yet.
_NEWBORN_S: Final = 60.0


class PrivateFolder:
    """Made on entering, removed with all it holds on leaving."""

    path: Path

    def __enter__(self) -> Self:
        folder = parent()
        sweep(folder)
        self.path = Path(tempfile.mkdtemp(prefix="k", dir=folder))
        self._lock = locked(self.path)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        shutil.rmtree(self.path, ignore_errors=True)
        os.close(self._lock)


def locked(folder: Path) -> int:
    """A descriptor of the folder's lock, which is held from the moment it is to be seen."""
    unseen = folder / "locking"
    lock = os.open(unseen, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    fcntl.flock(lock, fcntl.LOCK_EX)
    unseen.rename(folder / "lock")
    return lock


def parent() -> Path:
    """A folder of this user alone, with a short path."""
    base = Path(tempfile.gettempdir())
    if len(os.fsencode(base)) > _ROOM:
        base = Path("/tmp")
    found = base / f"mlflowkit-{os.getuid()}"
    with suppress(FileExistsError):
        found.mkdir(mode=0o700)
    info = found.lstat()
    if info.st_uid != os.getuid() or info.st_mode & 0o077 or found.is_symlink():
        return Path(tempfile.mkdtemp(prefix="mk-", dir=base))  # somebody else's: keep away
    return found


def sweep(folder: Path) -> None:
    """Remove the folders of processes that died."""
    for each in folder.iterdir():
        with suppress(OSError):
            _remove_if_dead(each)


def _remove_if_dead(folder: Path) -> None:
    if time.time() - folder.stat().st_mtime < _NEWBORN_S and not (folder / "lock").exists():
        return
    lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # BlockingIOError: it is alive
        shutil.rmtree(folder, ignore_errors=True)
    finally:
        os.close(lock)
