"""Errors of schedules, timetables, zones and assets."""

from __future__ import annotations

from mlflowkit.errors.graph import GraphError


class BadSchedule(GraphError):
    """A schedule that nobody can read."""

    code = "bad_schedule"

    def __init__(self, dag_id: str, schedule: object, why: str) -> None:
        self.dag_id, self.schedule, self.why = dag_id, schedule, why
        super().__init__(
            f"DAG {dag_id!r} has the schedule {schedule!r}, which {why}. Use a cron "
            "expression ('0 6 * * *'), '@daily', '@hourly', '@weekly', '@monthly', "
            "timedelta(hours=1), or None."
        )


class BadTimetable(GraphError):
    """A timetable, or a part of one, that says no times."""

    code = "bad_timetable"

    def __init__(self, what: object, why: str) -> None:
        self.what, self.why = what, why
        super().__init__(f"{what!r} {why}.")


class BadZone(BadTimetable):
    """A time zone that nobody knows, or one without a name."""

    code = "bad_zone"

    def __init__(self, zone: object, why: str) -> None:
        self.zone = zone
        super().__init__(zone, why)


class BadAsset(GraphError):
    """An asset whose name or URI cannot be one."""

    code = "bad_asset"

    def __init__(self, asset: object, why: str) -> None:
        self.asset, self.why = asset, why
        super().__init__(f"the asset {asset!r} {why}.")
