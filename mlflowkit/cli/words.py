"""How states, times and progress read in a terminal."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from mlflowkit.core.progress_text import span_text
from mlflowkit.core.states import TaskState
from mlflowkit.core.view import InstanceView, RunView, TaskView

STYLES: Final[Mapping[str, str]] = {
    "none": "dim",
    "scheduled": "dim",
    "queued": "yellow",
    "running": "bold cyan",
    "success": "green",
    "failed": "bold red",
    "up_for_retry": "yellow",
    "up_for_reschedule": "yellow",
    "skipped": "dim",
    "upstream_failed": "red",
    "removed": "dim",
}


def duration(seconds: float) -> str:
    """`0.8 s`, `42 s`, `3 min 05 s`, `2 h 07 min`."""
    if seconds < 10:
        return f"{max(seconds, 0):.1f} s"
    return span_text(round(seconds))


def took(start: datetime | None, end: datetime | None, now: datetime | None = None) -> str:
    """How long something took, or has taken until `now`; empty if it has not started."""
    until = end or now
    return duration((until - start).total_seconds()) if start and until else ""


def clock(moment: datetime) -> str:
    """`15:02`, with the day if it is not today. In the machine's zone."""
    here = moment.astimezone()
    today = datetime.now(UTC).astimezone().date()
    return here.strftime("%H:%M" if here.date() == today else "%d %b %H:%M")


def when(moment: datetime | None) -> str:
    return moment.astimezone().strftime("%Y-%m-%d %H:%M:%S") if moment else ""


def shown_path(path: Path | str) -> str:
    """A path as short as it can be typed: from the working folder, if it lies below."""
    whole, here = Path(path), Path.cwd()
    return str(whole.relative_to(here)) if whole.is_relative_to(here) else str(whole)


def states_json(view: RunView) -> dict[str, str]:
    """`{"load[-1]": "success", "fit[0]": "failed"}`: always with the map index."""
    found: dict[str, str] = {}
    for task in view.tasks:
        for instance in task.instances:
            found[f"{task.task_id}[{instance.map_index}]"] = str(instance.state)
        if not task.instances:
            found[f"{task.task_id}[-1]"] = str(task.state)
    return found


def counts_text(task: TaskView) -> str:
    """`17 of 20 success, 2 running, 1 failed` of a mapped task."""
    total = sum(task.counts.values())
    first = f"{task.counts.get(TaskState.SUCCESS, 0)} of {total} success"
    others = (f"{n} {s}" for s, n in task.counts.items() if s != TaskState.SUCCESS)
    return ", ".join([first, *others])


def waiting_text(instance: InstanceView) -> str:
    """What an instance that waits for its next try says."""
    due = f", again at {clock(instance.alarm)}" if instance.alarm else ""
    return f"{instance.reason}{due}"
