"""Cron expressions as sets of numbers, and the search for wall-clock times that match.

croniter reads the expression. The search is our own: on plain wall-clock time, with no
zone at all, since what a change of summer time means is `wall`'s business.

Five fields (minute, hour, day of month, month, day of week), or six with seconds last.
Where both day fields are restricted, a day that fits either is meant, as everywhere.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from calendar import monthrange
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import lru_cache
from typing import Final, cast

from mlflowkit.errors import BadTimetable

ALIASES: Final[Mapping[str, str]] = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@quarterly": "0 0 1 */3 *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}
#: A day of 29 February that is also rare otherwise comes within this.
_YEARS_AHEAD: Final = 50
_FULL: Final = (range(60), range(24), range(1, 32), range(1, 13), range(7), range(60))
#: Numbers, names, lists, ranges, steps, `L` and `#`. Not croniter's random `R` and hashed
#: `H`, which would fall anew in each process, nor `W`, which older versions do not know.
_FIELD: Final = re.compile(
    r"(?:[0-9*?/,#-]|l|jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec"
    r"|sun|mon|tue|wed|thu|fri|sat)+",
    re.IGNORECASE,
)
_DAY = timedelta(days=1)
_SECOND = timedelta(seconds=1)

Clock = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class Cron:
    """A cron expression, read. Numbers are sorted; Sunday is 0."""

    text: str
    seconds: Sequence[int]
    minutes: Sequence[int]
    hours: Sequence[int]
    days: frozenset[int]
    #: `L` in the field of days: the last one of the month.
    last_day: bool
    months: frozenset[int]
    weekdays: frozenset[int]
    #: `5#2`, `L5`: which of the month's Fridays; 0 stands for the last one.
    nth: frozenset[tuple[int, int]]
    #: Whether a day must fit its field at all.
    by_day: bool
    by_weekday: bool

    @property
    def every_hour(self) -> bool:
        """Whether it leaves out no hour of the day: it then follows absolute time."""
        return len(self.hours) == 24

    def fits(self, day: date) -> bool:
        """Whether it runs on that day at all."""
        if day.month not in self.months:
            return False
        if self.by_day and self.by_weekday:
            return self._fits_day(day) or self._fits_weekday(day)
        return (not self.by_day or self._fits_day(day)) and (
            not self.by_weekday or self._fits_weekday(day)
        )

    def _fits_day(self, day: date) -> bool:
        if day.day in self.days:
            return True
        return self.last_day and day.day == monthrange(day.year, day.month)[1]

    def _fits_weekday(self, day: date) -> bool:
        weekday = day.isoweekday() % 7
        if not self.nth:
            return weekday in self.weekdays
        if (weekday, (day.day + 6) // 7) in self.nth:
            return True
        return (weekday, 0) in self.nth and (day + 7 * _DAY).month != day.month

    def after(self, moment: datetime) -> datetime:
        """The first wall-clock time that matches after `moment`; neither has a zone.

        Raises:
            BadTimetable: there is none in the next 50 years.
        """
        start = moment.replace(microsecond=0) + _SECOND
        if self.fits(start.date()):
            clock = self._clock_from(start.hour, start.minute, start.second)
            if clock is not None:
                return _at(start.date(), clock)
        day = start.date() + _DAY
        while not self.fits(day):
            if day.year > moment.year + _YEARS_AHEAD:
                raise BadTimetable(self.text, "is a date that never comes")
            day = day + _DAY if day.month in self.months else _next_month(day)
        return _at(day, (self.hours[0], self.minutes[0], self.seconds[0]))

    def before(self, moment: datetime) -> datetime:
        """The last wall-clock time that matches before `moment`; neither has a zone.

        Raises:
            BadTimetable: there is none in the 50 years before.
        """
        end = moment if moment.microsecond else moment - _SECOND
        if self.fits(end.date()):
            clock = self._clock_until(end.hour, end.minute, end.second)
            if clock is not None:
                return _at(end.date(), clock)
        day = end.date() - _DAY
        while not self.fits(day):
            if day.year < moment.year - _YEARS_AHEAD:
                raise BadTimetable(self.text, "is a date that never comes")
            day = day - _DAY if day.month in self.months else day.replace(day=1) - _DAY
        return _at(day, (self.hours[-1], self.minutes[-1], self.seconds[-1]))

    def _clock_from(self, hour: int, minute: int, second: int) -> Clock | None:
        """The first time of day that is not before the given one."""
        hours, minutes, seconds = self.hours, self.minutes, self.seconds
        h = bisect_left(hours, hour)
        if h < len(hours) and hours[h] == hour:
            m = bisect_left(minutes, minute)
            if m < len(minutes) and minutes[m] == minute:
                s = bisect_left(seconds, second)
                if s < len(seconds):
                    return hour, minute, seconds[s]
                m += 1
            if m < len(minutes):
                return hour, minutes[m], seconds[0]
            h += 1
        return (hours[h], minutes[0], seconds[0]) if h < len(hours) else None

    def _clock_until(self, hour: int, minute: int, second: int) -> Clock | None:
        """The last time of day that is not after the given one."""
        hours, minutes, seconds = self.hours, self.minutes, self.seconds
        h = bisect_right(hours, hour) - 1
        if h >= 0 and hours[h] == hour:
            m = bisect_right(minutes, minute) - 1
            if m >= 0 and minutes[m] == minute:
                s = bisect_right(seconds, second) - 1
                if s >= 0:
                    return hour, minute, seconds[s]
                m -= 1
            if m >= 0:
                return hour, minutes[m], seconds[-1]
            h -= 1
        return (hours[h], minutes[-1], seconds[-1]) if h >= 0 else None


def _at(day: date, clock: Clock) -> datetime:
    hour, minute, second = clock
    return datetime(day.year, day.month, day.day, hour, minute, second)  # noqa: DTZ001


def _next_month(day: date) -> date:
    return (day.replace(day=28) + 4 * _DAY).replace(day=1)


@lru_cache(maxsize=4096)
def parse_cron(text: str) -> Cron:
    """Read an expression or an alias such as "@daily".

    Raises:
        BadTimetable: it cannot be read, or there is no such date.
    """
    fields = ALIASES.get(text.strip().lower(), text).split()
    if len(fields) not in (5, 6):
        why = "is no cron expression: it has 5 fields (minute, hour, day, month, weekday)"
        raise BadTimetable(text, f"{why}, or 6 with seconds last")
    odd = next((field for field in fields if not _FIELD.fullmatch(field)), None)
    if odd is not None:
        raise BadTimetable(text, f"is no cron expression: {odd!r} cannot be read")
    cron = _read(text, fields)
    #: A year with a 29 February behind and before it, so that any date is found.
    cron.after(datetime(2000, 1, 1))  # noqa: DTZ001
    return cron


def _read(text: str, fields: list[str]) -> Cron:
    numbers, nth = _expanded(text, " ".join(fields))
    if len(numbers) == 5:
        numbers.append([0])
    if nth and numbers[2] != ["*"]:
        why = "names days of the month, and weekdays with # or L: use one of the two"
        raise BadTimetable(text, why)
    minute, hour, day, month, weekday, second = (
        list(_FULL[at]) if found == ["*"] else found for at, found in enumerate(numbers)
    )
    return Cron(
        text=text,
        seconds=_sorted(second),
        minutes=_sorted(minute),
        hours=_sorted(hour),
        days=frozenset(_sorted(day)),
        last_day="l" in day,
        months=frozenset(_sorted(month)),
        weekdays=frozenset(_sorted(weekday)),
        nth=frozenset(
            (at, 0 if which == "l" else int(which))
            for at, found in nth.items()
            for which in found
        ),
        by_day=numbers[2] != ["*"],
        by_weekday=numbers[4] != ["*"] or bool(nth),
    )


def _expanded(
    text: str, fields: str
) -> tuple[list[list[int | str]], dict[int, set[int | str]]]:
    """What croniter makes of it: for each field ["*"], or its numbers and "l"."""
    from croniter import croniter

    try:
        numbers, nth = croniter.expand(fields)
    except (ValueError, KeyError) as exc:  # croniter's own are ValueErrors
        why = str(exc).strip().splitlines()[-1] if str(exc).strip() else "unreadable"
        raise BadTimetable(text, f"is no cron expression: {why}") from exc
    return (
        [list(found) for found in cast("list[list[int | str]]", numbers)],
        cast("dict[int, set[int | str]]", nth),
    )


def _sorted(found: Sequence[int | str]) -> list[int]:
    return sorted({number for number in found if isinstance(number, int)})
