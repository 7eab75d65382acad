"""What a person may ask of a run, a task or a task instance now: the buttons of a screen."""

from __future__ import annotations

from collections.abc import Mapping

from mlflowkit.core.states import ENDED, RUN_ENDED, TaskState


def run_actions(state: str, *, interrupted: bool, cancelled: bool) -> list[str]:
    """Actions on the whole run."""
    if state in RUN_ENDED:
        return ["retry"] if state == "failed" else []
    if interrupted:
        return ["resume", "cancel"]
    return [] if cancelled else ["cancel"]


def task_actions(
    state: TaskState,
    counts: Mapping[TaskState, int],
    *,
    over: bool,
    mapped: bool,
    notebook: bool = False,
) -> list[str]:
    """Actions on a task: `clear` runs it and all below again, `clear_only` it alone, once its
    run has ended; `retry_cell` goes on from the failed cell of a notebook.

    On one instance, also: `stop` what is out or waits for its next try, `retry_now` and
    `give_up` what waits for it. `mark_success` and `mark_failed` say how it ended.
    """
    if over:
        from_cell = ["retry_cell"] if notebook and state is TaskState.FAILED else []
        return [*from_cell, "clear", "clear_only", *_mark(state)] if counts else []
    if mapped:
        return []
    if state in (TaskState.UP_FOR_RETRY, TaskState.UP_FOR_RESCHEDULE):
        return ["retry_now", "give_up", "mark_success"]
    alive = state in (TaskState.RUNNING, TaskState.QUEUED)
    return ["stop", "mark_success"] if alive else []


def _mark(state: TaskState) -> list[str]:
    """What an ended one may be said to be instead."""
    if state not in ENDED or state is TaskState.REMOVED:
        return []
    return ["mark_failed" if state is TaskState.SUCCESS else "mark_success"]
