"""`schedule=` and `start_date=` as they are written in a DAG: checked, and kept as data.

Whatever is wrong with a schedule is said here, when the DAG is written.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta, tzinfo
from typing import Final, TypeGuard, cast

from dateutil.relativedelta import relativedelta

from mlflowkit.authoring.assets import BaseAsset
from mlflowkit.authoring.machine_zone import machine_zone
from mlflowkit.authoring.option_values import plain_span
from mlflowkit.core.timetable import (
    ALIASES,
    AssetTriggeredTimetable,
    ContinuousTimetable,
    CronDataIntervalTimetable,
    CronTriggerTimetable,
    DeltaDataIntervalTimetable,
    DeltaTriggerTimetable,
    NullTimetable,
    OnceTimetable,
    Timetable,
    condition_text,
    is_custom,
    timetable_to_json,
)
from mlflowkit.core.timetable.steps import delta_text
from mlflowkit.core.timetable.zones import plain, zone_of
from mlflowkit.errors import BadOption, BadSchedule, BadTimetable, BadZone, a, suggest

#: Aliases that are no cron expression.
_OTHER: Final[dict[str, type[Timetable]]] = {
    "@once": OnceTimetable,
    "@continuous": ContinuousTimetable,
    "@none": NullTimetable,
}


def schedule_of(
    dag_id: str,
    schedule: object,
    timezone: str | tzinfo | None = None,
    *,
    data_intervals: bool = True,
) -> tuple[str | None, str]:
    """The schedule as a text for people, and as the JSON text of its timetable.

    Args:
        schedule: Cron, an alias, timedelta, relativedelta, Timetable, an asset, assets
            joined by `&` and `|`, a list of assets (all of them), or None.
        timezone: Of a cron expression; the machine's if it is left out. `schedule_zone`
            finds it.
        data_intervals: Whether cron and spans mean data intervals, of which each run
            starts when its own ends; else a run starts at each time, with an empty one,
            as in Airflow 3.

    Returns:
        (None, "") without a schedule.

    Raises:
        BadSchedule: nobody can read it.
    """
    timetable = timetable_of(dag_id, schedule, timezone, data_intervals=data_intervals)
    if type(timetable) is NullTimetable:
        return None, ""
    text = schedule if isinstance(schedule, str) else _text(schedule, timetable)
    return text, timetable_to_json(timetable)


def is_own_timetable(schedule: object) -> TypeGuard[Timetable]:
    """Whether it is a timetable that is code of a person."""
    return isinstance(schedule, Timetable) and is_custom(schedule)


def timetable_of(
    dag_id: str,
    schedule: object,
    timezone: str | tzinfo | None = None,
    *,
    data_intervals: bool = True,
) -> Timetable:
    """The timetable that a schedule means; a person's own is given back as it is.

    Raises:
        BadSchedule: nobody can read it.
    """
    try:
        if isinstance(schedule, str):
            return _of_text(dag_id, schedule, timezone, data_intervals)
        return _of_object(dag_id, schedule, data_intervals)
    except BadZone:
        raise
    except BadTimetable as exc:
        raise BadSchedule(dag_id, schedule, exc.why) from exc


def schedule_zone(timezone: str | tzinfo | None, start_date: object) -> tzinfo | None:
    """The zone of a schedule: the DAG's own, or else the start date's; None: neither.

    Args:
        start_date: As it was given, perhaps without a zone.

    Raises:
        BadZone: nobody knows it.
    """
    if timezone is not None:
        return zone_of(timezone)
    if isinstance(start_date, datetime) and start_date.tzinfo is not None:
        return zone_of(start_date.tzinfo)
    return None


def schedule_text(dag_id: str, schedule: object) -> str | None:
    """The schedule as a text for people; None without one.

    Raises:
        BadSchedule: nobody can read it.
    """
    return schedule_of(dag_id, schedule)[0]


def aware(
    where: str,
    moment: object,
    timezone: str | tzinfo | None = None,
    *,
    option: str = "start_date",
) -> datetime | None:
    """A start date or an end date with a zone: its own, or the DAG's, or the machine's.

    Raises:
        BadOption: it is no datetime.
    """
    if moment is None:
        return None
    if not isinstance(moment, datetime):
        why = f"must be a datetime, not {a(type(moment).__name__)}"
        raise BadOption(where, option, why)
    if moment.tzinfo:
        return plain(moment)
    zone = machine_zone() if timezone is None else zone_of(timezone)
    return plain(moment).replace(tzinfo=zone)


def _of_text(
    dag_id: str, schedule: str, timezone: str | tzinfo | None, data_intervals: bool
) -> Timetable:
    name = schedule.strip().lower()
    if name in _OTHER:
        return _OTHER[name]()
    if name.startswith("@") and name not in ALIASES:
        hint = suggest(name, [*ALIASES, *_OTHER]).removeprefix(" Did").removesuffix("?")
        hint = f" (did{hint}?)" if hint else ""
        raise BadSchedule(dag_id, schedule, f"is no alias that is known{hint}")
    zone = machine_zone() if timezone is None else zone_of(timezone)
    if data_intervals:
        return CronDataIntervalTimetable(schedule, zone)
    return CronTriggerTimetable(schedule, timezone=zone)


def _of_object(dag_id: str, schedule: object, data_intervals: bool) -> Timetable:
    if schedule is None:
        return NullTimetable()
    if isinstance(schedule, Timetable):
        return schedule
    if isinstance(schedule, timedelta | relativedelta):
        delta = plain_span(schedule) if isinstance(schedule, timedelta) else schedule
        if data_intervals:
            return DeltaDataIntervalTimetable(delta)
        return DeltaTriggerTimetable(delta)
    if isinstance(schedule, BaseAsset):
        return AssetTriggeredTimetable(schedule)
    if not isinstance(schedule, list | tuple):
        raise BadSchedule(dag_id, schedule, f"is {a(type(schedule).__name__)}")
    assets: list[BaseAsset] = []
    for one in cast("Iterable[object]", schedule):
        if not isinstance(one, BaseAsset):
            why = f"has {one!r} among its assets"
            raise BadSchedule(dag_id, cast("object", schedule), why)
        assets.append(one)
    return AssetTriggeredTimetable(assets)


def _text(schedule: object, timetable: Timetable) -> str:
    if isinstance(schedule, timedelta | relativedelta):
        return f"every {delta_text(schedule)}"
    if type(timetable) in (DeltaDataIntervalTimetable, DeltaTriggerTimetable):
        return f"every {timetable.summary}"
    if type(timetable) is AssetTriggeredTimetable:
        return condition_text(timetable.condition)
    return timetable.summary
