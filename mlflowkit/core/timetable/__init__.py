"""Timetables: when a DAG runs, and for which data.

Pure: nothing in here reads a clock. `mlflowkit.timetables` is the door for people.
"""

from __future__ import annotations

from mlflowkit.core.timetable.as_json import (
    CustomTimetable,
    info_from_json,
    info_to_json,
    is_custom,
    timetable_from_json,
    timetable_to_json,
)
from mlflowkit.core.timetable.assets import (
    AllOf,
    AnyOf,
    AssetOrTimeSchedule,
    Assets,
    AssetTriggeredTimetable,
    AssetUri,
    Condition,
    condition_met,
    condition_of,
    condition_text,
    uris_of,
)
from mlflowkit.core.timetable.base import (
    DagRunInfo,
    DataInterval,
    NativeTimetable,
    TimeRestriction,
    Timetable,
)
from mlflowkit.core.timetable.cron import ALIASES
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

__all__ = [
    "ALIASES",
    "AllOf",
    "AnyOf",
    "AssetOrTimeSchedule",
    "AssetTriggeredTimetable",
    "AssetUri",
    "Assets",
    "Condition",
    "ContinuousTimetable",
    "CronDataIntervalTimetable",
    "CronTriggerTimetable",
    "CustomTimetable",
    "DagRunInfo",
    "DataInterval",
    "DeltaDataIntervalTimetable",
    "DeltaTriggerTimetable",
    "EventsTimetable",
    "MultipleCronTriggerTimetable",
    "NativeTimetable",
    "NullTimetable",
    "OnceTimetable",
    "TimeRestriction",
    "Timetable",
    "condition_met",
    "condition_of",
    "condition_text",
    "info_from_json",
    "info_to_json",
    "is_custom",
    "timetable_from_json",
    "timetable_to_json",
    "uris_of",
]
