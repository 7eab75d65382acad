"""What must now be done, in the imperative. Doing one twice is harmless: the attempt id sees to it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from mlflowkit.core.spec import AttemptId
from mlflowkit.core.states import RunState


@dataclass(frozen=True, slots=True)
class Launch:
    attempt: AttemptId


@dataclass(frozen=True, slots=True)
class Kill:
    attempt: AttemptId
    #: "cancelled" or "timed out after …": ends up beside the state.
    why: str


@dataclass(frozen=True, slots=True)
class WakeAt:
    when: datetime


@dataclass(frozen=True, slots=True)
class Call:
    """Code of a person that is to hear how an attempt or the run ended: at least once."""

    #: The attempt that ended; of the run itself, its task id is empty.
    attempt: AttemptId
    #: "success", "failure", "retry" or "skipped".
    kind: str
    why: str = ""


@dataclass(frozen=True, slots=True)
class CloseRun:
    state: RunState


Decision = Launch | Kill | Call | WakeAt | CloseRun
