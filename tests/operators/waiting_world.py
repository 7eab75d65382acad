"""A world for operators that wait: a clock that only moves when told, a task that runs,
and an engine of three answers. It keeps what was asked, pushed and halted.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from mlflowkit.authoring import waiting
from mlflowkit.authoring.operator import BaseOperator
from mlflowkit.errors import TaskRescheduled
from mlflowkit.ports import as_running

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)  # a Monday


class Clock:
    """`waiting.WaitingClock` whose waits are over at once, and are written down."""

    def __init__(self, start: datetime = NOON) -> None:
        self.moment = start
        self.start = start
        self.waits: list[float] = []

    def now(self) -> datetime:
        return self.moment

    def elapsed(self) -> float:
        return (self.moment - self.start).total_seconds()

    def wait(self, seconds: float) -> None:
        self.waits.append(seconds)
        self.moment += timedelta(seconds=seconds)


class World:
    """`ports.RunningTask` for one task instance; each `run` is one attempt of it."""

    def __init__(self, folder: Path, **context: object) -> None:
        self.clock = Clock()
        self.asked: list[tuple[str, Mapping[str, object]]] = []
        self.answers: dict[str, Callable[..., object]] = {}
        self.pushed: dict[str, object] = {}
        self.halted: list[bool] = []
        self.followed: list[list[str]] = []
        self.ti = SimpleNamespace(
            try_number=1,
            max_tries=1,
            map_index=-1,
            first_started_at=NOON,
            poke_count=0,
            state_dir=folder,
            xcom_push=self.push,
        )
        self.context: dict[str, Any] = {
            "ti": self.ti,
            "run_id": "d/1",
            "map_index": -1,
            "logical_date": NOON,
            "dag_run": SimpleNamespace(run_type="scheduled", run_after=NOON),
            **context,
        }

    # ── ports.RunningTask ──

    def push(self, key: str, value: object) -> None:
        self.pushed[key] = value

    def ask(self, what: str, **arguments: object) -> object:
        self.asked.append((what, arguments))
        return self.answers[what](**arguments)

    def halt(self, *, direct_only: bool) -> None:
        self.halted.append(direct_only)

    def follow(self, task_ids: Any) -> None:
        self.followed.append(list(task_ids))

    # ── the story ──

    def run(self, task: BaseOperator) -> object:
        """One attempt."""
        with as_running(self), waiting.using_clock(self.clock):  # type: ignore[arg-type]
            return task.execute(self.context)

    def run_on(self, task: BaseOperator, *, at_most: int = 1000) -> object:
        """Attempt after attempt, each at the time that the one before has asked for."""
        for _ in range(at_most):
            try:
                return self.run(task)
            except TaskRescheduled as again:
                self.clock.wait((again.when - self.clock.now()).total_seconds())
                self.ti.poke_count += 1
        raise AssertionError("it never came to an end")

    def retry(self) -> None:
        """The next attempt is a new try."""
        self.ti.try_number += 1
