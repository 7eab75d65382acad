"""Where the output of the attempt that runs, or ran last, goes: its log and its journal.

A full disk is no fault of the attempt: it goes on, and why its output is in no file is told
when it ends.
"""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO

from mlflowkit.ports import LaunchOrder

LAST_WORDS_BYTES = 4000


class AttemptLog:
    """The files of one attempt at a time."""

    def __init__(self) -> None:
        self._path = ""
        self._file: BinaryIO | None = None
        #: Why some output of the current attempt is in no file.
        self._unwritten = ""

    def begin(self, order: LaunchOrder) -> None:
        """What is written from now on is this attempt's."""
        self.close()
        self._path, self._unwritten = order.log, ""

    def write(self, data: bytes) -> None:
        if not data or not self._path:
            return
        try:
            if self._file is None:
                path = Path(self._path)
                path.parent.mkdir(parents=True, exist_ok=True)
                self._file = path.open("ab", buffering=0)
            self._file.write(data)
        except OSError as exc:
            self._unwritten = str(exc)

    def note(self, order: LaunchOrder | None, line: bytes) -> None:
        """Add a line to the journal of an attempt, if it keeps one."""
        if order is None or not order.journal:
            return
        path = Path(order.journal)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("ab") as journal:
                journal.write(line + b"\n")
        except OSError as exc:
            self._unwritten = str(exc)

    def trouble(self) -> str:
        """Why some output is in no file; said once."""
        said, self._unwritten = self._unwritten, ""
        return said

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None


def last_words(order: LaunchOrder) -> str:
    """The end of an attempt's log: what it said before it died."""
    path = Path(order.log)
    if not path.exists():
        return ""
    with path.open("rb") as log:
        log.seek(max(path.stat().st_size - LAST_WORDS_BYTES, 0))
        return log.read().decode(errors="replace")
