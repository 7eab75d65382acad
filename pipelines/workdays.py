"""A timetable of one's own: a run after each workday, none after weekends and holidays.

mlflowkit dags show pipelines/workdays.py
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, date, datetime, time, timedelta

from mlflowkit import dag, get_current_context, task
from mlflowkit.timetables import DagRunInfo, DataInterval, TimeRestriction, Timetable

ONE_DAY = timedelta(days=1)


def midnight(day: date) -> datetime:
    return datetime.combine(day, time.min, tzinfo=UTC)


class AfterWorkdayTimetable(Timetable):
    """The data interval is a workday; the run starts when it is over."""

    description = "After each workday"

    def __init__(self, holidays: Iterable[date] = ()) -> None:
        self.holidays = frozenset(holidays)

    def is_workday(self, day: date) -> bool:
        return day.isoweekday() < 6 and day not in self.holidays

    def workday_from(self, day: date) -> date:
        """The day itself, or the first workday after it."""
        while not self.is_workday(day):
            day += ONE_DAY
        return day

    def workday_until(self, day: date) -> date:
        """The day itself, or the last workday before it."""
        while not self.is_workday(day):
            day -= ONE_DAY
        return day

    def next_dagrun_info(
        self,
        *,
        last_automated_data_interval: DataInterval | None,
        restriction: TimeRestriction,
    ) -> DagRunInfo | None:
        candidates = [date.min]
        if last_automated_data_interval is not None:
            candidates.append(last_automated_data_interval.end.astimezone(UTC).date())
        if restriction.earliest is not None:
            earliest = restriction.earliest.astimezone(UTC)
            begins = earliest.date()
            candidates.append(begins if midnight(begins) >= earliest else begins + ONE_DAY)
        if not restriction.catchup or candidates == [date.min]:
            yesterday = restriction.now.astimezone(UTC).date() - ONE_DAY
            candidates.append(self.workday_until(yesterday))
        day = self.workday_from(max(candidates))
        if restriction.latest is not None and midnight(day) > restriction.latest:
            return None
        return DagRunInfo.interval(start=midnight(day), end=midnight(day + ONE_DAY))

    def infer_manual_data_interval(self, *, run_after: datetime) -> DataInterval:
        day = self.workday_until(run_after.astimezone(UTC).date() - ONE_DAY)
        return DataInterval(start=midnight(day), end=midnight(day + ONE_DAY))


NEW_YEAR, EPIPHANY = date(2026, 1, 1), date(2026, 1, 6)


@task
def count_orders() -> str:
    """What was ordered on the workday: each run reads its own day, so it may be repeated."""
    start = get_current_context().get("data_interval_start")
    return f"orders of {start or 'no day: nobody scheduled this run'}"


@dag(
    schedule=AfterWorkdayTimetable([NEW_YEAR, EPIPHANY]),
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=True,
)
def workdays() -> None:
    """A run after each workday of the year."""
    count_orders()


d = workdays()
