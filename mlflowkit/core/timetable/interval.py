"""Timetables of data intervals: a run starts when its interval ends.

The intervals tile time: each begins where the one before has ended. Without catchup a DAG
goes on with the latest interval that is complete.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, tzinfo
from typing import Any

from mlflowkit.core.timetable.base import (
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
    EPOCH,
    Delta,
    checked_delta,
    delta_data,
    delta_of,
    delta_text,
    steps_for,
)
from mlflowkit.core.timetable.wall import CronTicks
from mlflowkit.core.timetable.zones import zone_of, zone_text


class IntervalTimetable(NativeTimetable):
    """What timetables of data intervals have in common. Never made itself."""

    def ticks(self, earliest: datetime | None, last_end: datetime | None) -> Ticks:
        """The borders of the intervals."""
        raise NotImplementedError

    def next_dagrun_info(
        self,
        *,
        last_automated_data_interval: DataInterval | None,
        restriction: TimeRestriction,
    ) -> DagRunInfo | None:
        earliest, latest, catchup, *_ = restriction
        last = last_automated_data_interval
        ticks = self.ticks(earliest, last.end if last else None)
        first = ticks.at_or_after(earliest) if earliest else None
        start = ticks.at_or_before(last.end) if last else first if catchup else None
        if start is None or not catchup:
            complete = ticks.before(ticks.at_or_before(restriction.moment))
            start = later(start, complete)
        start = later(start, first)
        if latest is not None and start > latest:
            return None
        return DagRunInfo.interval(start, ticks.after(start))


class CronDataIntervalTimetable(IntervalTimetable):
    """Data intervals from one time of a cron expression to the next.

    Args:
        cron: Five fields, or six with seconds last, or an alias such as "@daily".
        timezone: A name ("Europe/Athens") or a tzinfo.

    Raises:
        BadTimetable, BadZone: one of them cannot be read.
    """

    def __init__(self, cron: str, timezone: str | tzinfo) -> None:
        self.cron = cron
        self.timezone = zone_of(timezone)
        self._ticks = CronTicks(parse_cron(cron), self.timezone)
        zone = zone_text(self.timezone)
        self.description = f"Cron {cron!r} in {zone}; a run starts when its interval ends"

    @property
    def summary(self) -> str:
        return self.cron

    def ticks(self, earliest: datetime | None, last_end: datetime | None) -> Ticks:
        return self._ticks

    def infer_manual_data_interval(self, *, run_after: datetime) -> DataInterval:
        """The latest interval that is complete then."""
        end = self._ticks.at_or_before(run_after)
        return DataInterval(self._ticks.before(end), end)

    def serialize(self) -> dict[str, Any]:
        return {"cron": self.cron, "timezone": zone_text(self.timezone)}


class DeltaDataIntervalTimetable(IntervalTimetable):
    """Data intervals of one length, counted in absolute time from the start date.

    Without a start date they are counted from 1 January 1970, UTC.

    Args:
        delta: A timedelta, or a relativedelta of dateutil ("one month").

    Raises:
        BadTimetable: it does not lead forward.
    """

    def __init__(self, delta: Delta) -> None:
        self.delta = checked_delta(delta)
        self.description = f"Every {self.summary}; a run starts when its interval ends"

    @property
    def summary(self) -> str:
        return delta_text(self.delta)

    def ticks(self, earliest: datetime | None, last_end: datetime | None) -> Ticks:
        return steps_for(self.delta, earliest or EPOCH, last_end)

    def infer_manual_data_interval(self, *, run_after: datetime) -> DataInterval:
        """The span that ends then."""
        end = utc(run_after)
        return DataInterval(end - self.delta, end)

    def serialize(self) -> dict[str, Any]:
        return {"delta": delta_data(self.delta)}

    @classmethod
    def deserialize(cls, data: Mapping[str, Any]) -> DeltaDataIntervalTimetable:
        return cls(delta_of(data["delta"]))
