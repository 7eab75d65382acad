"""Timetables: schedules that say more than a cron expression, under Airflow's names.

    from mlflowkit.timetables import CronDataIntervalTimetable

    @dag(schedule=CronDataIntervalTimetable("30 2 * * *", timezone="Europe/Athens"))
    def report(): ...

For a schedule of your own write a subclass of `Timetable`. What summer time means to each
of them is in docs/how-to/time.md.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from mlflowkit.core.timetable import (
    AssetOrTimeSchedule,
    AssetTriggeredTimetable,
    ContinuousTimetable,
    CronDataIntervalTimetable,
    CronTriggerTimetable,
    DagRunInfo,
    DataInterval,
    DeltaDataIntervalTimetable,
    DeltaTriggerTimetable,
    EventsTimetable,
    MultipleCronTriggerTimetable,
    NullTimetable,
    OnceTimetable,
    Timetable,
)
from mlflowkit.core.timetable import TimeRestriction as _TimeRestriction

if TYPE_CHECKING:
    from mlflowkit.core.timetable import TimeRestriction
else:

    class TimeRestriction(_TimeRestriction):
        """What a DAG allows: start_date, end_date, catchup; and the moment of the question.

        Args:
            earliest, latest: The DAG's start_date and end_date; both are still allowed.
            catchup: Whether intervals before now are run, too.
            now: The moment of the question; if it is left out, the present one.
            since: When the schedule was first seen; if it is left out, now.
        """

        __slots__ = ()

        def __new__(cls, earliest, latest, catchup, now=None, since=None):  # noqa: ANN001, ANN204
            now = datetime.now(UTC) if now is None else now
            return super().__new__(cls, earliest, latest, catchup, now, since)


__all__ = [
    "AssetOrTimeSchedule",
    "AssetTriggeredTimetable",
    "ContinuousTimetable",
    "CronDataIntervalTimetable",
    "CronTriggerTimetable",
    "DagRunInfo",
    "DataInterval",
    "DeltaDataIntervalTimetable",
    "DeltaTriggerTimetable",
    "EventsTimetable",
    "MultipleCronTriggerTimetable",
    "NullTimetable",
    "OnceTimetable",
    "TimeRestriction",
    "Timetable",
]
