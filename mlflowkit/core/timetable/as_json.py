"""Timetables as JSON texts, for the store and the engine.

A native timetable comes back equal to what it was. A person's own subclass is code: only
what the engine must know of it is written, and what comes back can say no times.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from functools import lru_cache
from typing import Any, Final, NoReturn

from mlflowkit.core.timetable.assets import (
    AssetOrTimeSchedule,
    AssetTriggeredTimetable,
    condition_data,
    condition_from,
)
from mlflowkit.core.timetable.base import (
    DagRunInfo,
    DataInterval,
    NativeTimetable,
    TimeRestriction,
    Timetable,
    utc,
)
from mlflowkit.core.timetable.interval import (
    CronDataIntervalTimetable,
    DeltaDataIntervalTimetable,
)
from mlflowkit.core.timetable.simple import (
    ContinuousTimetable,
    EventsTimetable,
    NullTimetable,
    OnceTimetable,
)
from mlflowkit.core.timetable.trigger import (
    CronTriggerTimetable,
    DeltaTriggerTimetable,
    MultipleCronTriggerTimetable,
)
from mlflowkit.errors import BadTimetable, TimetableElsewhere

NATIVE: Final[Mapping[str, type[NativeTimetable]]] = {
    kind.__name__: kind
    for kind in (
        AssetTriggeredTimetable,
        ContinuousTimetable,
        CronDataIntervalTimetable,
        CronTriggerTimetable,
        DeltaDataIntervalTimetable,
        DeltaTriggerTimetable,
        EventsTimetable,
        MultipleCronTriggerTimetable,
        NullTimetable,
        OnceTimetable,
    )
}
CUSTOM: Final = "custom"


class CustomTimetable(NativeTimetable):
    """What the engine knows of a person's own timetable; its times are asked elsewhere."""

    asks_no_one = False

    def __init__(self, **facts: Any) -> None:
        self.facts = facts
        self.description = str(facts["description"])
        self.periodic = bool(facts["periodic"])
        self.can_be_scheduled = bool(facts["can_be_scheduled"])
        self.active_runs_limit = facts["active_runs_limit"]

    @property
    def summary(self) -> str:
        return str(self.facts["summary"])

    def next_dagrun_info(
        self,
        *,
        last_automated_data_interval: DataInterval | None,
        restriction: TimeRestriction,
    ) -> NoReturn:
        raise TimetableElsewhere(self.summary)

    def infer_manual_data_interval(self, *, run_after: datetime) -> NoReturn:
        raise TimetableElsewhere(self.summary)

    def serialize(self) -> dict[str, Any]:
        return dict(self.facts)


def timetable_to_json(timetable: Timetable) -> str:
    """The timetable as a JSON text; equal ones give equal texts."""
    return json.dumps(_data(timetable), sort_keys=True, ensure_ascii=False)


@lru_cache(maxsize=16384)
def timetable_from_json(text: str) -> Timetable:
    """The timetable of a text that `timetable_to_json` made; "" is `schedule=None`.

    Raises:
        BadTimetable: another, perhaps later, version wrote it.
    """
    if not text:
        return NullTimetable()
    try:
        return _timetable(json.loads(text))
    except (ValueError, KeyError, TypeError, AttributeError) as exc:
        raise BadTimetable(text, "is no timetable that this version can read") from exc


def is_custom(timetable: Timetable) -> bool:
    """Whether a person's code says the times, so that the engine cannot."""
    if isinstance(timetable, AssetOrTimeSchedule):
        return is_custom(timetable.timetable)
    return isinstance(timetable, CustomTimetable) or _kind(timetable) == CUSTOM


def info_to_json(info: DagRunInfo | None) -> str:
    """What a timetable answered, for the way from a worker to the engine."""
    if info is None:
        return "null"
    moments = (info.run_after, info.data_interval.start, info.data_interval.end)
    return json.dumps([utc(moment).isoformat() for moment in moments])


def info_from_json(text: str) -> DagRunInfo | None:
    """The answer that `info_to_json` wrote."""
    moments: list[str] | None = json.loads(text)
    if moments is None:
        return None
    run_after, start, end = (datetime.fromisoformat(moment) for moment in moments)
    return DagRunInfo(run_after, DataInterval(start, end))


def _kind(timetable: Timetable) -> str:
    """A subclass of a native timetable is a person's own one."""
    kind = type(timetable)
    return kind.__name__ if NATIVE.get(kind.__name__) is kind else CUSTOM


def _data(timetable: Timetable) -> dict[str, Any]:
    if type(timetable) is AssetOrTimeSchedule:
        return {
            "type": AssetOrTimeSchedule.__name__,
            "assets": condition_data(timetable.condition),
            "timetable": _data(timetable.timetable),
        }
    kind = _kind(timetable)
    if kind != CUSTOM or type(timetable) is CustomTimetable:
        return {"type": kind, **timetable.serialize()}
    made_by = type(timetable)
    return {
        "type": CUSTOM,
        "class": f"{made_by.__module__}.{made_by.__qualname__}",
        "summary": timetable.summary,
        "description": timetable.description,
        "periodic": timetable.periodic,
        "can_be_scheduled": timetable.can_be_scheduled,
        "active_runs_limit": timetable.active_runs_limit,
    }


def _timetable(data: Mapping[str, Any]) -> Timetable:
    facts = {name: value for name, value in data.items() if name != "type"}
    if data["type"] == CUSTOM:
        return CustomTimetable(**facts)
    if data["type"] == AssetOrTimeSchedule.__name__:
        return AssetOrTimeSchedule(
            timetable=_timetable(facts["timetable"]),
            assets=condition_from(facts["assets"]),
        )
    return NATIVE[data["type"]].deserialize(facts)
