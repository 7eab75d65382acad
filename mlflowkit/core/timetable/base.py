"""The words of schedules: data interval, what a run is told, and the timetable itself.

Nothing here, nor in the native timetables, reads a clock: the moment that counts as
"now" rides on `TimeRestriction`, so the same question always has the same answer.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar, Final, NamedTuple, Protocol, Self

from mlflowkit.errors import BadTimetable


def utc(moment: datetime) -> datetime:
    """The same moment in UTC.

    Raises:
        BadTimetable: it has no time zone.
    """
    if moment.tzinfo is None:
        raise BadTimetable(
            moment.isoformat(" "), "has no time zone: give it a tzinfo (datetime.UTC)"
        )
    return moment.astimezone(UTC)


class DataInterval(NamedTuple):
    """The data that a run is about: from `start`, up to but without `end`. Both aware."""

    start: datetime
    end: datetime

    @classmethod
    def exact(cls, at: datetime) -> Self:
        """The empty interval at one moment."""
        return cls(at, at)


class DagRunInfo(NamedTuple):
    """What a timetable says of one run."""

    #: The run starts at this moment or as soon as possible after it. Aware.
    run_after: datetime
    data_interval: DataInterval

    @classmethod
    def exact(cls, at: datetime) -> Self:
        """A run at a moment, with an empty data interval."""
        return cls(at, DataInterval.exact(at))

    @classmethod
    def interval(cls, start: datetime, end: datetime) -> Self:
        """A run that starts when its data interval ends."""
        return cls(end, DataInterval(start, end))

    @property
    def logical_date(self) -> datetime:
        """The start of the data interval: the date that names the run."""
        return self.data_interval.start


#: No moment was given: nothing here may look at a clock.
UNSAID: Final = datetime.min.replace(tzinfo=UTC)


class TimeRestriction(NamedTuple):
    """What a DAG allows, and the moment of the question."""

    #: The DAG's start_date and end_date; both are still allowed.
    earliest: datetime | None
    latest: datetime | None
    catchup: bool
    #: The moment of the question. The one of `mlflowkit.timetables` looks at the clock
    #: where it is left out.
    now: datetime = UNSAID
    #: When the schedule was first seen: nothing that was due before counts as missed
    #: where no start_date says so. None: now.
    since: datetime | None = None

    @property
    def moment(self) -> datetime:
        """`now` in UTC.

        Raises:
            BadTimetable: nobody said it.
        """
        if self.now == UNSAID:
            raise BadTimetable("TimeRestriction", "has no `now`: say the moment")
        return utc(self.now)

    @property
    def seen(self) -> datetime:
        """`since`, or `now`, in UTC."""
        return self.moment if self.since is None else utc(self.since)


class Ticks(Protocol):
    """Moments that follow one another without end in either direction, in UTC."""

    def after(self, moment: datetime) -> datetime: ...
    def before(self, moment: datetime) -> datetime: ...
    def at_or_after(self, moment: datetime) -> datetime: ...
    def at_or_before(self, moment: datetime) -> datetime: ...


class Timetable:
    """When a DAG runs, and for which data. Write a subclass for a schedule of your own.

    A subclass answers `next_dagrun_info` and `infer_manual_data_interval`. It should go
    by what it is given alone: with `restriction.now` in place of the clock, simulated
    and real runs are the same.
    """

    #: A sentence for people.
    description: str = ""
    #: False for schedules that do not come again: "@once", None, assets.
    periodic: bool = True
    #: False where runs start only when somebody or something asks.
    can_be_scheduled: bool = True
    #: Runs that may be under way at once, where the schedule itself sets a limit.
    active_runs_limit: int | None = None

    @property
    def summary(self) -> str:
        """A few words for lists; the name of the class unless a subclass knows better."""
        return type(self).__name__

    def next_dagrun_info(
        self,
        *,
        last_automated_data_interval: DataInterval | None,
        restriction: TimeRestriction,
    ) -> DagRunInfo | None:
        """The next scheduled run, due or not; None if there is none.

        Args:
            last_automated_data_interval: Of the last scheduled or backfilled run. Runs that
                a person started do not count.
            restriction: Start date, end date and catchup of the DAG, and the moment.
        """
        raise NotImplementedError(f"{type(self).__name__} has no next_dagrun_info()")

    def infer_manual_data_interval(self, *, run_after: datetime) -> DataInterval:
        """The data interval of a run that a person starts at `run_after`."""
        raise NotImplementedError(
            f"{type(self).__name__} has no infer_manual_data_interval()"
        )

    def serialize(self) -> dict[str, Any]:
        """Plain data from which `deserialize` makes an equal timetable."""
        return {}

    @classmethod
    def deserialize(cls, data: Mapping[str, Any]) -> Timetable:
        return cls(**data)

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {self.summary}>"


class NativeTimetable(Timetable):
    """One that the engine itself can ask: plain data, equal to any with the same data."""

    #: False where a part of it is a person's code.
    asks_no_one: ClassVar[bool] = True

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return self.serialize() == other.serialize()

    def __hash__(self) -> int:
        return hash((type(self).__name__, json.dumps(self.serialize(), sort_keys=True)))


def later(*moments: datetime | None) -> datetime:
    """The latest of those that are there; at least one is."""
    return max(moment for moment in moments if moment is not None)


#: A run may look at data of this length without asking for it: none.
NO_TIME = timedelta()
