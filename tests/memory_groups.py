"""Control groups with little memory, where this system lets one make them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from mlflowkit.worker.memory_group import MemoryGroup
from tests.nbrun.kernels import wait_until


@contextmanager
def small_group(size: int) -> Iterator[Callable[[], None] | None]:
    """A group with so many bytes of memory.

    Gives what a new process calls to enter it; None where no group can be made.
    """
    own = MemoryGroup.of(os.getpid()).folders
    folder = (own[0] if own else Path("/none")) / f"mlflowkit-test-{os.getpid()}"
    try:
        folder.mkdir()
        _limit(folder, size)
    except OSError:
        with suppress(OSError):
            folder.rmdir()
        yield None
        return
    try:
        yield lambda: _enter(folder)
    finally:
        procs = folder / "cgroup.procs"
        wait_until(lambda: not procs.read_text(), "a process is left in the group")
        folder.rmdir()


def _limit(folder: Path, size: int) -> None:
    name = "memory.max"
    if not (folder / name).exists():
        name = "memory.limit_in_bytes"
    (folder / name).write_text(str(size))
    for swap in ("memory.memsw.limit_in_bytes", "memory.swap.max"):
        with suppress(OSError):  # none here
            if (folder / swap).exists():
                (folder / swap).write_text(str(size if "memsw" in swap else 0))


def _enter(folder: Path) -> None:
    (folder / "cgroup.procs").write_text(str(os.getpid()))
