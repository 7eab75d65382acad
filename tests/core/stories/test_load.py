"""A run that is read from its rows is the run that was in memory, and goes on as it would have."""

from __future__ import annotations

from datetime import timedelta

from mlflowkit.core.decisions import CloseRun, Kill
from mlflowkit.core.events import CancelAsked, RetryAsked, TimePassed
from mlflowkit.core.machine import Run, RunRow, replay
from mlflowkit.core.spec import RetryPolicy
from mlflowkit.core.states import RunState
from tests.core.world import RUN, World, anatomy, dag


def _in_the_middle() -> World:
    """Something of everything: queued, running, waiting, expanded, failed, skipped."""
    drawing = "load > fit > report; load > clean > check; load > left; load > right"
    minute = timedelta(minutes=1)
    world = World(dag(drawing, mapped={"fit": "load"}, retries=1, timeout=minute))
    world.places(1)
    world.start("load")
    world.succeed("load", length=4)
    world.places(4)
    world.start("fit[0]")
    world.fail("fit[1]")
    world.lose("fit[2]")
    world.succeed("fit[3]")
    world.places(2)
    world.skip("clean")
    return world


def test_the_rows_are_the_run() -> None:
    world = _in_the_middle()
    assert anatomy(world.rows.load(world.spec)) == anatomy(world.run)


def test_a_fresh_run_is_the_same_before_it_is_opened() -> None:
    world = World(dag("load > fit", mapped={"fit": "load"}), opened=False)
    assert anatomy(world.rows.load(world.spec)) == anatomy(world.run)


def test_a_loaded_run_takes_the_same_decisions_in_the_same_order() -> None:
    one, other = _in_the_middle(), _in_the_middle()
    other.reload()
    for world in one, other:
        world.wait(seconds=10)
    for _ in range(4):
        assert one.places(1) == other.places(1)


def test_alarms_survive_a_crash() -> None:
    world = _in_the_middle()
    world.reload()
    world.wait(seconds=10)
    assert world.states()["fit[1]"] == "scheduled"
    world.now += timedelta(minutes=1)
    assert world.tell(TimePassed()) == [
        Kill(world.attempt("fit[0]"), "timed out after 0:01:00")
    ]


def test_a_cancelled_run_stays_cancelled_over_a_crash() -> None:
    world = World(dag("fit > report", mapped={"fit": 5}))
    world.places(2)
    world.tell(CancelAsked())
    world.reload()
    assert world.places(5) == []
    world.succeed("fit[0]")
    assert world.fail("fit[1]") == [CloseRun(RunState.FAILED)]


def test_a_log_with_a_crash_in_it_makes_the_same_run_again() -> None:
    world = _in_the_middle()
    world.reload()
    world.wait(seconds=10)
    world.places(2)
    again = replay(Run(world.spec, RunRow(run_id=RUN)), world.log)
    assert anatomy(again) == anatomy(world.run)


def test_the_attempts_that_are_out_are_known_after_a_crash() -> None:
    world = _in_the_middle()
    out = set(world.run.live_attempts())
    world.reload()
    assert set(world.run.live_attempts()) == out
    assert world.run.out == len(out) == 2


def test_a_deadline_that_a_retry_has_moved_rings_for_nobody_loaded_or_not() -> None:
    """All are late: that of before (12:01:00), the task's next try (12:01:45), the deadline
    (12:01:50). The try was due first, and is cancelled before it has begun."""
    for loaded in (False, True):
        policy = RetryPolicy(retries=1, retry_delay=timedelta(seconds=10))
        minute = timedelta(minutes=1)
        world = World(dag("load", retry=policy, dagrun_timeout=minute))
        world.places(1)
        world.wait(seconds=50)
        world.fail("load", retryable=False)
        world.tell(RetryAsked())
        world.places(1)
        world.now += timedelta(seconds=45)
        world.fail("load")
        if loaded:
            world.reload()
        assert world.wait(seconds=30) == [CloseRun(RunState.FAILED)]
        assert world.states() == {"load": "skipped"}
        assert world.reason("load") == "cancelled"
