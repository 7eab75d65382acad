"""A child process whose output is streamed to the task's log, and which ends with the task.

Everything that it starts in its process group ends, too, however the task ends.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections import deque
from collections.abc import Mapping, Sequence
from pathlib import Path

#: Lines of output that an error shows.
SHOWN_LINES = 10
#: Seconds between SIGTERM and SIGKILL.
GRACE_SECONDS = 5.0


class Child:
    """One process in a group of its own, between `run` and its end. Travels while none runs."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None
        self._last: deque[str] = deque(maxlen=SHOWN_LINES)

    @property
    def last_line(self) -> str:
        """Its last line of output, without the line break; "" if there was none."""
        return self._last[-1] if self._last else ""

    @property
    def last_lines(self) -> str:
        """What an error shows of its output."""
        return "\n".join(self._last)

    def run(
        self,
        argv: Sequence[str],
        *,
        cwd: Path | None = None,
        env: Mapping[str, str] | None = None,
    ) -> int:
        """Run it to its end and give its status; below 0: the signal that ended it.

        Raises:
            OSError: it cannot be started.
        """
        self._last.clear()
        self._process = process = subprocess.Popen(
            list(argv),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            text=True,
            errors="backslashreplace",
            cwd=cwd,
            env=env,
            start_new_session=True,
        )
        try:
            for line in process.stdout or ():
                sys.stdout.write(line)
                sys.stdout.flush()
                self._last.append(line.rstrip("\n"))
            return process.wait()
        finally:
            self.end()

    def end(self) -> None:
        """End it and all that it started in its process group."""
        process, self._process = self._process, None
        if process is None:
            return
        _signal_group(process.pid, signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=GRACE_SECONDS)
        _signal_group(process.pid, signal.SIGKILL)
        process.wait()
        if process.stdout:
            process.stdout.close()


def _signal_group(group: int, number: signal.Signals) -> None:
    try:
        os.killpg(group, number)
    except ProcessLookupError:
        return
