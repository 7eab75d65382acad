"""With `fail_fast`, the first task that fails for good stops the run."""

from __future__ import annotations

from mlflowkit.core.decisions import CloseRun, Kill
from mlflowkit.core.states import RunState
from tests.core.world import World, dag

WHY = "task 'load' failed, and fail_fast is set"


def test_what_runs_is_killed_and_what_waits_is_skipped() -> None:
    world = World(dag("load > train; other > more; last", fail_fast=True))
    world.places(2)
    assert world.fail("load") == [Kill(world.attempt("other"), "cancelled")]
    assert world.states() == {
        "last": "skipped",
        "load": "failed",
        "more": "skipped",
        "other": "queued",
        "train": "upstream_failed",
    }
    assert world.fail("other", "killed") == [CloseRun(RunState.FAILED)]
    assert world.ended() == ("failed", WHY)


def test_a_try_that_is_not_the_last_stops_nothing() -> None:
    world = World(dag("load; other", fail_fast=True, retries=1))
    world.places(2)
    world.fail("load")
    assert world.states() == {"load": "up_for_retry", "other": "queued"}


def test_one_instance_is_enough() -> None:
    world = World(dag("load", mapped={"load": 5}, fail_fast=True))
    world.places(2)
    assert world.fail("load[0]") == [Kill(world.attempt("load[1]"), "cancelled")]
    assert world.succeed("load[1]") == [CloseRun(RunState.FAILED)]
    assert world.ended() == ("failed", WHY)


def test_what_cannot_be_expanded_has_failed_as_well() -> None:
    world = World(dag("load; other", mapped={"load": 9}, limit=5, fail_fast=True))
    assert world.ended() == ("failed", WHY)
    assert world.states() == {"load": "failed", "other": "skipped"}


def test_a_failure_at_the_end_of_the_run_is_just_that() -> None:
    world = World(dag("load", fail_fast=True))
    world.places(1)
    assert world.fail("load") == [CloseRun(RunState.FAILED)]
    assert world.ended() == ("failed", "")


def test_teardowns_still_run() -> None:
    each = {"make": {"setup": True}, "clear": {"teardown": True}}
    drawing = "make > load > clear; make > clear; make > other > clear"
    world = World(dag(drawing, each=each, fail_fast=True))
    world.places(1)
    world.succeed("make")
    world.places(1)
    world.fail("load")
    assert world.launched() == ["clear"]
    assert world.states()["other"] == "skipped"
    assert world.succeed("clear") == [CloseRun(RunState.FAILED)]
