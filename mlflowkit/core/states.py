"""The life of a task instance and of a DAG run, as two tables. No other file decides a state.

The picture in docs/reference/states.md, the CHECK constraints of the store and
the colours of the screens are read from here, so they cannot disagree with it.
Ended states are those that only a person can leave again.
"Cancelled", "lost", "timed out" are reasons beside a state, not states.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Final


class TaskState(StrEnum):
    NONE = "none"  # some upstream task has not ended
    SCHEDULED = "scheduled"  # may start as soon as there is a place
    QUEUED = "queued"  # given to the executor; no sign of life yet
    RUNNING = "running"  # a worker says it is at it
    SUCCESS = "success"
    FAILED = "failed"
    UP_FOR_RETRY = "up_for_retry"  # failed; will be scheduled again later
    UP_FOR_RESCHEDULE = "up_for_reschedule"  # a sensor that lets go of its worker meanwhile
    SKIPPED = "skipped"
    UPSTREAM_FAILED = "upstream_failed"
    REMOVED = "removed"  # no longer in the expansion


class RunState(StrEnum):
    QUEUED = "queued"
    RUNNING = "running"
    SUCCESS = "success"
    FAILED = "failed"


class Cause(StrEnum):
    UPSTREAM_MET = "upstream met"
    UPSTREAM_FAILED = "upstream failed"
    UPSTREAM_SKIPPED = "upstream skipped"
    RULE_NOT_MET = "trigger rule cannot be met"
    NOT_CHOSEN = "left out by a branch"
    EXPANDED_TO_NOTHING = "expanded to nothing"
    CANNOT_EXPAND = "cannot expand"
    EXPANDED_AWAY = "no longer in the expansion"
    NOTHING_TO_DO = "nothing to do"
    PLACE_FOUND = "place found"
    STARTED = "started"
    SUCCEEDED = "succeeded"
    SKIPPED = "skipped itself"
    FAILED = "failed for good"
    FAILED_ONCE = "failed, will retry"
    LOST = "lost"
    RETRY_DUE = "retry due"
    RESCHEDULED = "rescheduled itself"
    RESCHEDULE_DUE = "reschedule due"
    CANCELLED = "cancelled"
    CLEARED = "cleared by a person"
    MARKED_SUCCESS = "marked success by a person"
    MARKED_FAILED = "marked failed by a person"


_S, _C = TaskState, Cause
_MARKS: Final[Mapping[Cause, TaskState]] = {
    _C.MARKED_SUCCESS: _S.SUCCESS,
    _C.MARKED_FAILED: _S.FAILED,
}
_ATTEMPT_ENDS: Final[Mapping[Cause, TaskState]] = {
    _C.SUCCEEDED: _S.SUCCESS,
    _C.SKIPPED: _S.SKIPPED,
    _C.FAILED: _S.FAILED,
    _C.FAILED_ONCE: _S.UP_FOR_RETRY,
    _C.LOST: _S.SCHEDULED,
    _C.RESCHEDULED: _S.UP_FOR_RESCHEDULE,
    _C.CANCELLED: _S.FAILED,
    **_MARKS,
}

#                state           cause                next state
TRANSITIONS: Final[Mapping[TaskState, Mapping[Cause, TaskState]]] = {
    _S.NONE: {
        _C.UPSTREAM_MET: _S.SCHEDULED,
        _C.NOTHING_TO_DO: _S.SUCCESS,
        _C.UPSTREAM_FAILED: _S.UPSTREAM_FAILED,
        _C.UPSTREAM_SKIPPED: _S.SKIPPED,
        _C.RULE_NOT_MET: _S.SKIPPED,
        _C.NOT_CHOSEN: _S.SKIPPED,
        _C.EXPANDED_TO_NOTHING: _S.SKIPPED,
        _C.CANNOT_EXPAND: _S.FAILED,
        _C.EXPANDED_AWAY: _S.REMOVED,
        _C.CANCELLED: _S.SKIPPED,
        **_MARKS,
    },
    _S.SCHEDULED: {
        _C.PLACE_FOUND: _S.QUEUED,
        _C.NOT_CHOSEN: _S.SKIPPED,
        _C.CANCELLED: _S.SKIPPED,
        **_MARKS,
    },
    _S.QUEUED: {
        _C.STARTED: _S.RUNNING,
        **_ATTEMPT_ENDS,
    },  # "started" may come late, or never
    _S.RUNNING: _ATTEMPT_ENDS,
    _S.UP_FOR_RETRY: {
        _C.RETRY_DUE: _S.SCHEDULED,
        _C.CANCELLED: _S.FAILED,
        **_MARKS,
    },
    _S.UP_FOR_RESCHEDULE: {
        _C.RESCHEDULE_DUE: _S.SCHEDULED,
        _C.CANCELLED: _S.SKIPPED,
        **_MARKS,
    },
    _S.SUCCESS: {_C.CLEARED: _S.NONE, _C.MARKED_FAILED: _S.FAILED},
    _S.FAILED: {_C.CLEARED: _S.NONE, _C.MARKED_SUCCESS: _S.SUCCESS},
    _S.SKIPPED: {_C.CLEARED: _S.NONE, **_MARKS},
    _S.UPSTREAM_FAILED: {_C.CLEARED: _S.NONE, **_MARKS},
    _S.REMOVED: {_C.CLEARED: _S.NONE},
}

ENDED: Final = frozenset(
    s for s, row in TRANSITIONS.items() if not row.keys() - {_C.CLEARED, *_MARKS}
)
#: States in which an attempt is out: it holds a place, and may write to us.
HOLDS_PLACE: Final = frozenset({_S.QUEUED, _S.RUNNING})

RUN_TRANSITIONS: Final[Mapping[RunState, Mapping[str, RunState]]] = {
    RunState.QUEUED: {"opened": RunState.RUNNING},
    RunState.RUNNING: {"succeeded": RunState.SUCCESS, "failed": RunState.FAILED},
    RunState.SUCCESS: {"cleared": RunState.RUNNING},
    RunState.FAILED: {"cleared": RunState.RUNNING},
}
RUN_ENDED: Final = frozenset({RunState.SUCCESS, RunState.FAILED})
