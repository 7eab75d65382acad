"""A retry waits while somebody looks into what failed, and no longer."""

from __future__ import annotations

from datetime import datetime, timedelta

from mlflowkit.core.decisions import CloseRun, Launch, WakeAt
from mlflowkit.core.events import InstanceAsked, RetryHeldBack
from mlflowkit.core.spec import UNMAPPED, TaskId
from mlflowkit.core.states import RunState
from tests.core.world import NOON, World, dag

SECOND = timedelta(seconds=1)
FIT = TaskId("fit")
OPEN = "1 / 0; its failed kernel is open: close it"


def held_back(until: datetime, why: str = "close it") -> RetryHeldBack:
    return RetryHeldBack(FIT, UNMAPPED, until, why)


def waiting() -> World:
    world = World(dag("fit", retries=1))
    world.places(1)
    world.start("fit")
    world.fail("fit", "1 / 0")
    return world


def test_a_retry_that_is_held_back_is_due_later_and_says_why_once() -> None:
    world = waiting()
    for until in (NOON + 60 * SECOND, NOON + 90 * SECOND):
        assert world.tell(held_back(until)) == [WakeAt(until)]
        assert world.reason("fit") == OPEN
    world.wait(seconds=60)
    assert world.states() == {"fit": "up_for_retry"}
    world.wait(seconds=30)
    assert (world.states(), world.reason("fit")) == ({"fit": "scheduled"}, "")
    assert world.places(1) == [Launch(world.attempt("fit", 2))]


def test_one_that_nothing_holds_back_any_more_is_due_at_once() -> None:
    world = waiting()
    world.tell(held_back(NOON + 600 * SECOND))
    world.wait(seconds=20)
    assert world.tell(held_back(NOON, "")) == [WakeAt(NOON + 20 * SECOND)]
    assert world.reason("fit") == "1 / 0"
    world.wait(seconds=0)
    assert world.states() == {"fit": "scheduled"}


def test_a_person_may_have_it_tried_now_or_not_at_all() -> None:
    now, never = waiting(), waiting()
    for world in (now, never):
        world.tell(held_back(NOON + 600 * SECOND))
    now.tell(InstanceAsked(FIT, UNMAPPED, "retry_now"))
    assert now.states() == {"fit": "scheduled"}
    end = never.tell(InstanceAsked(FIT, UNMAPPED, "give_up"))
    assert end == [CloseRun(RunState.FAILED)]
    assert never.reason("fit") == "1 / 0 (given up)"


def test_what_comes_too_late_changes_nothing() -> None:
    world = waiting()
    world.wait(seconds=10)
    assert world.tell(held_back(NOON + 600 * SECOND)) == []
    assert world.states() == {"fit": "scheduled"}
    assert world.tell(RetryHeldBack(TaskId("nobody"), UNMAPPED, NOON, "x")) == []
