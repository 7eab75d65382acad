"""Timetables that start a run at a time, as cron does: nothing waits for an interval to end.

The data interval is a look back from the start of the run; unless asked for, it is empty.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta, tzinfo
from typing import Any, Final

from mlflowkit.core.timetable.base import (
    NO_TIME,
    DagRunInfo,
    DataInterval,
    NativeTimetable,
    Ticks,
    TimeRestriction,
    later,
    utc,
)
from mlflowkit.core.timetable.cron import parse_cron
from mlflowkit.core.timetable.steps import (
    Delta,
    checked_delta,
    delta_data,
    delta_of,
    delta_text,
    steps_for,
)
from mlflowkit.core.timetable.wall import CronTicks
from mlflowkit.core.timetable.zones import zone_of, zone_text
from mlflowkit.errors import BadTimetable

RunImmediately = bool | timedelta | None
_SHORTEST_LOOK_BACK: Final = timedelta(minutes=5)


class TriggerTimetable(NativeTimetable):
    """What timetables of single moments have in common. Never made itself."""

    interval: Delta

    def ticks(self, restriction: TimeRestriction, last_end: datetime | None) -> Ticks:
        """The moments at which runs start."""
        raise NotImplementedError

    def first_run(self, ticks: Ticks, seen: datetime) -> datetime:
        """The first run of a DAG without a start date, first seen at that moment."""
        return ticks.at_or_before(seen)

    def next_dagrun_info(
        self,
        *,
        last_automated_data_interval: DataInterval | None,
        restriction: TimeRestriction,
    ) -> DagRunInfo | None:
        last, earliest = last_automated_data_interval, restriction.earliest
        ticks = self.ticks(restriction, last.end if last else None)
        start = ticks.after(last.end) if last else None
        if earliest is not None:
            start = later(start, ticks.at_or_after(earliest))
        if start is None:
            start = self.first_run(ticks, restriction.seen)
        if not restriction.catchup:
            start = later(start, ticks.at_or_before(restriction.moment))
        if restriction.latest is not None and start > restriction.latest:
            return None
        return DagRunInfo.interval(start - self.interval, start)

    def infer_manual_data_interval(self, *, run_after: datetime) -> DataInterval:
        """The look back from that moment."""
        end = utc(run_after)
        return DataInterval(end - self.interval, end)


class CronTriggerTimetable(TriggerTimetable):
    """A run at each time of a cron expression.

    Args:
        cron: Five fields, or six with seconds last, or an alias such as "@daily".
        timezone: A name ("Europe/Athens") or a tzinfo.
        interval: How far the data interval looks back; by default it is empty.
        run_immediately: For a DAG with no start date and no run yet. False waits for
            the next time; True takes the last one at once; a timedelta takes it if it is
            no longer ago; None, if no more than a tenth of the way to the next (or 5
            minutes) has passed.

    Raises:
        BadTimetable, BadZone: one of them cannot be read.
    """

    def __init__(
        self,
        cron: str,
        *,
        timezone: str | tzinfo,
        interval: Delta = NO_TIME,
        run_immediately: RunImmediately = False,
    ) -> None:
        self.cron = cron
        self.timezone = zone_of(timezone)
        self.interval = _checked_interval(interval)
        self.run_immediately = run_immediately
        self._ticks = CronTicks(parse_cron(cron), self.timezone)
        self.description = f"At each time of cron {cron!r} in {zone_text(self.timezone)}"

    @property
    def summary(self) -> str:
        return self.cron

    def ticks(self, restriction: TimeRestriction, last_end: datetime | None) -> Ticks:
        return self._ticks

    def first_run(self, ticks: Ticks, seen: datetime) -> datetime:
        past, coming = ticks.at_or_before(seen), ticks.at_or_after(seen)
        if isinstance(self.run_immediately, bool):
            return past if self.run_immediately else coming
        allowed = self.run_immediately
        if allowed is None:
            allowed = max((ticks.after(past) - past) / 10, _SHORTEST_LOOK_BACK)
        return past if seen - past <= allowed else coming

    def serialize(self) -> dict[str, Any]:
        return {"cron": self.cron, **_common_data(self)}

    @classmethod
    def deserialize(cls, data: Mapping[str, Any]) -> CronTriggerTimetable:
        return cls(data["cron"], **_common(data))


class DeltaTriggerTimetable(TriggerTimetable):
    """A run every so often, counted in absolute time from the start date.

    Without a start date the first run is at once, and the others are counted from it.

    Args:
        delta: The time from run to run: a timedelta or a relativedelta.
        interval: How far the data interval looks back; by default it is empty.

    Raises:
        BadTimetable: the delta does not lead forward.
    """

    def __init__(self, delta: Delta, *, interval: Delta = NO_TIME) -> None:
        self.delta = checked_delta(delta)
        self.interval = _checked_interval(interval)
        self.description = f"Every {self.summary}"

    @property
    def summary(self) -> str:
        return delta_text(self.delta)

    def ticks(self, restriction: TimeRestriction, last_end: datetime | None) -> Ticks:
        return steps_for(self.delta, restriction.earliest or restriction.seen, last_end)

    def serialize(self) -> dict[str, Any]:
        return {"delta": delta_data(self.delta), "interval": delta_data(self.interval)}

    @classmethod
    def deserialize(cls, data: Mapping[str, Any]) -> DeltaTriggerTimetable:
        return cls(delta_of(data["delta"]), interval=delta_of(data["interval"]))


class MultipleCronTriggerTimetable(NativeTimetable):
    """A run at each time of any of several cron expressions; once where they meet.

    Args:
        crons: At least one expression; the other arguments are CronTriggerTimetable's.

    Raises:
        BadTimetable, BadZone: one of them cannot be read, or there is none.
    """

    def __init__(
        self,
        *crons: str,
        timezone: str | tzinfo,
        interval: Delta = NO_TIME,
        run_immediately: RunImmediately = False,
    ) -> None:
        if not crons:
            raise BadTimetable((), "holds no cron expression: give at least one")
        self.timetables = tuple(
            CronTriggerTimetable(
                cron, timezone=timezone, interval=interval, run_immediately=run_immediately
            )
            for cron in crons
        )
        self.description = ", ".join(each.description for each in self.timetables)

    @property
    def summary(self) -> str:
        return ", ".join(each.summary for each in self.timetables)

    def next_dagrun_info(
        self,
        *,
        last_automated_data_interval: DataInterval | None,
        restriction: TimeRestriction,
    ) -> DagRunInfo | None:
        asked = [
            each.next_dagrun_info(
                last_automated_data_interval=last_automated_data_interval,
                restriction=restriction,
            )
            for each in self.timetables
        ]
        found = sorted(info for info in asked if info is not None)
        due = [info for info in found if info.run_after <= restriction.moment]
        if due and not restriction.catchup:
            return due[-1]
        return found[0] if found else None

    def infer_manual_data_interval(self, *, run_after: datetime) -> DataInterval:
        """The look back from that moment."""
        return self.timetables[0].infer_manual_data_interval(run_after=run_after)

    def serialize(self) -> dict[str, Any]:
        crons = [each.cron for each in self.timetables]
        return {"crons": crons, **_common_data(self.timetables[0])}

    @classmethod
    def deserialize(cls, data: Mapping[str, Any]) -> MultipleCronTriggerTimetable:
        return cls(*data["crons"], **_common(data))


def _checked_interval(interval: Delta) -> Delta:
    """An empty look back, or one that leads forward."""
    return interval if interval == NO_TIME else checked_delta(interval)


def _common_data(timetable: CronTriggerTimetable) -> dict[str, Any]:
    run = timetable.run_immediately
    return {
        "timezone": zone_text(timetable.timezone),
        "interval": delta_data(timetable.interval),
        "run_immediately": delta_data(run) if isinstance(run, timedelta) else run,
    }


def _common(data: Mapping[str, Any]) -> dict[str, Any]:
    run: bool | dict[str, Any] | None = data["run_immediately"]
    return {
        "timezone": data["timezone"],
        "interval": delta_of(data["interval"]),
        "run_immediately": delta_of(run) if isinstance(run, dict) else run,
    }
