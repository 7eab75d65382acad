"""The processes that load pipeline files, and what is said when one of them dies.

Each loads one file after the other (`mlflowkit.load_folder --worker`). It is asked by a
line of JSON on its standard input and answers by one on its standard output. A file that
ends its process, or takes too long, costs that file: the next one gets a new process.

Never runs a person's code in this process.
"""

from __future__ import annotations

import os
import queue
import re
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO, Final

import msgspec

import mlflowkit
from mlflowkit.authoring.folder_cache import PATIENCE_SECONDS, ErrorEntry, FileEntry
from mlflowkit.errors import PipelineCrashed, PipelineTooSlow

#: Files that are worth a process of their own.
_FILES_PER_PROCESS: Final = 8
#: A process watches its own time; this much later it is ended from outside.
_GRACE_SECONDS: Final = 5.0
_OURS: Final = os.path.dirname(os.path.realpath(mlflowkit.__file__))
_FRAME = re.compile(r'^  File "(?P<file>.+)", line (?P<line>\d+) in (?P<name>.+)$')


class LoadOrder(msgspec.Struct, frozen=True, kw_only=True):
    """One file to load. Plain data."""

    path: str
    #: Of its content when the order was made: it may change until it is loaded.
    sha256: str
    #: The folder that is being loaded: modules are found in it, too.
    folder: str
    home: str
    timeout_seconds: float
    #: Whether a file that imports Airflow is run as one for Airflow.
    airflow: bool = False


def load_files(
    hashes: Mapping[str, str],
    folder: str,
    home: Path,
    seconds: float,
    processes: int | None,
    airflow: bool = False,
) -> list[FileEntry]:
    """Load files in processes of their own, several at once.

    Args:
        hashes: Each file with the hash of its content.
        seconds: Most time for one file.
        processes: At most so many; the number of cores if None.
        airflow: Files that import Airflow are run as files for Airflow.
    """
    waiting: queue.SimpleQueue[LoadOrder] = queue.SimpleQueue()
    for path, digest in hashes.items():
        waiting.put(
            LoadOrder(
                path=path,
                sha256=digest,
                folder=folder,
                home=str(home),
                timeout_seconds=seconds,
                airflow=airflow,
            )
        )
    useful = -(-len(hashes) // _FILES_PER_PROCESS)
    count = max(1, min(processes or _cores(), useful))
    with ThreadPoolExecutor(count) as pool:
        at_work = [pool.submit(_work, waiting) for _ in range(count)]
        try:
            return [entry for one in at_work for entry in one.result()]
        finally:
            _next_of(waiting, everything=True)  # after Ctrl-C, nothing else is begun


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1


def _work(waiting: queue.SimpleQueue[LoadOrder]) -> list[FileEntry]:
    """Load what is waiting until nothing is."""
    found: list[FileEntry] = []
    worker = _Worker()
    try:
        while (order := _next_of(waiting)) is not None:
            if not worker.is_ready():
                worker = _Worker()
            entry = worker.load(order)
            if worker.had_others and _has_crashed(entry):
                worker = _Worker()  # perhaps a file before it has left a thread that did it
                entry = worker.load(order)
            found.append(entry)
    finally:
        worker.close()
    return found


def _has_crashed(entry: FileEntry) -> bool:
    return any(error.code == PipelineCrashed.code for error in entry.errors)


def _next_of(
    waiting: queue.SimpleQueue[LoadOrder], *, everything: bool = False
) -> LoadOrder | None:
    """The next order; or all are taken away, and there is none."""
    while True:
        try:
            order = waiting.get_nowait()
        except queue.Empty:
            return None
        if not everything:
            return order


class _Worker:
    """One process that loads files."""

    def __init__(self) -> None:
        self.alive = True
        #: Whether it was given other files before the one at hand.
        self.had_others = False
        self._loads = 0
        self._rest = b""
        #: Where the process leaves a trace when it dies.
        self._last_words: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - closed by close()
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "mlflowkit.load_folder", "--worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._last_words,
        )

    def is_ready(self) -> bool:
        """Can it take another file? One that died while it was idle cannot."""
        if self.alive and self._process.poll() is not None:
            self.close()
        return self.alive

    def load(self, order: LoadOrder) -> FileEntry:
        """Load a file; what came of it, also if the process dies of it."""
        self.had_others, self._loads = self._loads > 0, self._loads + 1
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(msgspec.json.encode(order) + b"\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            return self._died(order)
        line = self._line(time.monotonic() + order.timeout_seconds + _GRACE_SECONDS)
        if line is None:
            return self._died(order)
        return msgspec.json.decode(line, type=FileEntry)

    def _line(self, deadline: float) -> bytes | None:
        """The next line, or None if the process has died or must die."""
        assert self._process.stdout is not None
        pipe = self._process.stdout.fileno()
        while b"\n" not in self._rest:
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([pipe], [], [], left)[0]:
                self._process.kill()
                return None
            more = os.read(pipe, 1 << 20)
            if not more:
                return None
            self._rest += more
        line, _, self._rest = self._rest.partition(b"\n")
        return line

    def _died(self, order: LoadOrder) -> FileEntry:
        status = self._process.wait()
        self._last_words.seek(0)
        words = self._last_words.read().decode(errors="replace")
        self.close()
        return dead_entry(order, status, words)

    def close(self) -> None:
        """End the process, which is idle or dead."""
        if not self.alive:
            return
        self.alive = False
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                try:
                    pipe.close()
                except BrokenPipeError:
                    pass
        self._process.wait()
        self._last_words.close()


def dead_entry(order: LoadOrder, status: int, words: str) -> FileEntry:
    """What is said of a file that ended its process.

    Args:
        status: As `Popen.returncode` has it.
        words: What Python's fault handler wrote.
    """
    frames = _frames(words)
    where, line = frames[-1][:2] if frames else (order.path, None)
    trace = "\n".join(f'  File "{f}", line {n}, in {name}' for f, n, name in frames)
    error: PipelineTooSlow | PipelineCrashed
    if words.startswith("Timeout (") or status == -signal.SIGKILL:
        error = PipelineTooSlow(where, line, order.timeout_seconds, trace)
    else:
        error = PipelineCrashed(where, line, _ended_by(status), trace)
    entry = ErrorEntry(
        file=order.path,
        where="" if where == order.path else where,
        line=line,
        code=error.code,
        error=error.problem,
        trace=trace,
    )
    until = time.time() + PATIENCE_SECONDS
    return FileEntry(path=order.path, sha256=order.sha256, errors=(entry,), until=until)


def _ended_by(status: int) -> str:
    if status >= 0:
        return f"exit status {status}"
    try:
        return f"signal {signal.Signals(-status).name}"
    except ValueError:
        return f"signal {-status}"


def _frames(words: str) -> list[tuple[str, int, str]]:
    """The person's frames of the thread that the fault handler found, the innermost last."""
    threads = words.split("most recent call first")
    found = [
        (match["file"], int(match["line"]), match["name"])
        for line in threads[-1].splitlines()
        if (match := _FRAME.match(line))
        and not match["file"].startswith((_OURS, "<frozen"))
    ]
    return found[::-1]
