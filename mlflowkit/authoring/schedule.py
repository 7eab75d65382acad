"""Schedules and start dates as they are written in a DAG: checked, and kept as text."""

from __future__ import annotations

from datetime import datetime, timedelta

from mlflowkit.errors import BadOption, BadSchedule

PRESETS = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@quarterly": "0 0 1 */3 *",
    "@yearly": "0 0 1 1 *",
}
#: Presets that are no cron expression.
OTHER_PRESETS = ("@once", "@continuous")


def schedule_text(dag_id: str, schedule: object) -> str | None:
    """The schedule as text: cron, a preset, or an ISO 8601 duration in seconds (`PT3600S`).

    Raises:
        BadSchedule: nobody can read it.
    """
    if schedule is None or schedule == "@none":
        return None
    if isinstance(schedule, timedelta):
        if schedule <= timedelta():
            raise BadSchedule(dag_id, schedule, "is not a time span above zero")
        return f"PT{schedule.total_seconds():.0f}S"
    if not isinstance(schedule, str):
        raise BadSchedule(dag_id, schedule, f"is a {type(schedule).__name__}")
    if schedule not in (*PRESETS, *OTHER_PRESETS) and not _is_cron(schedule):
        raise BadSchedule(dag_id, schedule, "is no cron expression")
    return schedule


def _is_cron(text: str) -> bool:
    from croniter import croniter

    return not text.startswith("@") and bool(croniter.is_valid(text))


def aware(where: str, moment: object) -> datetime | None:
    """A start date with a zone: its own, or else the machine's.

    Raises:
        BadOption: it is no datetime.
    """
    if moment is None:
        return None
    if not isinstance(moment, datetime):
        why = f"must be a datetime, not a {type(moment).__name__}"
        raise BadOption(where, "start_date", why)
    return moment if moment.tzinfo else moment.astimezone()
