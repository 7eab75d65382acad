"""The moments of a cron expression in a zone: what becomes of it when clocks change.

The rule, for every zone and every change:

1. An expression that leaves hours out ("30 2 * * *") goes by the clock on the wall. Each
   time that it names comes once. Shown twice (clocks put back), it counts the second time,
   as in Airflow; never shown (clocks put forward), it comes at the moment of the change.
   Times that fall on the same moment are one.
2. An expression over all hours ("*/15 * * * *") comes whenever the clock shows such a
   time, so also twice in an hour that is there twice, and not in an hour that is not:
   each hour that passes has its runs. Where a change is no whole number of hours, a time
   that is never shown comes at the moment of the change, as above.

So moments rise strictly, none is lost and none is there twice. Moments are in UTC.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from functools import lru_cache
from typing import Final, NamedTuple

from mlflowkit.core.timetable.base import utc
from mlflowkit.core.timetable.cron import Cron
from mlflowkit.core.timetable.zones import on_the_wall

_ZERO: Final = timedelta()
_HOUR: Final = timedelta(hours=1)
_SECOND: Final = timedelta(seconds=1)
_INSTANT: Final = timedelta(microseconds=1)


class Change(NamedTuple):
    """A moment at which the clocks of a zone change."""

    at: datetime
    before: timedelta
    after: timedelta

    @property
    def first_wall(self) -> datetime:
        """The earlier end of what is shown twice, or not at all."""
        return self.at.replace(tzinfo=None) + min(self.before, self.after)

    @property
    def last_wall(self) -> datetime:
        """The later end of it."""
        return self.at.replace(tzinfo=None) + max(self.before, self.after)

    @property
    def whole_hours(self) -> bool:
        return (self.after - self.before) % _HOUR == _ZERO


@lru_cache(maxsize=4096)
def _change_between(zone: tzinfo, start: datetime, end: datetime) -> Change:
    """The one change in (start, end], given to the second, in UTC."""
    before = start.astimezone(zone).utcoffset()
    low, high = start, end
    while high - low > _SECOND:
        middle = low + timedelta(seconds=(high - low) // (2 * _SECOND))
        if middle.astimezone(zone).utcoffset() == before:
            low = middle
        else:
            high = middle
    return Change(high, before or _ZERO, high.astimezone(zone).utcoffset() or _ZERO)


@dataclass(frozen=True, slots=True)
class CronTicks:
    """The moments of a cron expression in a zone, without end in either direction."""

    cron: Cron
    zone: tzinfo

    def after(self, moment: datetime) -> datetime:
        """The first tick after the moment."""
        moment = utc(moment)
        wall = on_the_wall(moment, self.zone)
        change = self._change(wall)
        if change is None or wall.fold:
            return self._after(moment, wall)
        again = change.first_wall - _INSTANT  # what is shown now comes once more
        if not self.cron.every_hour:
            return self._after(moment, again)
        second = self.cron.after(again)
        if second >= change.last_wall:
            return self._after(moment, wall)
        return min(self._after(moment, wall), self._moments(second)[-1])

    def before(self, moment: datetime) -> datetime:
        """The last tick before the moment."""
        moment = utc(moment)
        wall = on_the_wall(moment, self.zone)
        found = self._before(moment, wall)
        change = self._change(wall)
        if change is None or not wall.fold or not self.cron.every_hour:
            return found
        first = self.cron.before(change.last_wall)
        if first < change.first_wall:
            return found
        return max(found, self._moments(first)[0])

    def at_or_after(self, moment: datetime) -> datetime:
        """The moment itself if it is a tick, else the next one."""
        return self.after(utc(moment) - _INSTANT)

    def at_or_before(self, moment: datetime) -> datetime:
        """The moment itself if it is a tick, else the one before."""
        return self.before(utc(moment) + _INSTANT)

    def _after(self, moment: datetime, wall: datetime) -> datetime:
        """The first tick after `moment` of those whose time on the wall is after `wall`."""
        while True:
            wall = self.cron.after(wall)
            found = [tick for tick in self._moments(wall) if tick > moment]
            if found:
                return found[0]
            change = self._change(wall)
            if change is not None and change.before < change.after:
                wall = change.last_wall - _INSTANT

    def _before(self, moment: datetime, wall: datetime) -> datetime:
        while True:
            wall = self.cron.before(wall)
            found = [tick for tick in self._moments(wall) if tick < moment]
            if found:
                return found[-1]
            change = self._change(wall)
            if change is not None:
                wall = change.first_wall

    def _moments(self, wall: datetime) -> list[datetime]:
        """When that time on the wall is a tick: never, once, or twice."""
        change = self._change(wall)
        if change is None:
            return [wall.replace(tzinfo=self.zone).astimezone(UTC)]
        if change.before < change.after:
            lost = self.cron.every_hour and change.whole_hours
            return [] if lost else [change.at]
        shown = wall.replace(tzinfo=UTC)
        second = shown - change.after
        return [shown - change.before, second] if self.cron.every_hour else [second]

    def _change(self, wall: datetime) -> Change | None:
        """The change that shows this time twice or never; None: it is shown once."""
        local = wall.replace(tzinfo=self.zone, fold=0)
        offset = local.utcoffset() or _ZERO
        other = local.replace(fold=1).utcoffset() or _ZERO
        if offset == other:
            return None
        # Read with either offset, the time lies before the change and after it.
        shown = wall.replace(tzinfo=UTC, fold=0, microsecond=0)
        start, end = sorted((shown - offset, shown - other))
        return _change_between(self.zone, start, end + _SECOND)
