"""A sensor gives its place back, and looks again later: the same try goes on."""

from __future__ import annotations

from datetime import timedelta

from mlflowkit.core.decisions import CloseRun, Launch, WakeAt
from mlflowkit.core.events import AttemptSucceeded, CancelAsked
from mlflowkit.core.states import RunState
from tests.core.world import NOON, World, anatomy, dag


def test_it_starts_again_when_it_said_and_no_try_is_spent() -> None:
    world = World(dag("wait > load"))
    for number in (1, 2, 3):
        assert world.places(9) == [Launch(world.attempt("wait", number))]
        world.start("wait")
        due = world.now + timedelta(minutes=1)
        assert world.reschedule("wait", minutes=1) == [WakeAt(due)]
        assert world.states() == {"load": "none", "wait": "up_for_reschedule"}
        assert world.places(9) == []
        world.wait(minutes=1)
    row = world.rows.instances[world.attempt("wait")[1:3]]
    assert (row.failures, row.reschedules, row.first_started_at) == (0, 3, NOON)
    world.places(1)
    world.succeed("wait")
    assert world.states()["load"] == "scheduled"


def test_a_time_that_is_over_means_at_once() -> None:
    world = World(dag("wait"))
    world.places(1)
    assert world.reschedule("wait", hours=-1) == [WakeAt(NOON)]
    world.wait()
    assert world.launched() == ["wait"]


def test_mail_of_the_look_before_changes_nothing() -> None:
    world = World(dag("wait"))
    world.places(1)
    first = world.attempt("wait")
    world.reschedule("wait", seconds=5)
    world.tell(AttemptSucceeded(first))
    assert not world.outcome


def test_a_failure_after_a_reschedule_spends_its_try() -> None:
    world = World(dag("wait", retries=1))
    for _ in range(2):
        world.places(1)
        world.reschedule("wait", seconds=5)
        world.wait(seconds=5)
    world.places(1)
    world.fail("wait")
    assert world.states() == {"wait": "up_for_retry"}
    world.wait(seconds=10)
    world.places(1)
    assert world.fail("wait") == [CloseRun(RunState.FAILED)]


def test_a_timeout_counts_for_each_look_and_a_reschedule_does_not_escape_it() -> None:
    world = World(dag("wait", timeout=timedelta(minutes=1)))
    world.places(1)
    world.start("wait")
    world.wait(minutes=1)
    assert world.reschedule("wait", minutes=5) == [CloseRun(RunState.FAILED)]
    assert world.reason("wait") == "timed out after 0:01:00"


def test_one_that_waits_for_its_next_look_is_skipped_by_a_cancel() -> None:
    world = World(dag("wait > load"))
    world.places(1)
    world.reschedule("wait", minutes=1)
    assert world.tell(CancelAsked()) == [CloseRun(RunState.FAILED)]
    assert world.states() == {"load": "skipped", "wait": "skipped"}


def test_one_that_is_being_killed_does_not_look_again() -> None:
    world = World(dag("wait"))
    world.places(1)
    world.tell(CancelAsked())
    assert world.reschedule("wait", minutes=1) == [CloseRun(RunState.FAILED)]
    assert world.states() == {"wait": "failed"}


def test_a_loaded_run_knows_when_to_look_again() -> None:
    world = World(dag("wait"))
    world.places(1)
    world.reschedule("wait", minutes=1)
    assert anatomy(world.rows.load(world.spec)) == anatomy(world.run)
    world.reload()
    world.wait(minutes=1)
    assert world.launched() == ["wait"]
