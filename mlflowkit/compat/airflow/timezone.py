"""`airflow.utils.timezone` and `airflow.utils.dates`: moments, in UTC unless they say otherwise."""

from __future__ import annotations

import datetime as _dt
from typing import Any, Final

from mlflowkit.core.timetable import ALIASES
from mlflowkit.core.timetable.zones import zone_of

utc: Final = _dt.UTC
local_timezone: Final = _dt.UTC
CRON_PRESETS: Final = dict(ALIASES)


def initialize() -> None:
    """Nothing to do."""


def utcnow() -> _dt.datetime:
    """Now, aware."""
    return _dt.datetime.now(utc)


def utc_epoch() -> _dt.datetime:
    """1970, aware."""
    return _dt.datetime(1970, 1, 1, tzinfo=utc)


def datetime(*args: Any, **kwargs: Any) -> _dt.datetime:
    """As `datetime.datetime`, in UTC unless it says otherwise."""
    made = _dt.datetime(*args, **kwargs)  # noqa: DTZ001 - the zone comes next
    return made if made.tzinfo else made.replace(tzinfo=utc)


def parse_timezone(name: str | int) -> _dt.tzinfo:
    """A zone by its name, or by its distance to UTC in seconds."""
    if isinstance(name, int):
        return _dt.timezone(_dt.timedelta(seconds=name))
    return zone_of(name)


def parse(
    string: str, timezone: _dt.tzinfo | None = None, strict: bool = False
) -> _dt.datetime:
    """A moment from a text, in UTC unless it says otherwise."""
    from dateutil.parser import isoparse
    from dateutil.parser import parse as read

    found: _dt.datetime = isoparse(string) if strict else read(string)
    return found if found.tzinfo else found.replace(tzinfo=timezone or utc)


parse_execution_date = parse


def is_localized(value: _dt.datetime) -> bool:
    """Whether it has a zone."""
    return value.utcoffset() is not None


def is_naive(value: _dt.datetime) -> bool:
    """Whether it has none."""
    return value.utcoffset() is None


def make_aware(
    value: _dt.datetime | None, timezone: _dt.tzinfo | None = None
) -> _dt.datetime | None:
    """The same time of day, in a zone.

    Raises:
        ValueError: it has one.
    """
    if value is None:
        return None
    if is_localized(value):
        raise ValueError(f"make_aware expects a naive datetime, got {value}")
    return value.replace(tzinfo=timezone or utc)


def make_naive(value: _dt.datetime, timezone: _dt.tzinfo | None = None) -> _dt.datetime:
    """The time of day in a zone, without the zone.

    Raises:
        ValueError: it has none.
    """
    if is_naive(value):
        raise ValueError("make_naive() cannot be applied to a naive datetime")
    return value.astimezone(timezone or utc).replace(tzinfo=None)


def convert_to_utc(value: _dt.datetime | None) -> _dt.datetime | None:
    """The moment in UTC; without a zone it is UTC's already."""
    if value is None:
        return None
    return value.astimezone(utc) if is_localized(value) else value.replace(tzinfo=utc)


def coerce_datetime(
    value: _dt.datetime | None, tz: _dt.tzinfo | None = None
) -> _dt.datetime | None:
    """The moment with a zone: its own, else `tz`, else UTC."""
    if value is None or is_localized(value):
        return value
    return value.replace(tzinfo=tz or utc)


def from_timestamp(timestamp: float, tz: _dt.tzinfo = utc) -> _dt.datetime:
    """The moment so many seconds after 1970."""
    return _dt.datetime.fromtimestamp(timestamp, tz)


def days_ago(
    n: int, hour: int = 0, minute: int = 0, second: int = 0, microsecond: int = 0
) -> _dt.datetime:
    """That time of day, so many days ago, in UTC."""
    then = utcnow() - _dt.timedelta(days=n)
    return then.replace(hour=hour, minute=minute, second=second, microsecond=microsecond)
