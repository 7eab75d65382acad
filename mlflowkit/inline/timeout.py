"""`execution_timeout` in this process: what an engine does from outside, an alarm does here.

It must never outlive the task that it is for.
"""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Generator
from contextlib import contextmanager
from datetime import timedelta
from types import FrameType

from mlflowkit.authoring import waiting
from mlflowkit.errors import ExecutionTimedOut


class _OutOfTime(BaseException):
    """Raised in the task's code, which is not to catch it with its own errors."""


class Limit:
    """How long a task may take."""

    def __init__(self, task_id: str, longest: timedelta | None) -> None:
        self._task_id, self.longest = task_id, longest
        self._began = waiting.elapsed()
        self._rang = False

    def over(self) -> ExecutionTimedOut | None:
        """Why the task has failed, if it took too long: by its own clock, too."""
        if self.longest is None:
            return None
        late = waiting.elapsed() - self._began > self.longest.total_seconds()
        return (
            ExecutionTimedOut(self._task_id, self.longest) if late or self._rang else None
        )

    @contextmanager
    def enforced(self) -> Generator[None, None, None]:
        """End what is inside when its time is over. Only the main thread can be ended so; in
        another one, it is noticed at the end."""
        if (
            self.longest is None
            or threading.current_thread() is not threading.main_thread()
        ):
            yield
            return
        before = signal.signal(signal.SIGALRM, self._ring)
        try:
            signal.setitimer(signal.ITIMER_REAL, max(self.longest.total_seconds(), 1e-6))
            yield
        except _OutOfTime:
            pass  # it rang after the task's code was through
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)

    def _ring(self, _number: int, _frame: FrameType | None) -> None:
        if not _debugged():
            self._rang = True
            raise _OutOfTime(f"timed out after {self.longest}")


def _debugged() -> bool:
    """Whether a person stands at a breakpoint: the time they take is their own."""
    bdb = sys.modules.get("bdb")
    tracer = getattr(sys.gettrace(), "__self__", None)
    return bdb is not None and isinstance(tracer, bdb.Bdb)
