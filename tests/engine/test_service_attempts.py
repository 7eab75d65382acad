"""Code outside tasks: what is launched, and what of it is heard."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mlflowkit.core.decisions import Call
from mlflowkit.core.events import (
    AttemptFailed,
    AttemptLost,
    AttemptStarted,
    AttemptSucceeded,
)
from mlflowkit.core.machine.finish import LOST_LIMIT
from mlflowkit.core.spec import AttemptId, RunId, TaskId
from mlflowkit.engine.service_attempts import ServiceAttempts, callback_id, is_service
from mlflowkit.ports import LaunchOrder, Report, Surroundings

ATTEMPT = AttemptId(RunId("d/1"), TaskId("work"), -1, -7)


def order(attempt: AttemptId = ATTEMPT) -> LaunchOrder:
    around = Surroundings(python="python", env={}, cwd="/", sys_path=(), umask=0o22)
    return LaunchOrder(
        attempt=attempt,
        try_number=1,
        max_tries=1,
        bundle=str(Path("/bundle")),
        surroundings=around,
        params_json=b"{}",
        facts_json=b"{}",
        service="callback",
    )


class Desk:
    """Service attempts, what they launch, and what is told in the end."""

    def __init__(self) -> None:
        self.launched: list[AttemptId] = []
        self.told: list[tuple[bytes | None, str]] = []
        self.attempts = ServiceAttempts(lambda o: self.launched.append(o.attempt))

    def start(self) -> None:
        self.attempts.start(order(), lambda answer, why: self.told.append((answer, why)))

    def hear(self, event: Any, **more: Any) -> None:
        self.attempts.heard(Report(event=event, **more))


def test_the_answer_is_told_once() -> None:
    desk = Desk()
    desk.start()
    desk.hear(AttemptStarted(ATTEMPT))
    desk.hear(AttemptSucceeded(ATTEMPT), answer=b"[1]")
    desk.hear(AttemptSucceeded(ATTEMPT), answer=b"[2]")
    assert desk.told == [(b"[1]", "")]
    assert not desk.attempts


def test_the_same_one_twice_is_launched_once() -> None:
    desk = Desk()
    desk.start()
    desk.start()
    assert desk.launched == [ATTEMPT]


def test_a_lost_one_is_launched_again_under_another_number_until_it_is_enough() -> None:
    desk = Desk()
    desk.start()
    for _ in range(LOST_LIMIT + 1):
        assert desk.told == []
        desk.hear(AttemptLost(desk.launched[-1], "its supervisor died"))
    assert desk.told == [(None, "its supervisor died")]
    assert len(set(desk.launched)) == LOST_LIMIT + 1
    assert all(is_service(one) for one in desk.launched)
    assert not desk.attempts


def test_news_of_the_lost_one_are_not_heard() -> None:
    desk = Desk()
    desk.start()
    desk.hear(AttemptLost(ATTEMPT, "its supervisor died"))
    desk.hear(AttemptSucceeded(ATTEMPT), answer=b"[old]")
    assert desk.told == []
    desk.hear(AttemptSucceeded(desk.launched[-1]), answer=b"[new]")
    assert desk.told == [(b"[new]", "")]


def test_a_failed_one_says_why() -> None:
    desk = Desk()
    desk.start()
    desk.hear(AttemptFailed(ATTEMPT, "ValueError: no"), error="ValueError: no\n  in line 3")
    assert desk.told == [(None, "ValueError: no\n  in line 3")]


def test_a_decision_that_is_carried_out_twice_has_the_same_id() -> None:
    call = Call(AttemptId(RunId("d/1"), TaskId("work"), -1, 2), "failure", "why")
    assert callback_id(call, 5) == callback_id(call, 5) != callback_id(call, 6)
