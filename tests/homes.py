"""A home for a test, and what is alive in it. Nothing here is imported by a worker."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeVar

from mlflowkit import home_store
from mlflowkit.engine.locks import engine_alive
from mlflowkit.worker import processes

#: How long a test waits for anything: a busy machine is slow, and who passes waits no longer.
DEADLINE_SECONDS = 120.0
T = TypeVar("T")


def wait_until(
    what: Callable[[], T], seconds: float = DEADLINE_SECONDS, step: float = 0.01
) -> T:
    """The first true answer of `what`.

    Raises:
        AssertionError: there was none in time.
    """
    deadline = time.monotonic() + seconds
    while not (found := what()):
        assert time.monotonic() < deadline, f"nothing after {seconds} s"
        time.sleep(step)
    return found


def alive(pid: int) -> bool:
    """Whether a process runs; one that is dead and waits for its parent does not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state not in "ZX"


def inhabitants(home: Path) -> list[int]:
    """Every process that was started with this home in its environment, but this one."""
    found = processes.with_mark("MLFLOWKIT_HOME", str(home))
    return sorted(pid for pid in found if pid != os.getpid() and alive(pid))


def below_engine(engine_id: str) -> list[int]:
    """Every process that bears the mark of this engine."""
    found = processes.with_mark(processes.ENGINE_MARK, engine_id)
    return sorted(pid for pid in found if pid != os.getpid() and alive(pid))


def engine_pid(home: Path) -> int:
    """The process of the engine that works in this home; 0 if there is none, or not quite yet."""
    return int((home / "engine.lock").read_text() or 0) if engine_alive(home) else 0


def assert_nothing_left(home: Path, seconds: float = DEADLINE_SECONDS) -> None:
    """No process of this home runs, and no file of an engine lies in it."""
    wait_until(lambda: not inhabitants(home), seconds)
    engines = home / "engines"
    left = sorted(engines.iterdir()) if engines.exists() else []
    assert left == []
    assert not (home / "engine.sock").exists()


def clear(home: Path) -> None:
    """Kill whatever still runs in a home: the last resort of a fixture."""
    while found := inhabitants(home):
        for pid in found:
            processes.send(pid, signal.SIGKILL)
        for pid in found:
            with suppress(ChildProcessError):
                os.waitpid(pid, os.WNOHANG)
        time.sleep(0.01)


def close_store(home: Path) -> None:
    """Close the home's store in this process, if it was opened."""
    path = home / "store.db"
    if path.exists():
        found = path.stat()
        key = (os.getpid(), found.st_dev, found.st_ino)
        if opened := home_store._databases.pop(key, None):
            opened.close()


@contextmanager
def fresh_home(folder: Path) -> Iterator[Path]:
    """A home that is cleared at the end."""
    home = folder / "home"
    home.mkdir(mode=0o700)
    try:
        yield home
    finally:
        clear(home)
        close_store(home)
