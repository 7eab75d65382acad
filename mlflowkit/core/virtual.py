"""Runs on a virtual clock: opened, given places, ended, as the engine does it.

What takes time in the real world beside tasks and waiting takes none here.
"""

from __future__ import annotations

import heapq
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import TYPE_CHECKING, Final, Protocol

from mlflowkit.core import past
from mlflowkit.core.decisions import Kill, Launch, WakeAt
from mlflowkit.core.events import (
    AttemptFailed,
    AttemptStarted,
    Event,
    PastSettled,
    PlacesOffered,
    RunOpened,
    TimePassed,
)
from mlflowkit.core.gates import may_open, scheduled_room
from mlflowkit.core.history import AttemptRow, RunRow, TaskRow
from mlflowkit.core.machine import InstanceRow, Run, handle
from mlflowkit.core.machine import RunRow as MachineRow
from mlflowkit.core.offers import UNLIMITED, give_out
from mlflowkit.core.planner import manual_interval
from mlflowkit.core.spec import AttemptId, RunId, TaskId
from mlflowkit.core.states import TaskState
from mlflowkit.core.timetable import DataInterval, Timetable
from mlflowkit.core.timetable.base import utc
from mlflowkit.errors import BadSimulation

if TYPE_CHECKING:
    from mlflowkit.core.spec import DagSpec
    from mlflowkit.core.stub_tasks import StubTasks

#: More than this is a mistake in the dates or the schedule.
MOST_RUNS: Final = 100_000
MOST_ATTEMPTS: Final = 2_000_000


class Schedule(Protocol):
    """What comes next, by the DAG's timetable."""

    timetable: Timetable
    #: When the next run is due; None: no more comes.
    next: datetime | None

    def take(self, now: datetime, room: int) -> list[tuple[datetime, DataInterval]]:
        """The runs to start now, at most `room`: when each was due, and its interval."""
        ...


class Live:
    """A run of the simulation."""

    __slots__ = ("row", "run")

    def __init__(self, spec: DagSpec, row: RunRow) -> None:
        self.run, self.row = Run(spec, MachineRow(run_id=RunId(row.run_id))), row

    @property
    def is_planned(self) -> bool:
        return self.row.run_type == "scheduled"


