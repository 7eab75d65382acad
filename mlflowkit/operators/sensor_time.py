"""Sensors that wait for a moment: after a run's interval, a date, a time of day, a weekday."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, time, timedelta
from enum import IntEnum
from typing import Any, ClassVar

from mlflowkit.authoring import waiting
from mlflowkit.authoring.sensor import BaseSensorOperator
from mlflowkit.errors import BadOption, NoRunDate
from mlflowkit.operators.dag_zone import InDagZone


class WeekDay(IntEnum):
    """Days as `datetime.isoweekday` counts them."""

    MONDAY = 1
    TUESDAY = 2
    WEDNESDAY = 3
    THURSDAY = 4
    FRIDAY = 5
    SATURDAY = 6
    SUNDAY = 7


#: One day or several, by name (any case) or as `WeekDay`.
WeekDays = str | WeekDay | Iterable[str] | Iterable[WeekDay]


class TimeDeltaSensor(BaseSensorOperator):
    """Waits until `delta` after the end of the run's data interval.

    A run without a data interval counts from the moment it could start.
    """

    def __init__(self, task_id: str, *, delta: timedelta, **options: Any) -> None:
        super().__init__(task_id, **options)
        if not isinstance(delta, timedelta):
            where = f"sensor {task_id!r}"
            raise BadOption(where, "delta", f"must be a timedelta, not {delta!r}")
        self.delta = delta

    def poke(self, context: Mapping[str, Any]) -> bool:
        return waiting.now() > self._base(context) + self.delta

    def _base(self, context: Mapping[str, Any]) -> datetime:
        dag_run = context.get("dag_run")
        places = (
            context.get("data_interval_end"),
            getattr(dag_run, "run_after", None),
            context.get("logical_date"),
            getattr(dag_run, "start_date", None),
        )
        for found in places:
            if isinstance(found, datetime):
                return found
        raise NoRunDate(self.task_id, "the data interval")


class DateTimeSensor(BaseSensorOperator):
    """Waits until a moment. Without a zone it is one of UTC.

    Args:
        target_time: A datetime, or text in ISO format (templated), such as
            "{{ data_interval_end + macros.timedelta(hours=1) }}".
    """

    template_fields: ClassVar[Sequence[str]] = ("target_time",)

    def __init__(
        self, task_id: str, *, target_time: str | datetime, **options: Any
    ) -> None:
        super().__init__(task_id, **options)
        self.target_time: object = target_time
        if isinstance(target_time, str) and "{" not in target_time:
            self._moment()

    def poke(self, context: Mapping[str, Any]) -> bool:
        return waiting.now() > self._moment()

    def _moment(self) -> datetime:
        found = self.target_time
        if isinstance(found, str):
            try:
                found = datetime.fromisoformat(found.strip())
            except ValueError as exc:
                why = f"must be a moment like '2026-01-31T11:00:00+00:00', not {found!r}"
                raise BadOption(f"sensor {self.task_id!r}", "target_time", why) from exc
        if not isinstance(found, datetime):
            why = f"must be a datetime or text, not {found!r}"
            raise BadOption(f"sensor {self.task_id!r}", "target_time", why)
        return found if found.tzinfo else found.replace(tzinfo=UTC)


class TimeSensor(InDagZone, BaseSensorOperator):
    """Waits until a time of day, of the day on which it first looks, in the DAG's zone.

    Args:
        target_time: With a tzinfo of its own, in that zone.
    """

    def __init__(self, task_id: str, *, target_time: time, **options: Any) -> None:
        super().__init__(task_id, **options)
        if not isinstance(target_time, time):
            why = f"must be a datetime.time, not {target_time!r}"
            raise BadOption(f"sensor {task_id!r}", "target_time", why)
        self.target_time = target_time
        self._first: datetime | None = None

    def poke(self, context: Mapping[str, Any]) -> bool:
        self._first = self._first or waiting.now()
        first = getattr(context.get("ti"), "first_started_at", None) or self._first
        zone = self.target_time.tzinfo or self.zone
        day = first.astimezone(zone).date()
        return waiting.now() > datetime.combine(day, self.target_time, tzinfo=zone)


class DayOfWeekSensor(BaseSensorOperator):
    """Waits until it is one of these days of the week, in UTC.

    Args:
        week_day: "MONDAY", {"Saturday", "Sunday"}, WeekDay.FRIDAY, …
        use_task_logical_date: Look at the run's logical date, not at today.
    """

    def __init__(
        self,
        task_id: str,
        *,
        week_day: WeekDays,
        use_task_logical_date: bool = False,
        **options: Any,
    ) -> None:
        super().__init__(task_id, **options)
        self.week_day = sorted(week_days(week_day, f"sensor {task_id!r}"))
        self.use_task_logical_date = use_task_logical_date

    def poke(self, context: Mapping[str, Any]) -> bool:
        day = waiting.now()
        if self.use_task_logical_date:
            day = logical_date(self.task_id, context)
        return day.isoweekday() in self.week_day


def logical_date(task_id: str, context: Mapping[str, Any]) -> datetime:
    """The logical date of the run.

    Raises:
        NoRunDate: it has none.
    """
    found = context.get("logical_date")
    if not isinstance(found, datetime):
        raise NoRunDate(task_id, "the logical date")
    return found


def week_days(given: WeekDays, where: str) -> set[WeekDay]:
    """The days that are meant.

    Raises:
        BadOption: one is no day of the week, or there is none.
    """
    days = [given] if isinstance(given, (str, WeekDay)) else list(given)
    if not days:
        raise BadOption(where, "week_day", "must name at least one day")
    return {_week_day(day, where) for day in days}


def _week_day(day: object, where: str) -> WeekDay:
    if isinstance(day, WeekDay):
        return day
    name = day.upper() if isinstance(day, str) else ""
    if name not in WeekDay.__members__:
        known = ", ".join(WeekDay.__members__)
        raise BadOption(where, "week_day", f"must be of {known}, not {day!r}")
    return WeekDay[name]
