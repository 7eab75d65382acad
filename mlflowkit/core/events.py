"""What happened, in the past tense. A run's log is these, in order, and nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from mlflowkit.core.spec import AttemptId, TaskId


@dataclass(frozen=True, slots=True)
class RunOpened:
    """The run was created and may start."""

    #: Tasks that wait for their past: the run before has not ended them well.
    waits_past: tuple[TaskId, ...] = ()


@dataclass(frozen=True, slots=True)
class PlacesOffered:
    """The executor has room."""

    #: Task instances that this run may hand over now.
    places: int
    #: Free slots of pools, and free task instances of tasks that have a limit in their
    #: DAG. What does not stand here has no limit.
    pools: Mapping[str, int] = field(default_factory=dict[str, int])
    tasks: Mapping[TaskId, int] = field(default_factory=dict[TaskId, int])


@dataclass(frozen=True, slots=True)
class TimePassed:
    """An alarm that the run had asked for is due."""


@dataclass(frozen=True, slots=True)
class AttemptStarted:
    attempt: AttemptId


@dataclass(frozen=True, slots=True)
class AttemptSucceeded:
    attempt: AttemptId
    #: Items of each XCom that some task expands over, by key.
    lengths: Mapping[str, int] = field(default_factory=dict[str, int])
    #: A branch: the tasks directly below that go on. None: it is no branch.
    chosen: tuple[TaskId, ...] | None = None
    #: A short circuit: "all" below is skipped, or only what is "direct"ly below.
    halts: str = ""


@dataclass(frozen=True, slots=True)
class AttemptSkipped:
    """The task's code said that there was nothing to do."""

    attempt: AttemptId
    why: str = ""


@dataclass(frozen=True, slots=True)
class AttemptRescheduled:
    """A sensor lets go of its place, and wants to look again later. No try is spent."""

    attempt: AttemptId
    when: datetime


@dataclass(frozen=True, slots=True)
class AttemptFailed:
    """The code failed, or its process died: a try is spent."""

    attempt: AttemptId
    #: One line for people. The whole error lies beside the attempt.
    why: str
    #: False where another try cannot help (bad input).
    retryable: bool = True


@dataclass(frozen=True, slots=True)
class AttemptLost:
    """What ran it is gone, known dead: no try is spent."""

    attempt: AttemptId
    why: str


@dataclass(frozen=True, slots=True)
class PastSettled:
    """The run before has ended these tasks well: they need not wait for it any more."""

    task_ids: tuple[TaskId, ...]


@dataclass(frozen=True, slots=True)
class CancelAsked:
    """A person wants the run to stop."""


@dataclass(frozen=True, slots=True)
class RetryAsked:
    """A person wants what did not succeed to run again."""

    #: Only these (and `parts`) and what waits for them; nothing named: all that did not
    #: succeed.
    task_ids: tuple[TaskId, ...] = ()
    #: What waits for them keeps what it has, if it has ended.
    alone: bool = False
    #: Of these mapped tasks only these task instances, by map index.
    parts: Mapping[TaskId, tuple[int, ...]] = field(
        default_factory=dict[TaskId, tuple[int, ...]]
    )


@dataclass(frozen=True, slots=True)
class InstanceAsked:
    """A person wants something of one task instance, while its run goes on."""

    task_id: TaskId
    map_index: int
    #: "stop" its attempt, or, of one that waits to try or to look again, "retry_now" or
    #: "give_up"; "cancel" is "stop" or "give_up", and ends what waits for a place. Where that
    #: does not fit any more, it changes nothing.
    what: str


@dataclass(frozen=True, slots=True)
class RetryHeldBack:
    """Somebody looks into what failed: it is not tried again meanwhile."""

    task_id: TaskId
    map_index: int
    #: At the latest it is due then.
    until: datetime
    #: What ends the wait, for people; empty: nothing holds it back any more.
    why: str


@dataclass(frozen=True, slots=True)
class MarkAsked:
    """A person says how task instances ended, whatever their code does."""

    task_id: TaskId
    #: Empty: all of the task's that this changes.
    map_indexes: tuple[int, ...]
    #: "success" or "failed".
    state: str


AttemptEvent = (
    AttemptStarted
    | AttemptSucceeded
    | AttemptSkipped
    | AttemptRescheduled
    | AttemptFailed
    | AttemptLost
)
Event = (
    RunOpened
    | PlacesOffered
    | TimePassed
    | PastSettled
    | CancelAsked
    | RetryAsked
    | InstanceAsked
    | RetryHeldBack
    | MarkAsked
    | AttemptEvent
)
