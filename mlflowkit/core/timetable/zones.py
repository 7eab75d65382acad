"""Time zones: from a name or a tzinfo, and back to a text that any process can read.

Zone data is the one thing that `core` reads; the machine's own zone is not asked here.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from functools import lru_cache
from typing import Final
from zoneinfo import ZoneInfo, available_timezones

from mlflowkit.errors import BadZone, suggest

_OFFSET: Final = re.compile(r"(?:UTC)?([+-])(\d\d):?(\d\d)")


def zone_of(zone: str | tzinfo) -> tzinfo:
    """The zone of a name ("Europe/Athens", "UTC", "+02:00"), or of any tzinfo.

    A tzinfo of pytz, pendulum or dateutil becomes ours by its name or its fixed offset.

    Raises:
        BadZone: nobody knows the name, or the tzinfo has neither name nor fixed offset.
    """
    if isinstance(zone, str):
        return _named(zone)
    if not isinstance(zone, tzinfo):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise BadZone(zone, "is no time zone: give a name such as 'Europe/Athens'")
    name = getattr(zone, "key", None) or getattr(zone, "zone", None)
    if isinstance(name, str):
        return _named(name)
    offset = zone.utcoffset(None)
    if offset is None:
        raise BadZone(zone, "has no name: give one such as 'Europe/Athens'")
    return timezone(offset) if offset else UTC


def zone_text(zone: tzinfo) -> str:
    """A text from which `zone_of` makes the zone again."""
    if isinstance(zone, ZoneInfo) and zone.key:
        return zone.key
    offset = zone.utcoffset(None)
    if not offset:
        return "UTC"
    sign, minutes = ("-", -offset) if offset < timedelta() else ("+", offset)
    hours, rest = divmod(minutes // timedelta(minutes=1), 60)
    return f"{sign}{hours:02}:{rest:02}"


@lru_cache(maxsize=1024)
def _named(name: str) -> tzinfo:
    if name.upper() in ("UTC", "Z"):
        return UTC
    fixed = _OFFSET.fullmatch(name)
    if fixed:
        offset = timedelta(hours=int(fixed[2]), minutes=int(fixed[3]))
        if offset >= timedelta(hours=24):
            raise BadZone(name, "is no offset: it is a day or more")
        return timezone(-offset if fixed[1] == "-" else offset)
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError) as exc:
        hint = suggest(name, available_timezones())
        why = f"is no time zone that is known here.{hint} Give one such as 'Europe/Athens'"
        raise BadZone(name, why) from exc


def plain(moment: datetime) -> datetime:
    """The same moment as a datetime and nothing more: pendulum's and pandas' are subclasses."""
    if type(moment) is datetime:
        return moment
    return datetime.combine(moment.date(), moment.timetz())


def on_the_wall(moment: datetime, zone: tzinfo) -> datetime:
    """What clocks of the zone show then: no zone, but `fold` says "the second time"."""
    return moment.astimezone(zone).replace(tzinfo=None)
