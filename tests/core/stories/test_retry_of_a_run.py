"""A person asks an ended run to try again: what did not succeed, or some tasks and all below."""

from __future__ import annotations

from datetime import timedelta

import pytest

from mlflowkit.core.decisions import CloseRun, Launch
from mlflowkit.core.events import CancelAsked, RetryAsked
from mlflowkit.core.spec import TaskId
from mlflowkit.core.states import RunState
from mlflowkit.errors import IllegalEvent
from tests.core.world import World, anatomy, dag


def test_what_failed_and_what_waited_for_it_runs_again_and_successes_are_kept() -> None:
    world = World(dag("load > train > report; load > check"))
    world.places(1)
    world.succeed("load")
    world.places(2)
    world.succeed("check")
    assert world.fail("train") == [CloseRun(RunState.FAILED)]

    assert world.tell(RetryAsked()) == []
    assert world.ended() == ("running", "")
    assert world.states() == {
        "check": "success",
        "load": "success",
        "report": "none",
        "train": "scheduled",
    }
    assert world.places(5) == [Launch(world.attempt("train", 2))]
    world.succeed("train")
    world.places(1)
    assert world.succeed("report") == [CloseRun(RunState.SUCCESS)]


def test_a_retried_task_has_all_its_tries_again() -> None:
    world = World(dag("load", retries=1))
    for _ in range(2):
        world.places(1)
        world.fail("load")
        world.wait(seconds=10)
    world.tell(RetryAsked())
    world.places(1)
    world.fail("load")
    assert world.states() == {"load": "up_for_retry"}


def test_mail_from_before_the_retry_changes_nothing() -> None:
    world = World(dag("load"))
    world.places(1)
    world.fail("load")
    failure = world.log[-1][0]
    world.tell(RetryAsked())
    world.places(1)
    world.tell(failure)
    assert not world.outcome


def test_a_skip_is_no_failure_and_stays() -> None:
    world = World(dag("a > b; c > d"))
    world.places(2)
    world.skip("a")
    world.fail("c")
    world.tell(RetryAsked())
    assert world.states() == {"a": "skipped", "b": "skipped", "c": "scheduled", "d": "none"}


def test_named_tasks_run_again_with_everything_below_them() -> None:
    world = World(dag("load > train > report; load > check"))
    for name in ("load", "train", "report", "check"):
        world.places(1)
        world.succeed(name)
    assert world.ended() == ("success", "")
    world.tell(RetryAsked((TaskId("train"),)))
    assert world.states() == {
        "check": "success",
        "load": "success",
        "report": "none",
        "train": "scheduled",
    }


def test_a_task_named_below_one_that_failed_is_closed_and_does_not_hang() -> None:
    world = World(dag("a > c > d; b > c"))
    world.places(2)
    world.fail("a")
    world.succeed("b")
    assert world.tell(RetryAsked((TaskId("c"),))) == [CloseRun(RunState.FAILED)]
    assert world.reason("c") == "task 'a' failed"
    assert world.states()["d"] == "upstream_failed"


def test_a_cancelled_task_below_one_that_skipped_itself_is_skipped() -> None:
    """It was cancelled first: cleared, it must not wait for what will not come."""
    world = World(dag("a > b; c"))
    world.places(2)
    world.tell(CancelAsked())
    world.skip("a")
    world.fail("c")
    world.tell(RetryAsked())
    assert world.states() == {"a": "skipped", "b": "skipped", "c": "scheduled"}
    assert world.reason("b") == "task 'a' was skipped"


def test_a_cancelled_run_goes_on_where_it_stopped() -> None:
    world = World(dag("load > train > report", retries=1))
    world.places(1)
    world.succeed("load")
    world.places(1)
    world.tell(CancelAsked())
    world.fail("train", "killed")
    world.tell(RetryAsked())
    assert world.states() == {"load": "success", "report": "none", "train": "scheduled"}
    assert world.places(1) == [Launch(world.attempt("train", 2))]


def test_a_run_that_succeeded_has_nothing_to_try_again_and_ends_again() -> None:
    world = World(dag("load"))
    world.places(1)
    world.succeed("load")
    assert world.tell(RetryAsked()) == [CloseRun(RunState.SUCCESS)]


@pytest.mark.parametrize("task_ids", [(), (TaskId("load"),)])
def test_a_run_that_has_not_ended_cannot_be_retried(task_ids: tuple[TaskId, ...]) -> None:
    world = World(dag("load"))
    before = anatomy(world.run)
    with pytest.raises(IllegalEvent, match="run 'p/1' is running and cannot take: cleared"):
        world.tell(RetryAsked(task_ids))
    assert anatomy(world.run) == before


def test_a_retry_of_an_unknown_task_is_refused_and_changes_nothing() -> None:
    world = World(dag("load"))
    world.places(1)
    world.fail("load")
    before = anatomy(world.run)
    with pytest.raises(IllegalEvent, match="unknown task 'lod'"):
        world.tell(RetryAsked((TaskId("load"), TaskId("lod"))))
    assert anatomy(world.run) == before


def test_failed_instances_of_a_mapped_task_run_again_alone() -> None:
    world = World(dag("fit > report", mapped={"fit": 3}))
    world.places(3)
    world.succeed("fit[0]", "fit[2]")
    assert world.fail("fit[1]") == [CloseRun(RunState.FAILED)]
    world.tell(RetryAsked())
    assert world.places(5) == [Launch(world.attempt("fit[1]", 2))]
    world.succeed("fit[1]")
    assert world.places(5) == [Launch(world.attempt("report", 1))]


