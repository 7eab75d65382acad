"""`macros` in templates: dates as texts, and a few libraries.

Libraries are shown through `Library`, which gives their public names and no module behind
them: a template reaches `macros.uuid.uuid4`, and not the operating system that lies below.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from importlib import import_module
from types import ModuleType
from typing import Any, Final

from mlflowkit.errors import MissingExtra

DAY_FORMAT: Final = "%Y-%m-%d"
#: From how many of a smaller unit on the next larger one is said.
_MONTHS_ROUNDED_UP, _DAYS_ROUNDED_UP, _HOURS_ROUNDED_UP = 6, 27, 22
_FEW_SECONDS = 10


def ds_add(ds: str, days: int) -> str:
    """A day, as YYYY-MM-DD, some days later, or earlier for a negative number.

    Raises:
        ValueError: `ds` is no such text.
    """
    if not days:
        return str(ds)
    day = datetime.strptime(str(ds), DAY_FORMAT).replace(tzinfo=UTC)
    return (day + timedelta(days=days)).strftime(DAY_FORMAT)


def ds_format(ds: str, input_format: str, output_format: str) -> str:
    """A date in another format; both formats are those of `strftime`."""
    return datetime.strptime(str(ds), input_format).strftime(output_format)  # noqa: DTZ007 - a text has no zone


def ds_format_locale(
    ds: str, input_format: str, output_format: str, locale: str | None = None
) -> str:
    """A date in the words of a language; the output format is Babel's, `EEEE dd MMMM yyyy`.

    Raises:
        MissingExtra: Babel is not installed.
    """
    try:
        dates = import_module("babel.dates")
    except ImportError as exc:
        raise MissingExtra("babel", "locale", "macros.ds_format_locale") from exc
    day = datetime.strptime(str(ds), input_format)  # noqa: DTZ007 - a text has no zone
    chosen = locale or dates.LC_TIME or "en_US"
    return str(dates.format_datetime(day, format=output_format, locale=chosen))


def datetime_diff_for_humans(dt: datetime, since: datetime | None = None) -> str:
    """How long ago, in words: `2 days ago`, `in 3 hours`; against `since`, `2 days before`."""
    from dateutil.relativedelta import relativedelta

    dt = _aware(dt)
    other = _aware(since) if since is not None else datetime.now(UTC)
    future = dt > other
    first, last = sorted((dt.astimezone(UTC), other.astimezone(UTC)))
    words = _words(relativedelta(last, first))
    if since is not None:
        return f"{words} {'after' if future else 'before'}"
    return f"in {words}" if future else f"{words} ago"


def _aware(moment: datetime) -> datetime:
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _words(gap: Any) -> str:
    """The largest unit, rounded to the nearest whole one where that is a longer one."""
    weeks, days = divmod(int(gap.days), 7)
    if gap.years:
        return _counted("year", gap.years + (gap.months > _MONTHS_ROUNDED_UP))
    if gap.months == 11 and gap.days > 15:
        return _counted("year", 1)
    if gap.months:
        return _counted("month", gap.months + (gap.days >= _DAYS_ROUNDED_UP))
    if weeks:
        return _counted("week", weeks + (days > 3))
    if days:
        return _counted("day", days + (gap.hours >= _HOURS_ROUNDED_UP))
    for unit in ("hour", "minute"):
        count = int(getattr(gap, f"{unit}s"))
        if count:
            return _counted(unit, count)
    return (
        _counted("second", gap.seconds) if gap.seconds > _FEW_SECONDS else "a few seconds"
    )


def _counted(unit: str, count: int) -> str:
    return f"{count} {unit}{'s' * (count != 1)}"


class Library:
    """The public names of a library, and of the modules inside its own package."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        found = self._find(name)
        if not isinstance(found, ModuleType):
            return found
        inside = f"{self._name}."
        if not found.__name__.startswith(inside):
            raise AttributeError(f"macros.{self._name} gives no other module: {name}")
        return Library(found.__name__)

    def _find(self, name: str) -> Any:
        module = import_module(self._name)
        try:
            return getattr(module, name)
        except AttributeError:
            if not hasattr(module, "__path__"):
                raise
        try:
            return import_module(f"{self._name}.{name}")
        except ImportError as exc:
            raise AttributeError(f"{self._name} has no {name}") from exc

    def __repr__(self) -> str:
        return f"<macros.{self._name}>"


class Macros:
    """What `macros` holds in templates and in the context."""

    datetime = datetime
    timedelta = timedelta
    dateutil = Library("dateutil")
    time = Library("time")
    uuid = Library("uuid")
    json = Library("json")
    ds_add = staticmethod(ds_add)
    ds_format = staticmethod(ds_format)
    ds_format_locale = staticmethod(ds_format_locale)
    datetime_diff_for_humans = staticmethod(datetime_diff_for_humans)

    @property
    def random(self) -> Callable[[], float]:
        """Gives a number from 0.0 on, below 1.0."""
        import random

        return random.random

    def __repr__(self) -> str:
        return "<macros>"


macros = Macros()
