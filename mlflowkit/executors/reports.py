"""What a worker says at the end of an attempt, as the engine hears it."""

from __future__ import annotations

from mlflowkit.core.events import (
    AttemptEvent,
    AttemptFailed,
    AttemptLost,
    AttemptRescheduled,
    AttemptSkipped,
    AttemptSucceeded,
)
from mlflowkit.core.spec import TaskId
from mlflowkit.ports import LaunchOrder, Report
from mlflowkit.worker.protocol import Ended


def report_of(ended: Ended, order: LaunchOrder | None) -> Report:
    """The report of an end; without its order, what came with that is not in it."""
    attempt = ended.attempt
    event: AttemptEvent
    if ended.outcome == "succeeded":
        expanded = order.expanded_keys if order is not None else ()
        lengths = {
            k: v.length for k, v in ended.values if k in expanded and v.length is not None
        }
        chosen = tuple(map(TaskId, ended.chosen)) if ended.chosen is not None else None
        event = AttemptSucceeded(attempt, lengths, chosen, ended.halts)
    elif ended.outcome == "rescheduled" and ended.when is not None:
        event = AttemptRescheduled(attempt, ended.when)
    elif ended.outcome == "skipped":
        event = AttemptSkipped(attempt, ended.why)
    elif ended.outcome == "lost":
        event = AttemptLost(attempt, ended.why)
    else:
        event = AttemptFailed(attempt, ended.why, ended.retryable)
    tried = order.try_number if order is not None else 1
    return Report(
        event=event,
        values=ended.values,
        error=ended.error,
        facts=ended.facts | ({"try_number": tried} if tried > 1 else {}),
        assets=ended.assets,
        cache_key=ended.cache_key,
        answer=ended.answer,
    )
