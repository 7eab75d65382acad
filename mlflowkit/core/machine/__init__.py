"""The one brain: events in; a changed run and decisions out.

Rule 1: nothing here reads a clock, a file, a socket, a setting or a random number.
        Time comes in as an argument.
Rule 2: nothing here knows which executor, which store or which screen.
Rule 3: states change only through the tables of `core.states`.

The attempt id is the fence: mail about an attempt that is not the latest of its
task instance, or not out any more, changes nothing and is no error.
An event costs O(out-degree of its task), whatever the size of the run.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import assert_never

from mlflowkit.core.events import (
    AttemptFailed,
    AttemptLost,
    AttemptRescheduled,
    AttemptSkipped,
    AttemptStarted,
    AttemptSucceeded,
    CancelAsked,
    Event,
    InstanceAsked,
    MarkAsked,
    PastSettled,
    PlacesOffered,
    RetryAsked,
    RetryHeldBack,
    RunOpened,
    TimePassed,
)
from mlflowkit.core.machine import again, finish, mark, people, start
from mlflowkit.core.machine.load import load
from mlflowkit.core.machine.run import InstanceRow, NodeRow, Outcome, Run, RunRow
from mlflowkit.core.machine.step import Step
from mlflowkit.core.machine.wake import hold_back, wake
from mlflowkit.core.states import RunState

__all__ = [
    "InstanceRow",
    "NodeRow",
    "Outcome",
    "Run",
    "RunRow",
    "handle",
    "load",
    "replay",
]


def handle(run: Run, event: Event, now: datetime) -> Outcome:
    """Apply one event to a run.

    Args:
        run: The run as the last event left it. It is changed in place.
        event: What happened.
        now: When we learned of it. Aware, UTC.

    Returns:
        The rows that changed, and the decisions to carry out once they are saved.
        Empty for old news.

    Raises:
        IllegalEvent: the run cannot take this event. Nothing was changed.
    """
    step = Step(run, now)
    if run.ended and not isinstance(event, (RetryAsked, MarkAsked)):
        return step.outcome
    match event:
        case AttemptSucceeded():
            finish.succeeded(step, event)
        case AttemptStarted(attempt):
            finish.started(step, attempt)
        case PlacesOffered():
            start.offer(step, event)
        case AttemptFailed(attempt, why, retryable):
            finish.failed(step, attempt, why, retryable)
        case AttemptSkipped(attempt, why):
            finish.skipped(step, attempt, why)
        case AttemptRescheduled(attempt, when):
            finish.rescheduled(step, attempt, when)
        case AttemptLost(attempt, why):
            finish.lost(step, attempt, why)
        case TimePassed():
            wake(step)
        case RunOpened(waits_past) if run.row.state is RunState.QUEUED:
            start.open_run(step, waits_past)
        case RunOpened():
            pass  # old news
        case PastSettled(task_ids):
            start.past_settled(step, task_ids)
        case CancelAsked():
            people.cancel(step)
        case RetryAsked():
            again.retry(step, event)
        case RetryHeldBack():
            hold_back(step, event)
        case InstanceAsked():
            people.ask_instance(step, event)
        case MarkAsked():
            mark.mark(step, event)
        case _:
            assert_never(event)
    people.stop_if_broken(step)
    return step.outcome


def replay(run: Run, log: Iterable[tuple[Event, datetime]]) -> Run:
    """Apply a whole log to a run as it was at its start: what the store must hold, from scratch."""
    for event, now in log:
        handle(run, event, now)
    return run
