"""The time that a whole run may take. That of one attempt is told in `test_retries`."""

from __future__ import annotations

from datetime import timedelta

from mlflowkit.core.decisions import CloseRun, Kill, WakeAt
from mlflowkit.core.events import CancelAsked, RetryAsked, RunOpened, TimePassed
from mlflowkit.core.states import RunState
from tests.core.world import NOON, World, anatomy, dag

MINUTE = timedelta(minutes=1)


def test_the_alarm_is_set_when_the_run_opens() -> None:
    world = World(dag("load", dagrun_timeout=MINUTE), opened=False)
    world.now += MINUTE
    assert world.tell(RunOpened()) == [WakeAt(NOON + 2 * MINUTE)]


def test_a_run_that_takes_too_long_is_stopped_and_says_so() -> None:
    world = World(dag("load > train", dagrun_timeout=MINUTE))
    world.places(1)
    assert world.wait(seconds=59) == []
    assert world.wait(seconds=1) == [Kill(world.attempt("load"), "cancelled")]
    assert world.fail("load", "killed") == [CloseRun(RunState.FAILED)]
    assert world.ended() == ("failed", "timed out after 0:01:00")
    assert world.states() == {"load": "failed", "train": "skipped"}


def test_a_run_that_ended_in_time_hears_no_alarm() -> None:
    world = World(dag("load", dagrun_timeout=MINUTE))
    world.places(1)
    world.succeed("load")
    world.wait(minutes=2)
    assert not world.outcome


def test_what_was_stopped_already_is_not_stopped_again() -> None:
    world = World(dag("load", dagrun_timeout=MINUTE))
    world.places(1)
    world.tell(CancelAsked())
    world.wait(minutes=2)
    assert not world.outcome
    world.fail("load")
    assert world.ended() == ("failed", "cancelled")


def test_teardowns_still_run() -> None:
    each = {"make": {"setup": True}, "clear": {"teardown": True}}
    world = World(
        dag("make > work > clear; make > clear", each=each, dagrun_timeout=MINUTE)
    )
    world.places(1)
    world.succeed("make")
    world.wait(minutes=1)
    assert world.launched() == ["clear"]


def test_a_retry_has_all_its_time_again() -> None:
    world = World(dag("load", dagrun_timeout=MINUTE))
    world.places(1)
    world.wait(minutes=1)
    world.fail("load")
    world.wait(minutes=5)
    assert world.tell(RetryAsked()) == [WakeAt(NOON + 7 * MINUTE)]
    world.places(1)
    assert world.wait(seconds=59) == []
    assert world.wait(seconds=1) == [Kill(world.attempt("load"), "cancelled")]


def test_a_loaded_run_knows_its_time() -> None:
    world = World(dag("load", dagrun_timeout=MINUTE))
    world.places(1)
    assert anatomy(world.rows.load(world.spec)) == anatomy(world.run)
    world.reload()
    world.now += MINUTE
    assert world.tell(TimePassed()) == [Kill(world.attempt("load"), "cancelled")]
