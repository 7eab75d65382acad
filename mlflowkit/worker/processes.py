"""Processes as Linux sees them: who is below whom, how they end, and ending all of them."""

from __future__ import annotations

import ctypes
import fcntl
import os
import signal
import sys
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import NoReturn

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36
#: Set in the environment of everything below an engine, to find what a crash left behind.
ENGINE_MARK = "MLFLOWKIT_ENGINE"
_libc = ctypes.CDLL(None, use_errno=True)

_MEANING = {
    signal.SIGSEGV: "segmentation fault",
    signal.SIGABRT: "abort",
    signal.SIGBUS: "bus error",
    signal.SIGFPE: "arithmetic error",
    signal.SIGILL: "illegal instruction",
    signal.SIGKILL: "killed from outside",
    signal.SIGTERM: "asked to end",
    signal.SIGINT: "interrupted",
}


def become_subreaper() -> None:
    """Orphans below this process become its children, whatever sessions they made."""
    _libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def die_with_parent(parent: int) -> None:
    """SIGKILL for this process as soon as `parent` is gone."""
    _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:  # it died before we asked
        os._exit(1)


def own_children() -> list[int]:
    """Direct children of this process, which must have a single thread."""
    with open("/proc/thread-self/children", "rb") as file:
        return [int(p) for p in file.read().split()]


def children(pid: int) -> list[int]:
    """Direct children of a process. Empty when it is gone."""
    found: list[int] = []
    try:
        for task in Path(f"/proc/{pid}/task").iterdir():
            found += [int(p) for p in (task / "children").read_text().split()]
    except OSError:
        return found
    return found


def below(pid: int) -> Iterator[int]:
    """All descendants of a process, nearest first."""
    todo = children(pid)
    while todo:
        found = todo.pop(0)
        yield found
        todo += children(found)


def send(pid: int, sig: signal.Signals) -> None:
    """A signal to a process that may be gone."""
    try:
        os.kill(pid, sig)
    except ProcessLookupError:
        return


def kill_all_below(spare: Collection[int] = ()) -> None:
    """SIGKILL every process below this one, but `spare`, until none is left.

    Works because this process is a subreaper: whoever loses its parent comes here.
    """
    while True:
        mine = [p for p in own_children() if p not in spare]
        if not mine:
            return
        for pid in mine:
            for deep in list(below(pid)):
                send(deep, signal.SIGKILL)
            send(pid, signal.SIGKILL)
        for pid in mine:
            try:
                os.waitpid(pid, 0)
            except ChildProcessError:
                continue


def words_for(status: int, *, out_of_memory: int | None = None) -> str:
    """An exit status as `os.waitpid` gives it, for people."""
    return words_for_code(os.waitstatus_to_exitcode(status), out_of_memory=out_of_memory)


def words_for_code(code: int, *, out_of_memory: int | None = None) -> str:
    """An exit code, negative for a signal, for people.

    Args:
        code: As `os.waitstatus_to_exitcode` gives it.
        out_of_memory: Given where the system killed it for lack of memory: how many bytes
            its group of processes may have, or 0 where only the machine was too small.
    """
    if code >= 0:
        return f"its process ended by itself with exit status {code}"
    sig = signal.Signals(-code)
    if sig is signal.SIGKILL and out_of_memory is not None:
        whose = "the machine ran out of memory"
        if out_of_memory:
            limit = readable_bytes(out_of_memory)
            whose = f"its group of processes ran out of the {limit} that it may have"
        return f"its process was killed because {whose} (SIGKILL)"
    meaning = _MEANING.get(sig)
    return f"its process died of {sig.name}" + (f" ({meaning})" if meaning else "")


def readable_bytes(size: int) -> str:
    """A size for people: "380 MB", "3.0 GB"; of 1024."""
    return f"{size / 1024**3:.1f} GB" if size >= 1024**3 else f"{size / 1024**2:.0f} MB"


def hold_shared(path: Path) -> int:
    """A shared lock that lives as long as this process or any fork of it. Returns its fd."""
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    fcntl.flock(fd, fcntl.LOCK_SH)
    return fd


def nobody_holds(path: Path) -> bool:
    """Whether every process that held a shared lock on `path` is gone."""
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(fd)
    return True


def resident_bytes(pid: int) -> int:
    """Memory that a process has now; 0 when it is gone."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except (OSError, IndexError, ValueError):
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")


def with_mark(name: str, value: str) -> Iterator[int]:
    """Processes of this user whose environment, as they were started, has `name=value`
    or `name=value/…`."""
    mark = f"{name}={value}".encode()
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            environment = (entry / "environ").read_bytes()
        except OSError:
            continue
        if any(v == mark or v.startswith(mark + b"/") for v in environment.split(b"\0")):
            yield int(entry.name)


def kill_marked(value: str) -> bool:
    """SIGKILL whatever bears this engine's or template's mark. Returns whether there was any."""
    found = list(with_mark(ENGINE_MARK, value))
    for pid in found:
        send(pid, signal.SIGKILL)
    return bool(found)


def flush_c() -> None:
    """What C code has printed and not yet written."""
    _libc.fflush(None)


def flush() -> None:
    """Everything Python has not written yet. User code may have broken or closed its streams."""
    flush_c()
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError, AttributeError):
            continue


def leave_fork(status: int) -> NoReturn:
    """A fork that the task made came to the end of the task's code: its end is not the attempt's."""
    flush()
    os._exit(status)
