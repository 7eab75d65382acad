"""`mlflowkit runs logs`: what attempts have printed, and go on printing."""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Iterator

from mlflowkit.core.spec import instance_name
from mlflowkit.core.states import ENDED
from mlflowkit.core.view import InstanceView, RunView
from mlflowkit.errors import RunInterrupted, TaskNotInRun
from mlflowkit.handles.run import RunHandle
from mlflowkit.tailing import Tail, file_name

LOOK_SECONDS = 0.2


def show_logs(
    handle: RunHandle, task: str | None, attempt: int | None, *, follow: bool = False
) -> None:
    """Print the logs of a run, or of one task, or of one instance `fit[3]`.

    Raises:
        TaskNotInRun: it has no such task.
        RunInterrupted: while following, its engine died.
    """
    wanted, index = named(handle, task)
    tails: dict[str, tuple[str, Tail]] = {}
    while True:
        view = handle.view()
        for task_id, instance in _instances(view, wanted, index):
            number = attempt or instance.attempt
            if number:
                name = file_name(task_id, instance.map_index, number)
                path = handle.path / "logs" / f"{name}.log"
                label = instance_name(task_id, instance.map_index)
                tails.setdefault(name, (label, Tail(path)))
        over = not follow or _is_over(view, wanted, index)
        for label, tail in tails.values():
            _print(label if task is None else "", tail, last=over)
        if over:
            return
        if view.interrupted:
            raise RunInterrupted(handle.run_id)
        time.sleep(LOOK_SECONDS)


def named(handle: RunHandle, task: str | None) -> tuple[str | None, int | None]:
    """`fit[3]` as task and index."""
    if task is None:
        return None, None
    match = re.fullmatch(r"(?P<name>.+)\[(?P<index>\d+)\]", task)
    name = match["name"] if match else task
    known = [t.task_id for t in handle.view().tasks]
    if name not in known:
        raise TaskNotInRun(handle.run_id, name, known)
    return name, int(match["index"]) if match else None


def _instances(
    view: RunView, wanted: str | None, index: int | None
) -> Iterator[tuple[str, InstanceView]]:
    for task in view.tasks:
        for instance in task.instances if wanted in (None, task.task_id) else ():
            if index in (None, instance.map_index):
                yield task.task_id, instance


def _is_over(view: RunView, wanted: str | None, index: int | None) -> bool:
    if view.ended or wanted is None:
        return view.ended
    found = [instance.state for _, instance in _instances(view, wanted, index)]
    return bool(found) and all(state in ENDED for state in found)


def _print(label: str, tail: Tail, *, last: bool) -> None:
    lines = tail.lines()
    while more := tail.lines():
        lines += more
    for line in [*lines, *(tail.rest() if last else ())]:
        text = line.decode(errors="replace")
        sys.stdout.write(f"{label} | {text}\n" if label else f"{text}\n")
    sys.stdout.flush()
