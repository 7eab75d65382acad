"""Tasks run in the order of the arrows; how one ends reaches those that wait for it."""

from __future__ import annotations

import pytest

from mlflowkit.core.decisions import CloseRun, Launch
from mlflowkit.core.events import (
    AttemptStarted,
    AttemptSucceeded,
    PlacesOffered,
    RunOpened,
    TimePassed,
)
from mlflowkit.core.machine import Run, RunRow, replay
from mlflowkit.core.spec import AttemptId, RunId, TaskId
from mlflowkit.core.states import RunState
from tests.core.world import NOON, RUN, World, anatomy, dag


def test_tasks_run_one_after_the_other_as_the_arrows_say() -> None:
    world = World(dag("load > train > report"))
    for name in ("load", "train", "report"):
        assert world.places(5) == [Launch(world.attempt(name, 1))]
        assert world.start(name) == []
        assert world.states()[name] == "running"
        closing = [CloseRun(RunState.SUCCESS)] if name == "report" else []
        assert world.succeed(name) == closing
    assert world.states() == {"load": "success", "report": "success", "train": "success"}
    assert world.ended() == ("success", "")


def test_branches_run_side_by_side_and_the_join_waits_for_all() -> None:
    world = World(dag("load > left > join; load > right > join"))
    world.places(5)
    world.succeed("load")
    assert world.places(5) == [
        Launch(world.attempt("left", 1)),
        Launch(world.attempt("right", 1)),
    ]
    world.succeed("right")
    assert world.places(5) == []
    world.succeed("left")
    assert world.places(5) == [Launch(world.attempt("join", 1))]


def test_no_more_starts_than_there_are_places_and_the_first_written_is_first() -> None:
    world = World(dag("c; a; b"))
    assert world.places(0) == []
    assert world.places(2) == [Launch(world.attempt("c", 1)), Launch(world.attempt("a", 1))]
    assert world.states() == {"a": "queued", "b": "scheduled", "c": "queued"}


def test_a_failure_travels_at_once_to_everything_below() -> None:
    world = World(dag("load > train > report; load > check; other"))
    world.places(1)
    assert world.fail("load", "disk full") == []
    assert world.states() == {
        "check": "upstream_failed",
        "load": "failed",
        "other": "scheduled",
        "report": "upstream_failed",
        "train": "upstream_failed",
    }
    assert world.reason("load") == "disk full"
    assert world.reason("train") == "task 'load' failed"
    assert world.reason("report") == "task 'train' failed"
    world.places(1)
    assert world.succeed("other") == [CloseRun(RunState.FAILED)]
    assert world.ended() == ("failed", "")


def test_a_join_fails_at_its_first_failed_upstream_and_does_not_wait_for_the_other() -> (
    None
):
    world = World(dag("left > join; right > join"))
    world.places(2)
    world.fail("left")
    assert world.states() == {
        "join": "upstream_failed",
        "left": "failed",
        "right": "queued",
    }
    assert world.succeed("right") == [CloseRun(RunState.FAILED)]


def test_a_skip_travels_and_a_run_of_skips_is_a_success() -> None:
    world = World(dag("load > train > report"))
    world.places(1)
    assert world.skip("load", "no new images") == [CloseRun(RunState.SUCCESS)]
    assert world.states() == {"load": "skipped", "report": "skipped", "train": "skipped"}
    assert world.reason("load") == "no new images"
    assert world.reason("report") == "task 'train' was skipped"


def test_a_dag_without_tasks_ends_at_once() -> None:
    world = World(dag(""), opened=False)
    assert world.tell(RunOpened()) == [CloseRun(RunState.SUCCESS)]
    assert world.ended() == ("success", "")


def test_opening_a_run_twice_is_old_news() -> None:
    world = World(dag("load"))
    before = anatomy(world.run)
    assert world.tell(RunOpened()) == []
    assert anatomy(world.run) == before


def test_old_mail_changes_nothing() -> None:
    world = World(dag("load > train", retries=1))
    world.places(1)
    first = world.attempt("load")
    world.fail("load")
    world.wait(seconds=10)
    world.places(1)
    before = anatomy(world.run)
    for old in AttemptStarted(first), AttemptSucceeded(first), AttemptSucceeded(first):
        assert world.tell(old) == []
        assert not world.outcome
    assert anatomy(world.run) == before


@pytest.mark.parametrize(
    "stranger",
    [
        AttemptId(RunId("p/2"), TaskId("load"), -1, 1),
        AttemptId(RUN, TaskId("load"), 3, 1),
        AttemptId(RUN, TaskId("load"), -1, 2),
        AttemptId(RUN, TaskId("nobody"), -1, 1),
    ],
    ids=["another run", "another instance", "not launched yet", "another task"],
)
def test_mail_of_an_attempt_that_is_not_out_changes_nothing(stranger: AttemptId) -> None:
    world = World(dag("load"))
    world.places(1)
    world.tell(AttemptSucceeded(stranger))
    assert not world.outcome
    assert world.states() == {"load": "queued"}


def test_a_duplicate_changes_nothing() -> None:
    world = World(dag("load > train"))
    world.places(1)
    mail = AttemptSucceeded(world.attempt("load"))
    world.tell(mail)
    world.tell(mail)
    assert not world.outcome
    assert world.states() == {"load": "success", "train": "scheduled"}


def test_an_attempt_may_end_before_its_start_is_heard() -> None:
    world = World(dag("load"))
    world.places(1)
    late = AttemptStarted(world.attempt("load"))
    assert world.succeed("load") == [CloseRun(RunState.SUCCESS)]
    world.tell(late)
    assert not world.outcome


def test_after_its_end_a_run_hears_nothing_more() -> None:
    world = World(dag("load"))
    world.places(1)
    world.succeed("load")
    for event in PlacesOffered(4), TimePassed(), RunOpened():
        world.tell(event)
        assert not world.outcome


def test_times_are_kept_beside_the_states() -> None:
    world = World(dag("load"))
    world.wait(seconds=1)
    world.places(1)
    world.wait(seconds=1)
    world.start("load")
    world.wait(seconds=1)
    world.succeed("load")
    row = next(iter(world.rows.instances.values()))
    times = [row.queued_at, row.started_at, row.ended_at, world.rows.run.ended_at]
    assert [(t - NOON).seconds for t in times if t] == [1, 2, 3, 3]
    assert world.rows.run.started_at == NOON


def test_the_log_told_again_makes_the_same_run() -> None:
    world = World(dag("load > fit > report", mapped={"fit": "load"}, retries=1))
    world.places(1)
    world.succeed("load", length=3)
    world.places(2)
    world.fail("fit[0]")
    world.succeed("fit[1]")
    world.wait(seconds=10)
    world.places(1)
    again = replay(Run(world.spec, RunRow(run_id=RUN)), world.log)
    assert anatomy(again) == anatomy(world.run)
