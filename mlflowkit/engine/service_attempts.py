"""Code of a person outside tasks: callbacks and timetables. It runs in workers, at least once.

Each has an attempt id of its own, whose number is below zero: no task instance ever has
one, so what it says can never be taken for news of a task.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from mlflowkit.core.decisions import Call
from mlflowkit.core.events import (
    AttemptFailed,
    AttemptLost,
    AttemptRescheduled,
    AttemptSkipped,
    AttemptStarted,
    AttemptSucceeded,
)
from mlflowkit.core.machine.finish import LOST_LIMIT
from mlflowkit.core.spec import AttemptId
from mlflowkit.ports import LaunchOrder, Report

log = logging.getLogger("mlflowkit.engine")


def callback_id(call: Call, entry_id: int) -> AttemptId:
    """The attempt that calls back: the same each time that this decision is carried out."""
    return call.attempt._replace(number=-entry_id)


def is_service(attempt: AttemptId) -> bool:
    return attempt.number < 0


@dataclass
class _Out:
    order: LaunchOrder
    #: Called with the answer, or with None and why there is none.
    done: Callable[[bytes | None, str], None]
    lost: int = 0


class ServiceAttempts:
    """The service attempts of an engine that are out."""

    def __init__(self, launch: Callable[[LaunchOrder], None]) -> None:
        self._launch = launch
        self._out: dict[AttemptId, _Out] = {}
        #: Set where some were launched, and the executor has not been told that it is all.
        self.launched = False

    def __bool__(self) -> bool:
        return bool(self._out)

    def start(self, order: LaunchOrder, done: Callable[[bytes | None, str], None]) -> None:
        """Launch one. The same one twice is launched once."""
        if order.attempt not in self._out:
            self._out[order.attempt] = _Out(order, done)
            self._launch(order)
            self.launched = True

    def heard(self, report: Report) -> None:
        """What an executor says of one."""
        event = report.event
        out = self._out.get(event.attempt)
        if out is None or isinstance(event, AttemptStarted):
            return
        if isinstance(event, AttemptLost) and out.lost < LOST_LIMIT:
            self._again(event.attempt, out)
            return
        del self._out[event.attempt]
        match event:
            case AttemptSucceeded():
                out.done(report.answer, "")
            case AttemptFailed(why=why) | AttemptLost(why=why) | AttemptSkipped(why=why):
                facts = {"action": "service_failed", "attempt": str(event.attempt)}
                log.warning("code outside tasks failed: %s", why, extra=facts)
                out.done(None, report.error or why)
            case AttemptRescheduled():
                out.done(None, "it rescheduled itself, which only a sensor can")

    def _again(self, attempt: AttemptId, out: _Out) -> None:
        """With another number: an executor never runs the same id twice."""
        out.lost += 1
        del self._out[attempt]
        next_id = attempt._replace(number=attempt.number - 1_000_000)
        out.order = replace(out.order, attempt=next_id)
        self._out[next_id] = out
        self._launch(out.order)
        self.launched = True


def callback_arguments(call: Call, facts: Mapping[str, Any]) -> dict[str, Any]:
    """What the worker is told: the kind, why, from when to when the try went, and the task's
    own exception if it travelled."""
    more = {name: facts.get(name) for name in ("started_at", "ended_at", "exception")}
    return {"kind": call.kind, "why": call.why, **more}
