"""Moments in templates: datetimes that also answer to the names Airflow's people write.

`{{ data_interval_start.subtract(days=1) | ds }}`, `{{ logical_date.in_timezone("Asia/Tokyo") }}`.
In tasks themselves moments are plain datetimes; pickled, these are, too.
"""

from __future__ import annotations

import re
from calendar import day_abbr, day_name, month_abbr, month_name
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from mlflowkit.authoring.macros import datetime_diff_for_humans

_TOKEN: Final = re.compile(
    r"\[([^\]]*)\]|YYYY|YY|MMMM|MMM|MM|M|DDDD|DDD|DD|D|dddd|ddd|HH|H|hh|h|mm|m|ss|s"
    r"|SSSSSS|SSS|A|ZZ|Z|zz|X|Q"
)
_TOKENS: Final[dict[str, Callable[[datetime], object]]] = {
    "YYYY": lambda m: f"{m.year:04}",
    "YY": lambda m: f"{m.year % 100:02}",
    "MMMM": lambda m: month_name[m.month],
    "MMM": lambda m: month_abbr[m.month],
    "MM": lambda m: f"{m.month:02}",
    "M": lambda m: m.month,
    "DDDD": lambda m: f"{m.timetuple().tm_yday:03}",
    "DDD": lambda m: m.timetuple().tm_yday,
    "DD": lambda m: f"{m.day:02}",
    "D": lambda m: m.day,
    "dddd": lambda m: day_name[m.weekday()],
    "ddd": lambda m: day_abbr[m.weekday()],
    "HH": lambda m: f"{m.hour:02}",
    "H": lambda m: m.hour,
    "hh": lambda m: f"{m.hour % 12 or 12:02}",
    "h": lambda m: m.hour % 12 or 12,
    "mm": lambda m: f"{m.minute:02}",
    "m": lambda m: m.minute,
    "ss": lambda m: f"{m.second:02}",
    "s": lambda m: m.second,
    "SSSSSS": lambda m: f"{m.microsecond:06}",
    "SSS": lambda m: f"{m.microsecond // 1000:03}",
    "A": lambda m: "AM" if m.hour < 12 else "PM",
    "ZZ": lambda m: m.strftime("%z"),
    "Z": lambda m: f"{m:%z}"[:3] + ":" + f"{m:%z}"[3:],
    "zz": lambda m: m.tzname() or "",
    "X": lambda m: int(m.timestamp()),
    "Q": lambda m: (m.month + 2) // 3,
}
_UNITS: Final = ("year", "month", "week", "day", "hour", "minute", "second")


class Moment(datetime):
    """An aware datetime with more ways to move and to write it."""

    @classmethod
    def of(cls, given: datetime) -> Moment:
        return cls.combine(given.date(), given.timetz())

    def add(self, **gap: int) -> Moment:
        """Later by `years`, `months`, `weeks`, `days`, `hours`, `minutes`, `seconds`."""
        from dateutil.relativedelta import relativedelta

        days = {k: v for k, v in gap.items() if k in ("years", "months", "weeks", "days")}
        rest = {k: v for k, v in gap.items() if k not in days}
        moved = Moment.of(self + relativedelta(**days)) if days else self  # type: ignore[arg-type]  # whole numbers
        if not rest:
            return moved
        there = moved.astimezone(UTC) + timedelta(**rest)
        return Moment.of(there.astimezone(self.tzinfo))

    def subtract(self, **gap: int) -> Moment:
        """Earlier by that much."""
        return self.add(**{name: -count for name, count in gap.items()})

    def in_timezone(self, zone: str) -> Moment:
        """The same moment on the clocks of a zone.

        Raises:
            ValueError: there is no such zone.
        """
        try:
            return Moment.of(self.astimezone(ZoneInfo(zone)))
        except ZoneInfoNotFoundError as exc:
            raise ValueError(f"there is no time zone {zone!r}") from exc

    in_tz = in_timezone

    def start_of(self, unit: str) -> Moment:
        """The first moment of its year, month, week (Monday), day, hour, minute or second.

        Raises:
            ValueError: it is another unit.
        """
        if unit not in _UNITS:
            raise ValueError(f"start_of takes {', '.join(_UNITS)}, not {unit!r}")
        first: dict[str, Any] = {"microsecond": 0}
        smaller = _UNITS[_UNITS.index(unit) + 1 :]
        for name in ("month", "day"):
            if unit == "year" or (unit == "month" and name == "day"):
                first[name] = 1
        first |= {name: 0 for name in ("hour", "minute", "second") if name in smaller}
        moved = self.subtract(days=self.weekday()) if unit == "week" else self
        return Moment.of(moved.replace(**first))

    def end_of(self, unit: str) -> Moment:
        """The last microsecond of that unit."""
        return Moment.of(
            self.start_of(unit).add(**{f"{unit}s": 1}) - timedelta(microseconds=1)
        )

    def format(self, form: str) -> str:
        """As text, by the tokens `YYYY MM DD HH mm ss ...`; `[words]` stay as they are."""

        def token(match: re.Match[str]) -> str:
            words = match.group(1)
            return words if words is not None else str(_TOKENS[match.group(0)](self))

        return _TOKEN.sub(token, form)

    def to_date_string(self) -> str:
        return self.strftime("%Y-%m-%d")

    def to_time_string(self) -> str:
        return self.strftime("%H:%M:%S")

    def to_datetime_string(self) -> str:
        return self.strftime("%Y-%m-%d %H:%M:%S")

    def to_iso8601_string(self) -> str:
        text = self.isoformat()
        return f"{text[:-6]}Z" if self.tzinfo is UTC else text

    def diff_for_humans(self, other: datetime | None = None) -> str:
        return datetime_diff_for_humans(self, other)

    @property
    def int_timestamp(self) -> int:
        return int(self.timestamp())

    @property
    def float_timestamp(self) -> float:
        return self.timestamp()

    @property
    def timezone_name(self) -> str:
        return str(self.tzinfo)

    @property
    def quarter(self) -> int:
        return (self.month + 2) // 3

    @property
    def day_of_year(self) -> int:
        return self.timetuple().tm_yday

    @property
    def week_of_year(self) -> int:
        return self.isocalendar().week

    def __reduce_ex__(self, protocol: Any) -> Any:
        plain = datetime.combine(self.date(), self.timetz())
        return plain.__reduce_ex__(protocol)