def test_a_mapped_task_cancelled_in_the_middle_goes_on_with_the_rest() -> None:
    world = World(dag("fit > report", mapped={"fit": 5}))
    world.places(2)
    world.succeed("fit[0]")
    world.tell(CancelAsked())
    world.fail("fit[1]", "killed")
    world.tell(RetryAsked())
    assert world.places(9) == [
        Launch(world.attempt("fit[1]", 2)),
        *(Launch(world.attempt(f"fit[{i}]", 1)) for i in (2, 3, 4)),
    ]
    world.succeed(*(f"fit[{i}]" for i in (1, 2, 3, 4)))
    assert world.states()["report"] == "scheduled"


def test_naming_one_task_of_a_cancelled_run_leaves_the_rest_of_another_alone() -> None:
    world = World(dag("fit; load", mapped={"fit": 4}))
    world.places(1)
    world.tell(CancelAsked())
    world.succeed("fit[0]")
    world.tell(RetryAsked((TaskId("load"),)))
    assert world.places(9) == [Launch(world.attempt("load", 1))]
    assert world.states() == {
        "fit[0]": "success",
        "fit[1]": "skipped",
        "fit[2]": "skipped",
        "fit[3]": "skipped",
        "load": "queued",
    }
    world.succeed("load")
    world.tell(RetryAsked())
    assert len(world.places(9)) == 3, "and a later retry still finds it"


def _expanded(length: int) -> World:
    """load > fit > report, ended, with `length` fits."""
    world = World(dag("load > fit > report", mapped={"fit": "load"}))
    world.places(1)
    world.succeed("load", length=length)
    world.places(length)
    world.succeed(*(f"fit[{i}]" for i in range(length)))
    world.places(1)
    world.succeed("report")
    world.tell(RetryAsked((TaskId("load"),)))
    world.places(1)
    return world


def test_a_shorter_list_removes_instances_and_attempts_are_counted_on() -> None:
    world = _expanded(3)
    world.succeed("load", length=2)
    assert world.places(9) == [Launch(world.attempt(f"fit[{i}]", 2)) for i in (0, 1)]
    assert world.states() == {
        "fit[0]": "queued",
        "fit[1]": "queued",
        "fit[2]": "removed",
        "load": "success",
        "report": "none",
    }


def test_a_longer_list_after_a_shorter_one_launches_no_attempt_twice() -> None:
    world = _expanded(3)
    world.succeed("load", length=1)
    world.places(1)
    world.succeed("fit[0]")
    world.places(1)
    world.succeed("report")
    world.tell(RetryAsked((TaskId("load"),)))
    world.places(1)
    world.succeed("load", length=4)
    assert world.places(9) == [
        Launch(world.attempt(f"fit[{i}]", number)) for i, number in enumerate((3, 2, 2, 1))
    ]


def test_an_expansion_that_no_longer_comes_leaves_nothing_open() -> None:
    world = _expanded(2)
    assert world.fail("load") == [CloseRun(RunState.FAILED)]
    assert world.states() == {
        "fit": "upstream_failed",
        "fit[0]": "removed",
        "fit[1]": "removed",
        "load": "failed",
        "report": "upstream_failed",
    }
    world.tell(RetryAsked())
    world.places(1)
    world.succeed("load", length=2)
    assert world.places(9) == [Launch(world.attempt(f"fit[{i}]", 2)) for i in (0, 1)]
    assert world.states()["fit"] == "removed"


def test_a_cancel_after_a_second_expansion_waits_for_what_is_out() -> None:
    world = _expanded(3)
    world.succeed("load", length=3)
    world.places(1)
    assert [type(d).__name__ for d in world.tell(CancelAsked())] == ["Kill"]
    assert world.fail("fit[0]", "killed") == [CloseRun(RunState.FAILED)]


def test_changed_code_may_bring_new_tasks_and_mapped_ones() -> None:
    """The code was mended between the run and its retry."""
    world = World(dag("load > fit > report; gone"))
    for name in ("load", "fit", "report", "gone"):
        world.places(1)
        world.fail(name) if name == "report" else world.succeed(name)
    world.spec = dag(
        "load > fit > report; new", mapped={"fit": 2}, timeout=timedelta(hours=1)
    )
    world.reload()
    world.tell(RetryAsked())
    assert world.states() == {
        "fit": "removed",
        "fit[0:2]": "not queued",
        "gone": "success",
        "load": "success",
        "new": "scheduled",
        "report": "none",
    }
    world.places(3)
    world.succeed("fit[0]", "fit[1]", "new")
    world.places(1)
    assert world.succeed("report") == [CloseRun(RunState.SUCCESS)]


def test_changed_code_may_map_a_task_no_longer() -> None:
    world = World(dag("fit > report", mapped={"fit": 2}))
    world.places(2)
    world.succeed("fit[0]")
    world.fail("fit[1]")
    world.spec = dag("fit > report")
    world.reload()
    world.tell(RetryAsked())
    assert world.states() == {
        "fit": "scheduled",
        "fit[0]": "removed",
        "fit[1]": "removed",
        "report": "none",
    }
