"""Whoever asked to hear of an end hears of it: once for each end."""

from __future__ import annotations

from typing import Any

from mlflowkit.core.decisions import Call, CloseRun, Kill, Launch, WakeAt
from mlflowkit.core.events import CancelAsked
from mlflowkit.core.machine.finish import LOST_LIMIT
from mlflowkit.core.spec import UNMAPPED, AttemptId, TaskId
from mlflowkit.core.states import RunState
from tests.core.world import NOON, RUN, World, dag

ALL = ("success", "failure", "retry", "skipped")
THE_RUN = AttemptId(RUN, TaskId(""), UNMAPPED, 0)


def _world(retries: int = 0, **options: Any) -> World:
    """One task that wants to hear of everything."""
    each = {"load": {"callbacks": ALL}}
    return World(dag("load > train", each=each, retries=retries, **options))


def test_a_success_is_told() -> None:
    world = _world()
    world.places(1)
    assert world.succeed("load") == [Call(world.attempt("load"), "success")]


def test_a_failed_try_is_told_as_a_retry_and_the_last_one_as_a_failure() -> None:
    world = _world(retries=1)
    world.places(1)
    first = world.attempt("load")
    assert world.fail("load") == [
        Call(first, "retry", "boom"),
        WakeAt(NOON + dag("a", retries=1).tasks[TaskId("a")].retry.retry_delay),
    ]
    world.wait(seconds=10)
    world.places(1)
    assert world.fail("load", "again") == [
        Call(world.attempt("load", 2), "failure", "again"),
        CloseRun(RunState.FAILED),
    ]


def test_a_skip_of_its_own_is_told_and_one_from_above_is_not() -> None:
    each = {name: {"callbacks": ALL} for name in ("load", "train")}
    world = World(dag("load > train", each=each))
    world.places(1)
    assert world.skip("load", "nothing new") == [
        Call(world.attempt("load"), "skipped", "nothing new"),
        CloseRun(RunState.SUCCESS),
    ]


def test_what_is_closed_by_a_failure_above_was_never_tried_and_is_not_told() -> None:
    world = World(dag("load > train", each={"train": {"callbacks": ALL}}))
    world.places(1)
    assert world.fail("load") == [CloseRun(RunState.FAILED)]


def test_a_lost_attempt_is_told_only_when_it_was_the_last() -> None:
    world = _world()
    for _ in range(LOST_LIMIT):
        world.places(1)
        assert world.lose("load") == []
    world.places(1)
    call, closing = world.lose("load", "gone")
    assert call == Call(
        world.attempt("load"), "failure", "lost 4 times; the last time: gone"
    )
    assert closing == CloseRun(RunState.FAILED)


def test_a_cancelled_attempt_is_told_once() -> None:
    world = _world()
    world.places(1)
    assert world.tell(CancelAsked()) == [Kill(world.attempt("load"), "cancelled")]
    assert world.lose("load") == [
        Call(world.attempt("load"), "failure", "cancelled"),
        CloseRun(RunState.FAILED),
    ]


def test_old_mail_tells_nobody() -> None:
    world = _world()
    world.places(1)
    mail = world.attempt("load")
    world.succeed("load")
    assert world.succeed("load") == []
    assert world.attempt("load") == mail


def test_a_reschedule_is_no_end() -> None:
    world = _world()
    world.places(1)
    assert [type(d) for d in world.reschedule("load", seconds=5)] == [WakeAt]
    world.wait(seconds=5)
    assert world.places(1) == [Launch(world.attempt("load", 2))]


def test_each_end_of_the_run_is_told_to_those_who_asked_for_it() -> None:
    for ends, tell, kind in (
        (("success",), "succeed", "success"),
        (("failure",), "fail", "failure"),
        (("failure",), "succeed", None),
        (("success",), "fail", None),
    ):
        world = World(dag("load", callbacks=ends))
        world.places(1)
        closing, *calls = getattr(world, tell)("load")
        assert isinstance(closing, CloseRun)
        assert calls == ([Call(THE_RUN, kind)] if kind else [])


def test_a_cancelled_run_says_why() -> None:
    world = World(dag("load", callbacks=("failure",)))
    assert world.tell(CancelAsked()) == [
        CloseRun(RunState.FAILED),
        Call(THE_RUN, "failure", "cancelled"),
    ]
