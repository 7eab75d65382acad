"""The planner: which runs of a DAG are due, which comes next, and what a backfill holds.

A pure function of what the store knows and the moment: a restart changes nothing, and a
simulated month is the real one. It asks timetables; it never starts a run, and how many
may be under way at once is not its business.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from itertools import islice
from typing import TYPE_CHECKING, Final

from mlflowkit.core.timetable import (
    ContinuousTimetable,
    DagRunInfo,
    DataInterval,
    DeltaTriggerTimetable,
    TimeRestriction,
    Timetable,
    condition_met,
    timetable_from_json,
)
from mlflowkit.core.timetable.assets import AssetOrTimeSchedule
from mlflowkit.core.timetable.base import utc
from mlflowkit.core.timetable.interval import IntervalTimetable
from mlflowkit.core.timetable.steps import Steps

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mlflowkit.core.spec import DagSpec

#: More runs than this are no backfill but a mistake in the dates.
MOST_RUNS: Final = 1_000_000

__all__ = [
    "Plan",
    "backfill_infos",
    "condition_met",
    "due",
    "manual_interval",
    "next_due",
    "next_info",
    "upcoming",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What the planner must know of a DAG."""

    timetable: Timetable
    start_date: datetime | None = None
    end_date: datetime | None = None
    catchup: bool = False
    #: The data interval of the last scheduled run; None: there was none yet.
    last: DataInterval | None = None
    #: When the schedule was first seen, and again when it was changed or unpaused.
    #: Kept by the store, so that a time that passes while no engine is alive is seen as
    #: missed. None: at this moment.
    since: datetime | None = None

    @classmethod
    def of(cls, dag: DagSpec, *, last: DataInterval | None, since: datetime | None) -> Plan:
        """The plan of a DAG with a native timetable."""
        return cls(
            timetable=timetable_from_json(dag.timetable_json),
            start_date=dag.start_date,
            end_date=dag.end_date,
            catchup=dag.catchup,
            last=last,
            since=since,
        )

    def restriction(self, now: datetime) -> TimeRestriction:
        """What the timetable is told beside the last interval."""
        return TimeRestriction(
            self.start_date, self.end_date, self.catchup, now, self.since
        )


def next_info(plan: Plan, now: datetime) -> DagRunInfo | None:
    """The next scheduled run, due or not; None: there is none.

    Raises:
        TimetableElsewhere: its timetable is a person's code.
    """
    return plan.timetable.next_dagrun_info(
        last_automated_data_interval=plan.last, restriction=plan.restriction(now)
    )


def next_due(plan: Plan, now: datetime) -> datetime | None:
    """When the next scheduled run is to start; not after `now` if it is overdue."""
    info = next_info(plan, now)
    return None if info is None else info.run_after


def upcoming(plan: Plan, now: datetime, count: int) -> list[DagRunInfo]:
    """The next scheduled runs, in order, if each starts when it is due."""
    found: list[DagRunInfo] = []
    while len(found) < count:
        info = next_info(plan, now)
        if info is None or not _is_news(info, plan.last):
            break
        found.append(info)
        now = max(now, info.run_after)
        plan = replace(plan, last=info.data_interval)
    return found


def due(plan: Plan, now: datetime, limit: int) -> list[DagRunInfo]:
    """The runs to start now, in order: all that were missed with catchup, one without.

    Args:
        limit: Most of them that may start; what is left is due again when asked again.
    """
    most = min(limit, plan.timetable.active_runs_limit or limit)
    return list(islice(_due(plan, now), max(most, 0)))


def _due(plan: Plan, now: datetime) -> Iterator[DagRunInfo]:
    while True:
        info = next_info(plan, now)
        if info is None or info.run_after > now or not _is_news(info, plan.last):
            return
        yield info
        if not plan.catchup:
            return
        plan = replace(plan, last=info.data_interval)


def _is_news(info: DagRunInfo, last: DataInterval | None) -> bool:
    """Whether it leads on; a timetable that does not would start runs without end."""
    if last is None:
        return True
    return (info.data_interval.end, info.data_interval.start) > (last.end, last.start)


def backfill_infos(
    timetable: Timetable,
    start: datetime,
    end: datetime,
    *,
    reverse: bool = False,
    start_date: datetime | None = None,
    now: datetime | None = None,
) -> list[DagRunInfo]:
    """The runs of [start, end], both included, in order.

    Intervals count by their start, as the logical date of the run; runs of a trigger
    timetable by their own moment.

    Args:
        reverse: The latest first.
        start_date: The DAG's: schedules of a fixed span count from it.
        now: Leave out what is not over by then.

    Returns:
        Nothing for schedules without times of their own: None, "@continuous", assets.
    """
    start, end = utc(start), utc(end)
    if isinstance(timetable, AssetOrTimeSchedule):
        timetable = timetable.timetable
    if isinstance(timetable, ContinuousTimetable):
        return []
    first = _first_of(timetable, start, start_date)
    plan = Plan(
        timetable=timetable, start_date=first, end_date=end, catchup=True, since=start
    )
    found = [
        info
        for info in islice(_until(plan, end), MOST_RUNS)
        if now is None or info.run_after <= now
    ]
    return found[::-1] if reverse else found


def _first_of(
    timetable: Timetable, start: datetime, start_date: datetime | None
) -> datetime:
    """Where a schedule of a fixed span goes on at `start`: it counts from its start date."""
    if isinstance(timetable, IntervalTimetable):
        return timetable.ticks(start_date, None).at_or_after(start)
    if isinstance(timetable, DeltaTriggerTimetable):
        return Steps(utc(start_date or start), timetable.delta).at_or_after(start)
    return start


def _until(plan: Plan, end: datetime) -> Iterator[DagRunInfo]:
    while True:
        info = next_info(plan, end)
        if info is None or info.logical_date > end or not _is_news(info, plan.last):
            return
        yield info
        plan = replace(plan, last=info.data_interval)


def manual_interval(timetable: Timetable, run_after: datetime) -> DataInterval:
    """The data interval of a run that a person starts.

    Raises:
        TimetableElsewhere: its timetable is a person's code.
    """
    return timetable.infer_manual_data_interval(run_after=utc(run_after))
