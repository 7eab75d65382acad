"""Errors that are ours to mend."""

from __future__ import annotations

from mlflowkit.errors.base import MlflowkitError, UserError


class InternalError(MlflowkitError):
    """Something that should not be possible. Ours to mend: please report it."""

    code = "internal"


class TimetableElsewhere(InternalError):
    """A timetable that is a person's code was asked where no such code may run."""

    code = "timetable_elsewhere"

    def __init__(self, summary: str) -> None:
        self.summary = summary
        super().__init__(
            f"the timetable {summary!r} is code of a person: it is asked in a service attempt"
        )


class LeaseLost(InternalError):
    """Another engine has taken over this home. Nothing was saved."""

    code = "lease_lost"

    def __init__(self, engine_id: str) -> None:
        self.engine_id = engine_id
        super().__init__(
            f"engine {engine_id} no longer holds the home's lease: another one has taken over"
        )


class EngineRefused(UserError):
    """The engine says why it will not do what it was asked."""

    code = "engine_refused"

    def __init__(self, why: str, reason_code: str) -> None:
        self.why, self.reason_code = why, reason_code
        super().__init__(why)


class EngineGone(MlflowkitError):
    """The engine that was asked something is no longer there."""

    code = "engine_gone"

    def __init__(self, why: str, log: object) -> None:
        self.why, self.log = why, log
        super().__init__(
            f"the engine is gone ({why}); its log is {log}. Nothing that was saved is lost: "
            "`mlflowkit runs resume` goes on."
        )


class IllegalEvent(InternalError):
    """An event that a state has no answer to. Nothing was changed."""

    code = "illegal_event"

    def __init__(self, what: str, state: str, cause: str) -> None:
        self.what, self.state, self.cause = what, state, cause
        super().__init__(f"{what} is {state} and cannot take: {cause}")


class BadViewRequest(InternalError):
    """A screen asked for something that the feed of a run does not have."""

    code = "bad_view_request"

    def __init__(self, kind: str, problem: str) -> None:
        self.kind, self.problem = kind, problem
        super().__init__(
            f"a request {kind[:60]!r} of the run viewer makes no sense: {problem}. "
            "Reload the page: it may be older than this mlflowkit."
        )
