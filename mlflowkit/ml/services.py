"""The book of model servers that run on this machine: one JSON file a name, in the home.

A process is only ever signalled when both its pid and its start time are those in the book:
a pid that was given to another program meanwhile is left alone.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import psutil

from mlflowkit.ports import current_services
from mlflowkit.settings import home

_TERM_S, _KILL_S = 30.0, 5.0
_START_SLACK_S = 0.02  # the kernel counts start times in hundredths of a second

#: Servers that this very process started: kept, so that they are reaped when they end.
_children: dict[int, subprocess.Popen[bytes]] = {}


@dataclass(frozen=True, slots=True)
class Server:
    """One process. `started` is its start time (seconds since the epoch) as the system tells it."""

    service: str
    pid: int
    started: float
    url: str
    host: str
    port: int
    model: str
    log: str


@dataclass(frozen=True, slots=True)
class Entry:
    """What the book says of a name: the server in use, and one that is being tried."""

    current: Server | None = None
    candidate: Server | None = None


def folder() -> Path:
    """Where the book and the servers' logs lie."""
    path = home() / "services"
    path.mkdir(exist_ok=True)
    return path


def read(name: str) -> Entry:
    """The entry of a name; an empty one if there is none, or it cannot be read."""
    try:
        raw = json.loads((folder() / f"{name}.json").read_text())
        return Entry(
            *(Server(**s) if (s := raw.get(k)) else None for k in ("current", "candidate"))
        )
    except (OSError, ValueError, TypeError, AttributeError):
        return Entry()


def write(name: str, entry: Entry) -> None:
    """Replace the entry of a name, whole; an empty one removes it."""
    file = folder() / f"{name}.json"
    if entry == Entry():
        file.unlink(missing_ok=True)
        return
    half = file.with_suffix(f".{os.getpid()}.part")
    half.write_text(json.dumps(asdict(entry), indent=1))
    half.replace(file)


@contextlib.contextmanager
def only_one(name: str) -> Iterator[None]:
    """Wait until nobody else deploys or stops this name."""
    with (folder() / f"{name}.lock").open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def process_of(server: Server) -> psutil.Process | None:
    """The live process of a server; None if it ended, also when its pid is another's now."""
    reap()
    try:
        process = psutil.Process(server.pid)
        same = abs(process.create_time() - server.started) <= _START_SLACK_S
        return process if same and process.status() != psutil.STATUS_ZOMBIE else None
    except psutil.NoSuchProcess:
        return None


def start(service: str, argv: list[str], *, env: dict[str, str], log: Path) -> int:
    """Start a server that outlives whoever asks; gives its pid.

    Inside a task the engine starts it (what a task starts by itself ends with it); elsewhere it
    becomes a process in a session of its own.
    """
    services = current_services()
    if services is not None:
        return services.start(service, argv, env=env, log=log)
    with log.open("ab") as out:
        child = subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            env=env,
            start_new_session=True,
        )
    _children[child.pid] = child
    return child.pid


def start_time(pid: int) -> float | None:
    """When a process started, or None if there is no such process."""
    try:
        return psutil.Process(pid).create_time()
    except psutil.NoSuchProcess:
        return None


def exit_words(pid: int) -> str:
    """How one of our own children ended, in words; it is known to have ended."""
    child = _children.get(pid)
    if child is None:
        return "ended"
    try:
        # Its first thread may be gone while others still are on their way out.
        code = child.wait(_KILL_S)
    except subprocess.TimeoutExpired:
        return "ended"
    if code < 0:
        return f"was killed by {signal.Signals(-code).name}"
    return f"ended with exit code {code}"


def stop(server: Server) -> bool:
    """End a server: asked first, then forced. False when it had ended already."""
    services = current_services()
    process = process_of(server)
    if services is not None:
        services.stop(server.service)
    if process is None:
        return False
    with contextlib.suppress(psutil.NoSuchProcess):
        process.terminate()
        if not _gone(process, _TERM_S):
            process.kill()
            _gone(process, _KILL_S)
    reap()
    return True


def _gone(process: psutil.Process, seconds: float) -> bool:
    child = _children.get(process.pid)
    try:
        if child is not None:
            child.wait(seconds)
        else:
            process.wait(seconds)
    except (subprocess.TimeoutExpired, psutil.TimeoutExpired):
        return False
    return True


def reap() -> None:
    """Take note of children that have ended, so that none stays behind as a zombie."""
    for child in _children.values():
        child.poll()


def holder_of(port: int) -> str | None:
    """Who listens on a TCP port here, as `name (pid 12)`, if the system lets us know."""
    try:
        found = [
            c
            for c in psutil.net_connections("tcp")
            if c.status == psutil.CONN_LISTEN and c.laddr and c.laddr.port == port and c.pid
        ]
        return (
            f"{psutil.Process(found[0].pid).name()} (pid {found[0].pid})" if found else None
        )
    except (psutil.Error, OSError):
        return None


def forget(name: str, entry: Entry) -> Entry:
    """End a candidate that a deployment left behind when it was killed itself."""
    if entry.candidate is None:
        return entry
    stop(entry.candidate)
    cleaned = replace(entry, candidate=None)
    write(name, cleaned)
    return cleaned
