"""Timetables without a rhythm: never, once, without a pause, and at listed moments."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from mlflowkit.core.timetable.base import (
    DagRunInfo,
    DataInterval,
    NativeTimetable,
    TimeRestriction,
    later,
    utc,
)


class _TrivialTimetable(NativeTimetable):
    """A run that a person starts has an empty interval, at its start."""

    periodic = False

    def infer_manual_data_interval(self, *, run_after: datetime) -> DataInterval:
        return DataInterval.exact(utc(run_after))


class NullTimetable(_TrivialTimetable):
    """No scheduled runs (`schedule=None`)."""

    can_be_scheduled = False
    description = "Runs when somebody asks"

    @property
    def summary(self) -> str:
        return "None"

    def next_dagrun_info(
        self,
        *,
        last_automated_data_interval: DataInterval | None,
        restriction: TimeRestriction,
    ) -> DagRunInfo | None:
        return None


class OnceTimetable(_TrivialTimetable):
    """One run, at the start date or at once (`schedule="@once"`)."""

    description = "Once, as soon as possible"

    @property
    def summary(self) -> str:
        return "@once"

    def next_dagrun_info(
        self,
        *,
        last_automated_data_interval: DataInterval | None,
        restriction: TimeRestriction,
    ) -> DagRunInfo | None:
        if last_automated_data_interval is not None:
            return None
        at = utc(restriction.earliest or restriction.seen)
        if restriction.latest is not None and at > restriction.latest:
            return None
        return DagRunInfo.exact(at)


class ContinuousTimetable(_TrivialTimetable):
    """The next run as soon as the one before has ended (`schedule="@continuous"`).

    A run's data interval goes from the start of the one before to its own start.
    """

    description = "Again as soon as a run has ended"
    active_runs_limit = 1

    @property
    def summary(self) -> str:
        return "@continuous"

    def next_dagrun_info(
        self,
        *,
        last_automated_data_interval: DataInterval | None,
        restriction: TimeRestriction,
    ) -> DagRunInfo | None:
        last = last_automated_data_interval
        earliest = restriction.earliest
        start = later(last.end, earliest) if last else earliest or restriction.seen
        start = utc(start)
        end = later(start, restriction.moment)
        if restriction.latest is not None and end > restriction.latest:
            return None
        return DagRunInfo.interval(start, end)


class EventsTimetable(NativeTimetable):
    """A run at each of the listed moments.

    Args:
        event_dates: Aware datetimes; those that are there twice count once.
        restrict_to_events: A run that a person starts takes the latest event as its data
            interval (the first one if all are to come), and not the moment it is started.
        presorted: They are in order already.
        description: What people are shown instead of a count.

    Raises:
        BadTimetable: a moment has no time zone.
    """

    def __init__(
        self,
        event_dates: Iterable[datetime],
        restrict_to_events: bool = False,
        presorted: bool = False,
        description: str | None = None,
    ) -> None:
        events = [utc(event) for event in event_dates]
        self.event_dates = tuple(dict.fromkeys(events if presorted else sorted(events)))
        self.restrict_to_events = restrict_to_events
        self._given = description
        self.description = description if description is not None else self._span()

    def _span(self) -> str:
        if not self.event_dates:
            return "No events"
        first, last = self.event_dates[0], self.event_dates[-1]
        return f"{self.summary} between {first.isoformat()} and {last.isoformat()}"

    @property
    def summary(self) -> str:
        count = len(self.event_dates)
        return self._given or f"{count} event{'s' * (count != 1)}"

    def next_dagrun_info(
        self,
        *,
        last_automated_data_interval: DataInterval | None,
        restriction: TimeRestriction,
    ) -> DagRunInfo | None:
        """With catchup off, what was due before the schedule was seen is left out; of
        what was missed since, the latest event is taken."""
        last, earliest = last_automated_data_interval, restriction.earliest
        if not restriction.catchup:
            earliest = later(earliest, restriction.seen)
        found = [
            event
            for event in self.event_dates
            if (earliest is None or event >= earliest) and (not last or event > last.end)
        ]
        if not restriction.catchup:
            missed = [event for event in found if event <= restriction.moment]
            found = found[max(len(missed) - 1, 0) :]
        if not found or (restriction.latest is not None and found[0] > restriction.latest):
            return None
        return DagRunInfo.exact(found[0])

    def infer_manual_data_interval(self, *, run_after: datetime) -> DataInterval:
        if not self.restrict_to_events or not self.event_dates:
            return DataInterval.exact(utc(run_after))
        past = [event for event in self.event_dates if event <= run_after]
        return DataInterval.exact(past[-1] if past else self.event_dates[0])

    def serialize(self) -> dict[str, Any]:
        return {
            "event_dates": [event.isoformat() for event in self.event_dates],
            "restrict_to_events": self.restrict_to_events,
            "description": self._given,
        }

    @classmethod
    def deserialize(cls, data: Mapping[str, Any]) -> EventsTimetable:
        events = [datetime.fromisoformat(text) for text in data["event_dates"]]
        return cls(events, data["restrict_to_events"], True, data["description"])
