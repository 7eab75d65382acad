"""What came of a simulation, as plain rows: runs, task instances, attempts."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, tzinfo


@dataclass(slots=True, kw_only=True)
class RunRow:
    """One run. All moments are aware, in UTC."""

    run_id: str
    #: "scheduled", or "manual".
    run_type: str
    logical_date: datetime
    data_interval_start: datetime
    data_interval_end: datetime
    #: When it was due, and when it opened and ended; None: it did not.
    run_after: datetime
    start_date: datetime | None = None
    end_date: datetime | None = None
    state: str = "queued"
    reason: str = ""


@dataclass(slots=True, kw_only=True)
class TaskRow:
    """One task instance, as it was at the end."""

    run_id: str
    logical_date: datetime
    task_id: str
    map_index: int
    state: str
    #: Tries that were started; looks of a sensor that gives its place back are one try.
    tries: int
    #: Of its first attempt, and of its last; None: there was none.
    start_date: datetime | None
    end_date: datetime | None
    reason: str


@dataclass(slots=True, kw_only=True)
class AttemptRow:
    """One attempt of a task instance: it held a place from start to end."""

    run_id: str
    logical_date: datetime
    task_id: str
    map_index: int
    try_number: int
    start_date: datetime
    end_date: datetime | None = None
    #: Of the task instance after it.
    state: str = "running"
    reason: str = ""


@dataclass(slots=True, kw_only=True)
class History:
    """A simulation's rows, in the order in which runs were made and attempts started."""

    dag_id: str
    #: Task ids as they were written.
    task_ids: tuple[str, ...]
    start: datetime
    end: datetime
    #: For showing moments to people.
    zone: tzinfo
    schedule: str | None = None
    runs: list[RunRow] = field(default_factory=list[RunRow])
    tasks: list[TaskRow] = field(default_factory=list[TaskRow])
    attempts: list[AttemptRow] = field(default_factory=list[AttemptRow])
