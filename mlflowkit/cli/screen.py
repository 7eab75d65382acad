"""A run in the terminal while it goes on: a live table, or plain lines where nobody looks.

A thread that only reads: the store through `RunHandle.view()`, the attempts' journals and
logs by offset. It decides nothing and writes nothing.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Final, Self

from mlflowkit.cli.journals import Journals, Progress
from mlflowkit.cli.table import run_table
from mlflowkit.cli.words import took, waiting_text
from mlflowkit.core.spec import instance_name
from mlflowkit.core.states import ENDED, TaskState
from mlflowkit.core.view import InstanceView, RunView, TaskView
from mlflowkit.handles.run import RunHandle

if TYPE_CHECKING:
    from rich.console import Console, Group
    from rich.live import Live

LOOK_SECONDS: Final = 0.15
#: A look may take this share of the time; a run of many instances is looked at less often.
SHARE: Final = 0.1
PLAIN_EVERY_SECONDS: Final = 2.0
#: A retry that is due later than this is not waited for in the foreground.
A_MOMENT: Final = timedelta(seconds=10)
#: Mapped tasks with more instances show no line for each of them.
MAX_INSTANCE_LINES: Final = 50


class Screen:
    """Shows runs until it is left. `with Screen(...):` around whatever runs them."""

    def __init__(
        self, run_ids: Iterable[str], home: Path, console: Console, *, logs: bool = False
    ) -> None:
        self._handles = [RunHandle(run_id, home) for run_id in run_ids]
        self._console, self._logs = console, logs
        self._journals = {h.run_id: Journals(h.path) for h in self._handles}
        self._said: dict[tuple[str, str, int], tuple[TaskState, int]] = {}
        #: By run and task, why it waits, as it was told last.
        self._waits: dict[tuple[str, str], str] = {}
        self._told_at: dict[tuple[str, str, int], float] = {}
        self._live: Live | None = None
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look_on, name="screen", daemon=True)
        #: The latest picture of each run.
        self.views: dict[str, RunView] = {}

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            from rich.live import Live

            self._live = Live(console=self._console, auto_refresh=False, transient=False)
            self._live.start()
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._over.set()
        self._thread.join()
        if kind is None:
            self._look()
        if self._live is not None:
            self._live.stop()

    def restore(self) -> None:
        """Give the terminal back at once, without a last look."""
        if self._live is not None:
            self._live.console.show_cursor(True)

    def say(self, line: str) -> None:
        """A line above the table."""
        self._console.print(line, style="yellow", highlight=False, markup=False)

    def retry_due(self, run_id: str) -> datetime | None:
        """When the run goes on, if all it does for more than a moment is wait for a retry."""
        view = self.views.get(run_id)
        if view is None or view.ended:
            return None
        return waits_until(view)

    # ── the thread ──────────────────────────────────────────────────────────

    def _look_on(self) -> None:
        self._look()  # it loads what it draws with: its time says nothing of the next one
        pause = LOOK_SECONDS
        while not self._over.wait(pause):
            begun = time.monotonic()
            self._look()
            pause = max(LOOK_SECONDS, (time.monotonic() - begun) / SHARE)

    def _look(self) -> None:
        for handle in self._handles:
            view = handle.view()
            self.views[handle.run_id] = view
            self._tell_news(view)
        if self._live is not None:
            self._live.update(self._tables(), refresh=True)

    def _tables(self) -> Group:
        from rich.console import Group

        now = datetime.now(UTC)
        return Group(
            *(
                run_table(view, self._progress_lines(view), now)
                for view in self.views.values()
            )
        )

    def _progress_lines(self, view: RunView) -> dict[tuple[str, int], str]:
        found: dict[tuple[str, int], str] = {}
        for task in view.tasks:
            for instance in _running(task.instances)[:MAX_INSTANCE_LINES]:
                progress = self._progress(view, task.task_id, instance)
                found[task.task_id, instance.map_index] = progress.line
        return found

    def _progress(self, view: RunView, task_id: str, instance: InstanceView) -> Progress:
        journals = self._journals[view.run_id]
        return journals.of(task_id, instance.map_index, instance.attempt)

    # ── lines ───────────────────────────────────────────────────────────────

    def _tell_news(self, view: RunView) -> None:
        for task in view.tasks:
            self._tell_waits(view.run_id, task)
            for instance in task.instances:
                key = (view.run_id, task.task_id, instance.map_index)
                now = (instance.state, instance.attempt)
                before = self._said.get(key)
                if self._logs and instance.attempt:
                    self._tell_log(view, task.task_id, instance, before != now)
                if self._live is not None:
                    self._said[key] = now
                    continue
                if before != now:
                    self._said[key] = now
                    self._tell_state(task.task_id, instance)
                if instance.state is TaskState.RUNNING:
                    self._tell_progress(key, view, task.task_id, instance)

    def _tell_waits(self, run_id: str, task: TaskView) -> None:
        """What can never start as things are; a table shows it by itself."""
        before = self._waits.get((run_id, task.task_id), "")
        self._waits[run_id, task.task_id] = task.waits
        if self._live is None and task.waits and task.waits != before:
            self._line(f"{task.task_id} {TaskState.SCHEDULED}: {task.waits}")

    def _tell_state(self, task_id: str, instance: InstanceView) -> None:
        if instance.state in (TaskState.NONE, TaskState.SCHEDULED, TaskState.QUEUED):
            return
        parts = [instance_name(task_id, instance.map_index), str(instance.state)]
        if instance.state in ENDED and instance.started_at:
            parts.append(f"after {took(instance.started_at, instance.ended_at)}")
        reason = waiting_text(instance) if _waits(instance) else instance.reason
        self._line(" ".join(parts) + (f": {reason}" if reason else ""))

    def _tell_progress(
        self, key: tuple[str, str, int], view: RunView, task_id: str, instance: InstanceView
    ) -> None:
        progress = self._progress(view, task_id, instance)
        now = time.monotonic()
        if not progress.news or now - self._told_at.get(key, 0) < PLAIN_EVERY_SECONDS:
            return
        self._told_at[key] = now
        self._line(f"{instance_name(task_id, instance.map_index)}: {progress.news}")
        progress.news = ""

    def _tell_log(
        self, view: RunView, task_id: str, instance: InstanceView, changed: bool
    ) -> None:
        tail = self._progress(view, task_id, instance).log
        name = instance_name(task_id, instance.map_index)
        lines = tail.lines()
        if changed and instance.state in ENDED:
            lines += tail.rest()
        for line in lines:
            text = line.decode(errors="replace")
            self._console.print(f"{name} | {text}", highlight=False, markup=False)

    def _line(self, text: str) -> None:
        stamp = datetime.now(UTC).astimezone().strftime("%H:%M:%S")
        self._console.print(
            f"{stamp}  {text}", highlight=False, markup=False, soft_wrap=True
        )


def waits_until(view: RunView) -> datetime | None:
    """When a run goes on that does nothing but wait for retries that are far off; else None."""
    states = {state for task in view.tasks for state, n in task.counts.items() if n}
    busy = {TaskState.SCHEDULED, TaskState.QUEUED, TaskState.RUNNING}
    if states & busy or TaskState.UP_FOR_RETRY not in states:
        return None
    alarms = [i.alarm for t in view.tasks for i in t.instances if _waits(i) and i.alarm]
    first = min(alarms, default=None)
    return first if first and first - datetime.now(UTC) > A_MOMENT else None


def _waits(instance: InstanceView) -> bool:
    return instance.state is TaskState.UP_FOR_RETRY


def _running(instances: Iterable[InstanceView]) -> list[InstanceView]:
    return [i for i in instances if i.state is TaskState.RUNNING]