class World:
    """The clock, what is to happen, and the runs."""

    def __init__(
        self,
        spec: DagSpec,
        schedule: Schedule,
        tasks: StubTasks,
        places: int,
        pools: Mapping[str, int],
    ) -> None:
        self._spec, self._schedule, self._tasks = spec, schedule, tasks
        self._places = places
        used = {task.pool: UNLIMITED for task in spec.tasks.values()}
        self._pools = {**used, **pools}
        self._has_past = past.waits_for_past(spec)
        self.runs: list[RunRow] = []
        self.tasks: dict[str, list[TaskRow]] = {}
        self.attempts: list[AttemptRow] = []
        self._queued: list[Live] = []
        self._open: dict[RunId, Live] = {}
        #: Scheduled runs that are the past of others, in the order of their dates.
        self._planned: list[Live] = []
        self._out: dict[AttemptId, AttemptRow] = {}
        self._todo: list[tuple[datetime, int, Live, Event]] = []
        self._numbers = count()
        self.now = datetime.min.replace(tzinfo=UTC)

    # ── the clock ───────────────────────────────────────────────────────────

    def go(self, start: datetime, end: datetime, manual: list[datetime]) -> None:
        """From start to end, and on until all that is under way has ended."""
        manual = manual[::-1]
        self.now = start
        while (moment := self._next_moment(end, manual)) is not None:
            self.now = moment
            while manual and manual[-1] <= moment:
                self._create("manual", manual.pop())
            if moment < end:
                self._start_due()
            while self._todo and self._todo[0][0] <= moment:
                _, _, live, event = heapq.heappop(self._todo)
                self._hear(live, event)
            self._open_runs()
            self._settle_past()
            give_out(
                [live.run for live in self._open.values()],
                self._places - len(self._out),
                lambda: self._pools,
                self._take,
            )
        for live in self._open.values():  # what waits for something that never comes
            self._note_tasks(live)

    def _next_moment(self, end: datetime, manual: list[datetime]) -> datetime | None:
        moments = [self._todo[0][0]] if self._todo else []
        if manual:
            moments.append(manual[-1])
        planned = self._schedule.next
        if planned is not None and self._room():
            moments.append(max(planned, self.now))
            if moments[-1] >= end:
                moments.pop()
        return min(moments, default=None)

    def _hear(self, live: Live, event: Event) -> None:
        attempt = getattr(event, "attempt", None)
        if attempt is None or attempt in self._out:
            self._tell(live, event)

    def _tell(self, live: Live, event: Event) -> int:
        """Returns how many attempts it launched."""
        outcome = handle(live.run, event, self.now)
        attempt: AttemptId | None = getattr(event, "attempt", None)
        if attempt is not None and not isinstance(event, AttemptStarted):
            self._note_end(live, attempt)
        launched = 0
        for decision in outcome.decisions:
            if isinstance(decision, Launch):
                launched += 1
                self._launch(live, decision.attempt)
            elif isinstance(decision, WakeAt):
                self._later(decision.when, live, TimePassed())
            elif isinstance(decision, Kill) and decision.attempt in self._out:
                self._tell(live, AttemptFailed(decision.attempt, decision.why))
        if live.run.ended and live.run.run_id in self._open:
            self._close(live)
        return launched

    def _take(self, run: Run, offered: PlacesOffered) -> int:
        return self._tell(self._open[run.run_id], offered)

    def _later(self, when: datetime, live: Live, event: Event) -> None:
        heapq.heappush(self._todo, (when, next(self._numbers), live, event))

    # ── attempts ────────────────────────────────────────────────────────────

    def _launch(self, live: Live, attempt: AttemptId) -> None:
        instance = live.run.nodes[attempt.task_id].instances[attempt.map_index]
        row = AttemptRow(
            run_id=live.row.run_id,
            logical_date=live.row.logical_date,
            task_id=attempt.task_id,
            map_index=attempt.map_index,
            try_number=instance.failures + 1,
            start_date=self.now,
        )
        if len(self.attempts) >= MOST_ATTEMPTS:
            raise BadSimulation("simulate()", f"has more than {MOST_ATTEMPTS:,} attempts")
        self.attempts.append(row)
        self._out[attempt] = row
        self._tell(live, AttemptStarted(attempt))
        seconds, event = self._tasks.attempt(live.row, attempt, instance, self.now)
        self._later(self.now + timedelta(seconds=seconds), live, event)

    def _note_end(self, live: Live, attempt: AttemptId) -> None:
        row = self._out.pop(attempt)
        instance = live.run.nodes[attempt.task_id].instances[attempt.map_index]
        row.end_date, row.state, row.reason = (
            self.now,
            str(instance.state),
            instance.reason,
        )

    # ── runs ────────────────────────────────────────────────────────────────

    def _room(self) -> int:
        scheduled = sum(live.is_planned for live in self._open.values())
        scheduled += sum(live.is_planned for live in self._queued)
        under_way = len(self._open) + len(self._queued)
        return scheduled_room(self._spec, self._schedule.timetable, scheduled, under_way)

    def _start_due(self) -> None:
        planned, room = self._schedule.next, self._room()
        if planned is None or planned > self.now or not room:
            return
        for run_after, interval in self._schedule.take(self.now, room):
            self._create("scheduled", run_after, interval)

    def _create(
        self, run_type: str, run_after: datetime, interval: DataInterval | None = None
    ) -> None:
        number = len(self.runs) + 1
        if number > MOST_RUNS:
            raise BadSimulation("simulate()", f"has more than {MOST_RUNS:,} runs")
        given = interval or manual_interval(self._schedule.timetable, run_after)
        row = RunRow(
            run_id=f"{self._spec.dag_id}/{number}",
            run_type=run_type,
            logical_date=utc(interval.start if interval else run_after),
            data_interval_start=utc(given.start),
            data_interval_end=utc(given.end),
            run_after=utc(run_after),
        )
        live = Live(self._spec, row)
        self.runs.append(row)
        self._queued.append(live)
        if self._has_past and live.is_planned:
            self._planned.append(live)

    def _open_runs(self) -> None:
        while self._queued and may_open(self._spec, len(self._open)):
            live = self._queued.pop(0)
            self._open[live.run.run_id] = live
            live.row.start_date, live.row.state = self.now, "running"
            self._tell(live, RunOpened(self._unsettled(live)))

    def _unsettled(self, live: Live) -> tuple[TaskId, ...]:
        if not self._has_past or not live.is_planned:
            return ()
        date = live.row.logical_date
        earlier = [one for one in self._planned if one.row.logical_date < date]
        return past.unsettled(self._spec, earlier[-1].run if earlier else None)

    def _settle_past(self) -> None:
        if not self._has_past:
            return
        for live in list(self._open.values()):
            nodes = live.run.nodes.values()
            waiting = [node.spec.task_id for node in nodes if node.row.waits_past]
            still = self._unsettled(live) if waiting else ()
            settled = tuple(task_id for task_id in waiting if task_id not in still)
            if settled:
                self._tell(live, PastSettled(settled))

    def _close(self, live: Live) -> None:
        del self._open[live.run.run_id]
        machine = live.run.row
        live.row.state, live.row.reason = str(machine.state), machine.reason
        live.row.end_date = self.now
        self._note_tasks(live)
        while len(self._planned) > 1 and self._planned[1].run.ended:
            self._planned.pop(0)  # nobody's past any more

    def _note_tasks(self, live: Live) -> None:
        nodes = live.run.nodes.values()
        self.tasks[live.row.run_id] = [
            TaskRow(
                run_id=live.row.run_id,
                logical_date=live.row.logical_date,
                task_id=one.task_id,
                map_index=one.map_index,
                state=str(one.state),
                tries=_tries(one),
                start_date=one.first_started_at,
                end_date=one.ended_at,
                reason=one.reason,
            )
            for node in nodes
            for _, one in sorted(node.instances.items())
        ]


def _tries(one: InstanceRow) -> int:
    """Failed ones, and the one that did not fail."""
    if not one.attempt:
        return 0
    return one.failures + (one.state not in (TaskState.FAILED, TaskState.UP_FOR_RETRY))
