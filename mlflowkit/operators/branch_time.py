"""Branches that ask the calendar: which day of the week it is, and whether it is in time."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date, datetime, time, timedelta, tzinfo
from typing import Any

from mlflowkit.authoring import waiting
from mlflowkit.authoring.branch import BaseBranchOperator
from mlflowkit.errors import BadOption, NoRunDate
from mlflowkit.operators.dag_zone import InDagZone
from mlflowkit.operators.questions import run_date
from mlflowkit.operators.sensor_time import WeekDays, week_days


class _TwoWays(InDagZone, BaseBranchOperator):
    """A branch with one way for yes and another for no: ids of tasks or task groups."""

    def __init__(
        self,
        task_id: str,
        *,
        follow_task_ids_if_true: str | Iterable[str],
        follow_task_ids_if_false: str | Iterable[str],
        use_task_logical_date: bool = False,
        **options: Any,
    ) -> None:
        super().__init__(task_id, **options)
        self.follow_task_ids_if_true = _ids(follow_task_ids_if_true)
        self.follow_task_ids_if_false = _ids(follow_task_ids_if_false)
        self.use_task_logical_date = use_task_logical_date

    def choose_branch(self, context: Mapping[str, Any]) -> list[str]:
        moment = self._moment(context).astimezone(self.zone)
        if self.holds(moment):
            return self.follow_task_ids_if_true
        return self.follow_task_ids_if_false

    def holds(self, moment: datetime) -> bool:
        """Is it yes? `moment` is in the DAG's zone."""
        raise NotImplementedError

    def _moment(self, context: Mapping[str, Any]) -> datetime:
        if not self.use_task_logical_date:
            return waiting.now()
        found = run_date(context)
        if found is None:
            raise NoRunDate(self.task_id, "the logical date")
        return found


class BranchDayOfWeekOperator(_TwoWays):
    """Goes one way on some days of the week, and the other way on the rest, in the DAG's zone.

    Args:
        week_day: "MONDAY", {"Saturday", "Sunday"}, WeekDay.FRIDAY, …
        follow_task_ids_if_true: What goes on on those days: ids of tasks or task groups.
        follow_task_ids_if_false: What goes on on the others.
        use_task_logical_date: Look at the run's logical date, not at today.
    """

    def __init__(self, task_id: str, *, week_day: WeekDays, **options: Any) -> None:
        super().__init__(task_id, **options)
        self.week_day = sorted(week_days(week_day, f"task {task_id!r}"))

    def holds(self, moment: datetime) -> bool:
        return moment.isoweekday() in self.week_day


class BranchDateTimeOperator(_TwoWays):
    """Goes one way between two moments, both included, and the other way before and after.

    Args:
        target_lower: A datetime, a time of that day, or None: from the beginning.
        target_upper: The same; None: without end. An upper time of day that is before the
            lower one is of the next day.
        follow_task_ids_if_true: What goes on between them: ids of tasks or task groups.
        follow_task_ids_if_false: What goes on before and after.
        use_task_logical_date: Look at the run's logical date, not at the present moment.

    Raises:
        BadOption: both are None, or one is neither a datetime nor a time.
    """

    def __init__(
        self,
        task_id: str,
        *,
        target_lower: datetime | time | None,
        target_upper: datetime | time | None,
        **options: Any,
    ) -> None:
        super().__init__(task_id, **options)
        where = f"task {task_id!r}"
        if target_lower is None and target_upper is None:
            raise BadOption(where, "target_lower", "and target_upper cannot both be None")
        for name, value in (("target_lower", target_lower), ("target_upper", target_upper)):
            if not isinstance(value, datetime | time | None):
                raise BadOption(where, name, f"must be a datetime or a time, not {value!r}")
        self.target_lower, self.target_upper = target_lower, target_upper

    def holds(self, moment: datetime) -> bool:
        zone, day = self.zone, moment.date()
        lower = _on_day(self.target_lower, day, zone)
        upper = _on_day(self.target_upper, day, zone)
        given = (self.target_lower, self.target_upper)
        if lower and upper and upper < lower and any(isinstance(g, time) for g in given):
            upper += timedelta(days=1)
        return (lower is None or lower <= moment) and (upper is None or moment <= upper)


def _on_day(target: datetime | time | None, day: date, zone: tzinfo) -> datetime | None:
    if isinstance(target, time):
        target = datetime.combine(day, target, tzinfo=target.tzinfo)
    if target is None or target.tzinfo is not None:
        return target
    return target.replace(tzinfo=zone)


def _ids(given: str | Iterable[str]) -> list[str]:
    return [given] if isinstance(given, str) else list(given)
