"""Steps of a fixed length from a fixed moment: what `timedelta` and `relativedelta` mean.

Steps are counted in absolute time (a day is 24 hours, in every zone), always from the same
anchor: neither a late start nor an engine that was off moves those that follow. A month
from the 31st ends on the last day of each month, and does not stay at the 28th after a
February.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final, cast

from dateutil.relativedelta import relativedelta, weekday

from mlflowkit.core.timetable.base import utc
from mlflowkit.errors import BadTimetable

Delta = timedelta | relativedelta

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_ZERO: Final = timedelta()
_RELATIVE: Final = (
    "years",
    "months",
    "days",
    "leapdays",
    "hours",
    "minutes",
    "seconds",
    "microseconds",
)
_ABSOLUTE: Final = ("year", "month", "day", "hour", "minute", "second", "microsecond")


def checked_delta(delta: object) -> Delta:
    """A span by which a schedule can go on.

    Raises:
        BadTimetable: it is no timedelta or relativedelta, or does not lead forward.
    """
    if not isinstance(delta, timedelta | relativedelta):
        raise BadTimetable(delta, "is no timedelta or relativedelta")
    if isinstance(delta, timedelta):
        if delta <= _ZERO:
            raise BadTimetable(delta, "is not a time span above zero")
        return delta
    parts = [getattr(delta, name) for name in _RELATIVE]
    if any(part != int(part) for part in parts) or delta.leapdays or delta.year:
        raise BadTimetable(delta, "cannot be repeated: use whole numbers, and no year")
    if EPOCH + delta * 3 <= EPOCH + delta * 2 or _about(delta) <= _ZERO:
        raise BadTimetable(delta, "is not a time span above zero")
    return delta


def delta_text(delta: Delta) -> str:
    """For people: `1 day, 6:00:00`, `1 month`."""
    if isinstance(delta, timedelta):
        return str(delta)
    counted = {name: getattr(delta, name) for name in _RELATIVE}
    parts = [f"{n} {k if abs(n) != 1 else k[:-1]}" for k, n in counted.items() if n]
    fixed = {name: getattr(delta, name) for name in _ABSOLUTE}
    parts += [f"{name}={part}" for name, part in fixed.items() if part is not None]
    if delta.weekday is not None:
        parts.append(f"weekday={delta.weekday}")
    return ", ".join(parts) or "0:00:00"


def delta_data(delta: Delta) -> dict[str, Any]:
    """The span as plain data."""
    if isinstance(delta, timedelta):
        found = {
            "days": delta.days,
            "seconds": delta.seconds,
            "microseconds": delta.microseconds,
        }
        return {name: count for name, count in found.items() if count}
    parts = {name: getattr(delta, name) for name in (*_RELATIVE, *_ABSOLUTE)}
    data: dict[str, Any] = {name: part for name, part in parts.items() if part is not None}
    data = {k: v for k, v in data.items() if v or k in _ABSOLUTE}
    if delta.weekday is not None:
        data["weekday"] = [delta.weekday.weekday, delta.weekday.n]
    return {"relative": data}


def delta_of(data: Mapping[str, Any]) -> Delta:
    """The span that `delta_data` wrote."""
    if "relative" not in data:
        return timedelta(**data)
    parts = dict(cast("Mapping[str, Any]", data["relative"]))
    if "weekday" in parts:
        day, nth = parts["weekday"]
        parts["weekday"] = weekday(day, nth)
    return relativedelta(**parts)


@dataclass(frozen=True, slots=True)
class Steps:
    """The moments anchor + k · delta for all whole k, in UTC."""

    anchor: datetime
    delta: Delta

    def after(self, moment: datetime) -> datetime:
        return self._at(self._index(utc(moment)) + 1)

    def before(self, moment: datetime) -> datetime:
        index = self._index(utc(moment))
        found = self._at(index)
        return found if found < moment else self._at(index - 1)

    def at_or_after(self, moment: datetime) -> datetime:
        index = self._index(utc(moment))
        found = self._at(index)
        return found if found >= moment else self._at(index + 1)

    def at_or_before(self, moment: datetime) -> datetime:
        return self._at(self._index(utc(moment)))

    def holds(self, moment: datetime) -> bool:
        """Whether the moment is one of the steps."""
        return self.at_or_before(moment) == moment

    def _at(self, index: int) -> datetime:
        return self.anchor + self.delta * index

    def _index(self, moment: datetime) -> int:
        """The number of the last step that is not after the moment."""
        if isinstance(self.delta, timedelta):
            return (moment - self.anchor) // self.delta
        index = (moment - self.anchor) // _about(self.delta)
        while self._at(index) > moment:
            index -= 1
        while self._at(index + 1) <= moment:
            index += 1
        return index


def steps_for(delta: Delta, anchor: datetime, goes_on_from: datetime | None) -> Steps:
    """Steps from the anchor; from `goes_on_from` where that is on another track.

    So a run that was there before the start date or the schedule changed is followed
    after one whole span.
    """
    steps = Steps(utc(anchor), delta)
    if goes_on_from is None or steps.holds(utc(goes_on_from)):
        return steps
    return Steps(utc(goes_on_from), delta)


def _about(delta: relativedelta) -> timedelta:
    """How long it is on average."""
    days = delta.years * 365.2425 + delta.months * 30.436875 + delta.days
    return timedelta(
        days=days,
        hours=delta.hours,
        minutes=delta.minutes,
        seconds=delta.seconds,
        microseconds=delta.microseconds,
    )
