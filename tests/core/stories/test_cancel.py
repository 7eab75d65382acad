"""A person stops a run: what runs is killed, what waits is skipped, what is done is kept."""

from __future__ import annotations

from datetime import timedelta

from mlflowkit.core.decisions import CloseRun, Kill
from mlflowkit.core.events import CancelAsked, RunOpened
from mlflowkit.core.states import RunState
from tests.core.world import World, dag

CANCELLED = ("failed", "cancelled")


def test_what_runs_is_killed_and_what_waits_is_skipped() -> None:
    world = World(dag("load > train > report; load > check"))
    world.places(1)
    world.succeed("load")
    world.places(1)
    world.start("train")
    assert world.tell(CancelAsked()) == [Kill(world.attempt("train"), "cancelled")]
    assert world.states() == {
        "check": "skipped",
        "load": "success",
        "report": "skipped",
        "train": "running",
    }
    assert world.places(5) == []

    assert world.fail("train", "killed by SIGTERM") == [CloseRun(RunState.FAILED)]
    assert world.states()["train"] == "failed"
    assert {world.reason(n) for n in ("train", "report", "check")} == {"cancelled"}
    assert world.ended() == CANCELLED


def test_a_success_that_wins_the_race_is_kept() -> None:
    world = World(dag("load > train"))
    world.places(1)
    world.tell(CancelAsked())
    assert world.succeed("load") == [CloseRun(RunState.FAILED)]
    assert world.states() == {"load": "success", "train": "skipped"}
    assert world.ended() == CANCELLED


def test_a_cancel_that_came_too_late_for_everything_is_no_failure() -> None:
    world = World(dag("load"))
    world.places(1)
    world.tell(CancelAsked())
    assert world.succeed("load") == [CloseRun(RunState.SUCCESS)]
    assert world.ended() == ("success", "")


def test_nothing_out_means_that_the_run_ends_at_once() -> None:
    world = World(dag("load > train"))
    assert world.tell(CancelAsked()) == [CloseRun(RunState.FAILED)]
    assert world.ended() == CANCELLED


def test_a_run_can_be_cancelled_before_it_is_opened() -> None:
    world = World(dag("load > fit", mapped={"fit": "load"}), opened=False)
    assert world.tell(CancelAsked()) == [CloseRun(RunState.FAILED)]
    assert world.states() == {"fit": "skipped", "load": "skipped"}
    assert world.tell(RunOpened()) == []
    assert world.ended() == CANCELLED


def test_asking_twice_kills_once() -> None:
    world = World(dag("load"))
    world.places(1)
    assert len(world.tell(CancelAsked())) == 1
    world.tell(CancelAsked())
    assert not world.outcome


def test_what_waits_for_a_retry_fails_as_cancelled() -> None:
    world = World(dag("load > train", retries=3))
    world.places(1)
    world.fail("load")
    assert world.tell(CancelAsked()) == [CloseRun(RunState.FAILED)]
    assert world.states() == {"load": "failed", "train": "skipped"}
    assert world.reason("load") == "cancelled"
    assert world.wait(hours=1) == []


def test_a_cancelled_attempt_is_not_tried_again() -> None:
    world = World(dag("load", retries=3))
    world.places(1)
    world.tell(CancelAsked())
    assert world.fail("load", "killed") == [CloseRun(RunState.FAILED)]


def test_an_attempt_that_is_lost_while_it_is_killed_is_cancelled() -> None:
    world = World(dag("load"))
    world.places(1)
    world.tell(CancelAsked())
    assert world.lose("load") == [CloseRun(RunState.FAILED)]
    assert world.reason("load") == "cancelled"


def test_what_is_already_being_killed_is_not_killed_again() -> None:
    world = World(dag("load", retries=1, timeout=timedelta(minutes=1)))
    world.places(1)
    world.start("load")
    world.wait(minutes=1)
    assert world.tell(CancelAsked()) == []
    assert world.fail("load", "killed") == [CloseRun(RunState.FAILED)]
    assert world.reason("load") == "cancelled"


def test_a_late_start_after_a_cancel_sets_no_timeout() -> None:
    world = World(dag("load", timeout=timedelta(minutes=1)))
    world.places(1)
    world.tell(CancelAsked())
    assert world.start("load") == []
    assert world.wait(minutes=1) == []


def test_the_part_of_a_mapped_task_that_never_started_is_skipped() -> None:
    world = World(dag("fit > report", mapped={"fit": 5}))
    world.places(2)
    world.succeed("fit[0]")
    assert world.tell(CancelAsked()) == [Kill(world.attempt("fit[1]"), "cancelled")]
    assert world.succeed("fit[1]") == [CloseRun(RunState.FAILED)]
    assert world.ended() == CANCELLED
    assert world.states() == {
        "fit[0]": "success",
        "fit[1]": "success",
        "fit[2:5]": "not queued",
        "report": "skipped",
    }


def test_a_half_done_mapped_task_at_the_end_of_a_cancelled_run_is_no_success() -> None:
    world = World(dag("fit", mapped={"fit": 5}))
    world.places(2)
    world.succeed("fit[0]", "fit[1]")
    assert world.tell(CancelAsked()) == [CloseRun(RunState.FAILED)]
    assert world.ended() == CANCELLED
