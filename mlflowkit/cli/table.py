"""A `RunView` as a table."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING

from mlflowkit.cli.words import STYLES, counts_text, took, waiting_text
from mlflowkit.core.spec import instance_name
from mlflowkit.core.states import ENDED, TaskState
from mlflowkit.core.view import RunView, TaskView

if TYPE_CHECKING:
    from rich.console import Group
    from rich.text import Text

#: Instances of a mapped task that get a line of their own while they run.
MAX_LINES = 4


def run_table(
    view: RunView, progress: Mapping[tuple[str, int], str], now: datetime
) -> Group:
    """The tasks of a run: state, how long, and what they are at.

    Args:
        progress: A line for each running instance, by task id and map index.
    """
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for name in ("Task", "State", "Time"):
        table.add_column(name, no_wrap=True)
    # It may shrink, the others may not; its texts are cut, and not wrapped.
    table.add_column("")
    for task in view.tasks:
        state = Text(str(task.state), style=STYLES.get(task.state, ""))
        name = task.task_id + (f" ×{sum(task.counts.values())}" if task.mapped else "")
        table.add_row(name, state, _time(task, now), _cut(_detail(task, progress)))
        for index, line in _instance_lines(task, progress):
            row = f"  {instance_name(task.task_id, index)}"
            table.add_row(row, "", "", _cut(line))
    head = Text(f"{view.run_id}  ", style="bold")
    head.append(view.state, style=STYLES.get(view.state, ""))
    head.append(f"  {took(view.started_at, view.ended_at, now)}", style="dim")
    return Group(head, table)


def _cut(text: str) -> Text:
    from rich.text import Text

    return Text(text, style="dim", no_wrap=True, overflow="ellipsis")


def _time(task: TaskView, now: datetime) -> str:
    still = now if task.state not in ENDED else None
    return took(task.started_at, task.ended_at, still) if task.started_at else ""


def _detail(task: TaskView, progress: Mapping[tuple[str, int], str]) -> str:
    if task.mapped:
        return "; ".join(filter(None, (counts_text(task), task.waits)))
    if task.state is TaskState.RUNNING:
        return progress.get((task.task_id, -1), "")
    if task.state is TaskState.UP_FOR_RETRY and task.instances:
        return waiting_text(task.instances[0])
    return task.reason if task.state is not TaskState.SUCCESS else ""


def _instance_lines(
    task: TaskView, progress: Mapping[tuple[str, int], str]
) -> list[tuple[int, str]]:
    if not task.mapped:
        return []
    lines = [(i, line) for (name, i), line in progress.items() if name == task.task_id]
    return [(i, line) for i, line in lines if line][:MAX_LINES]
