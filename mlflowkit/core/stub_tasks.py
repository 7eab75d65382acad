"""What one attempt of a stub task comes to: how long it takes, and how it ends."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from math import floor
from typing import TYPE_CHECKING, Final

from mlflowkit.core.events import (
    AttemptEvent,
    AttemptFailed,
    AttemptRescheduled,
    AttemptSkipped,
    AttemptSucceeded,
)
from mlflowkit.core.looks import growing_pause
from mlflowkit.core.stub_answers import Durations, Outcomes
from mlflowkit.core.stubs import (
    LOOK_SECONDS,
    USUAL_SECONDS,
    Outcome,
    Stub,
    Waits,
    checked_seconds,
)
from mlflowkit.core.timetable import DataInterval, TimeRestriction, Timetable
from mlflowkit.errors import BadSimulation, suggest

if TYPE_CHECKING:
    from mlflowkit.core.history import RunRow
    from mlflowkit.core.machine import InstanceRow
    from mlflowkit.core.spec import AttemptId, DagSpec, TaskId

#: A sensor that looks more often than this in one attempt is a mistake in its times.
MOST_LOOKS: Final = 10_000_000
_NOTHING: Final = Stub()


class StubTasks:
    """The tasks of a simulated DAG."""

    def __init__(
        self,
        spec: DagSpec,
        timetable: Timetable,
        outcomes: Outcomes,
        durations: Durations,
        stubs: Mapping[TaskId, Stub],
    ) -> None:
        self._spec, self._timetable = spec, timetable
        self._outcomes, self._durations, self._stubs = outcomes, durations, stubs

    def attempt(
        self, run: RunRow, attempt: AttemptId, instance: InstanceRow, now: datetime
    ) -> tuple[float, AttemptEvent]:
        """Seconds from now until it ends, and the event of its end.

        Raises:
            BadSimulation: an outcome that does not fit the task.
        """
        try_number = instance.failures + 1
        stub = self._stubs.get(attempt.task_id, _NOTHING)
        outcome = self._outcomes.of(run, attempt, try_number)
        waits = stub.waits or (Waits() if outcome.looks is not None else None)
        if outcome.seconds is not None:
            seconds = checked_seconds("seconds", outcome.seconds)
        else:
            usual = LOOK_SECONDS if waits else USUAL_SECONDS
            seconds = self._durations.of(run, attempt, try_number, usual)
        if waits is None:
            return seconds, self._end(run, attempt, stub, outcome, now, seconds)
        looked = _look(_Looking(waits, attempt, outcome.looks or 1, seconds), instance, now)
        if isinstance(looked[1], str):
            end = now + timedelta(seconds=looked[0])
            return looked[0], self._end(run, attempt, stub, outcome, end, 0)
        return looked[0], looked[1]

    def _end(
        self,
        run: RunRow,
        attempt: AttemptId,
        stub: Stub,
        outcome: Outcome,
        now: datetime,
        seconds: float,
    ) -> AttemptEvent:
        if outcome.state == "failed":
            why = outcome.why or "failed, as `outcomes` says"
            return AttemptFailed(attempt, why, retryable=outcome.retryable)
        if outcome.state == "skipped":
            return AttemptSkipped(attempt, outcome.why or "skipped, as `outcomes` says")
        task = self._spec.tasks[attempt.task_id]
        lengths = {key: outcome.length_of(key) for key in task.expanded_keys}
        chosen = self._chosen(attempt.task_id, stub, outcome)
        halts = "" if outcome.goes_on else stub.short_circuit or "all"
        end = now + timedelta(seconds=seconds)
        if stub.latest_only and not halts and not self._is_latest(run, end):
            halts = "direct"
        return AttemptSucceeded(attempt, lengths, chosen, halts)

    def _chosen(
        self, task_id: TaskId, stub: Stub, outcome: Outcome
    ) -> tuple[TaskId, ...] | None:
        """A branch: what goes on; the first task below where nobody says."""
        below = self._spec.downstream(task_id)
        if outcome.chosen is None:
            return below[:1] if stub.branch else None
        names = [outcome.chosen] if isinstance(outcome.chosen, str) else outcome.chosen
        return tuple(found for name in names for found in self._below(task_id, name, below))

    def _below(self, task_id: TaskId, name: str, below: Sequence[TaskId]) -> list[TaskId]:
        """The task of this name, or the first tasks of the group."""
        found = [one for one in below if one == name]
        if not found and name in self._spec.groups:
            found = [one for one in below if one.startswith(f"{name}.")]
        if not found:
            known = [*below, *self._spec.groups]
            why = f"{name!r} is not directly below it.{suggest(name, known)}"
            raise BadSimulation(f"the branch {task_id!r}", why)
        return found

    def _is_latest(self, run: RunRow, now: datetime) -> bool:
        """As LatestOnlyOperator finds out: no later scheduled run is due yet."""
        if run.run_type != "scheduled":
            return True
        interval = DataInterval(run.data_interval_start, run.data_interval_end)
        coming = self._timetable.next_dagrun_info(
            last_automated_data_interval=interval,
            restriction=TimeRestriction(interval.end, None, True, now),
        )
        return coming is None or interval.start < now <= coming.data_interval.end


class _Looking:
    """A sensor that looks."""

    __slots__ = ("attempt", "looks", "seconds", "waits")

    def __init__(
        self, waits: Waits, attempt: AttemptId, looks: float, seconds: float
    ) -> None:
        self.waits, self.attempt = waits, attempt
        #: Which look finds it, and how long each takes.
        self.looks, self.seconds = looks, seconds

    def pause(self, number: int, waited: float) -> float:
        """The wait after look `number`."""
        waits = self.waits
        if not waits.exponential:
            return waits.interval
        who = (str(self.attempt.run_id), self.attempt.task_id, self.attempt.map_index)
        return growing_pause(
            tuple(map(_plain, who)),
            number,
            waited,
            interval=waits.interval,
            timeout=waits.timeout,
            longest=waits.longest,
        )

    def time_is_over(self, waited: float) -> AttemptEvent:
        why = f"waited {waited:.0f} s; its timeout is {self.waits.timeout:.0f} s"
        if self.waits.soft_fail:
            return AttemptSkipped(self.attempt, f"skipped by soft_fail: {why}")
        return AttemptFailed(self.attempt, why, retryable=False)


def _plain(value: object) -> object:
    return str(value) if isinstance(value, str) else value


def _look(
    looking: _Looking, instance: InstanceRow, now: datetime
) -> tuple[float, AttemptEvent | str]:
    """Seconds, and how they end; "found" where the outcome says how."""
    if looking.waits.reschedule:
        return _look_once(looking, instance, now)
    if not looking.waits.exponential:
        return _look_evenly(looking)
    seconds, number = 0.0, 0
    while number < MOST_LOOKS:
        number += 1
        seconds += looking.seconds
        if number >= looking.looks:
            return seconds, "found"
        if seconds > looking.waits.timeout:
            return seconds, looking.time_is_over(seconds)
        seconds += looking.pause(number, seconds)
    raise BadSimulation("simulate()", f"a sensor looks more than {MOST_LOOKS:,} times")


def _look_once(
    looking: _Looking, instance: InstanceRow, now: datetime
) -> tuple[float, AttemptEvent | str]:
    """One look of a sensor that gives its place back."""
    number, end = instance.reschedules + 1, now + timedelta(seconds=looking.seconds)
    waited = (end - (instance.first_started_at or now)).total_seconds()
    if number >= looking.looks:
        return looking.seconds, "found"
    if waited > looking.waits.timeout:
        return looking.seconds, looking.time_is_over(waited)
    when = end + timedelta(seconds=looking.pause(number, waited))
    return looking.seconds, AttemptRescheduled(looking.attempt, when)


def _look_evenly(looking: _Looking) -> tuple[float, AttemptEvent | str]:
    """All looks of a sensor that keeps its place, without counting them one by one."""
    each, pause = looking.seconds, looking.waits.interval
    if each + pause <= 0:
        if looking.looks == float("inf"):
            raise BadSimulation("simulate()", "a sensor without interval looks for ever")
        return 0.0, "found"
    last = floor((looking.waits.timeout + pause) / (each + pause)) + 1
    number = min(looking.looks, last)
    seconds = number * each + (number - 1) * pause
    if number >= looking.looks:
        return seconds, "found"
    return seconds, looking.time_is_over(seconds)
