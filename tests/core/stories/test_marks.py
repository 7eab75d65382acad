"""A person says how a task instance ended, whatever its code does."""

from __future__ import annotations

import pytest

from mlflowkit.core.decisions import CloseRun, Decision, Kill
from mlflowkit.core.events import CancelAsked, MarkAsked, RetryAsked
from mlflowkit.core.spec import TaskId
from mlflowkit.core.states import RunState
from mlflowkit.errors import IllegalEvent
from tests.core.world import World, anatomy, dag

SUCCESS, FAILED = "marked success by a person", "marked failed by a person"


def _mark(world: World, name: str, state: str, *indexes: int) -> list[Decision]:
    return world.tell(MarkAsked(TaskId(name), indexes or (-1,), state))


def _running(drawing: str = "load > fit > report", retries: int = 0) -> World:
    world = World(dag(drawing, retries=retries))
    world.places(1)
    return world


@pytest.mark.parametrize(("state", "said"), [("success", SUCCESS), ("failed", FAILED)])
def test_a_running_attempt_is_killed_and_is_what_was_said_once_it_is_dead(
    state: str, said: str
) -> None:
    world = _running(retries=3)
    world.start("load")
    assert _mark(world, "load", state) == [Kill(world.attempt("load"), said)]
    assert world.states()["load"] == "running"
    world.reload()
    world.fail("load", "killed")
    below = {"success": "scheduled", "failed": "upstream_failed"}[state]
    assert world.states()["load"] == state
    assert world.states()["fit"] == below
    assert world.reason("load") == said


def test_an_attempt_that_is_lost_or_lets_go_while_it_is_killed_is_what_was_said() -> None:
    world = World(dag("a; b; c"))
    world.places(3)
    for name in ("a", "b", "c"):
        _mark(world, name, "success")
    world.lose("a")
    world.skip("b")
    world.reschedule("c", seconds=60)
    assert world.states() == {"a": "success", "b": "success", "c": "success"}
    assert world.ended() == ("success", "")


def test_a_result_that_won_the_race_against_the_kill_counts() -> None:
    world = _running()
    _mark(world, "load", "failed")
    world.succeed("load")
    assert world.states()["load"] == "success"


def test_the_later_wish_counts_and_nothing_is_killed_twice() -> None:
    world = _running()
    _mark(world, "load", "failed")
    assert _mark(world, "load", "success") == []
    world.fail("load", "killed")
    assert world.states()["load"] == "success"
    world.places(1)
    _mark(world, "fit", "success")
    world.tell(CancelAsked())
    world.fail("fit", "killed")
    assert world.states()["fit"] == "failed"


def test_what_waits_for_its_next_try_or_has_not_started_is_marked_at_once() -> None:
    world = _running(retries=1)
    world.fail("load")
    assert world.states()["load"] == "up_for_retry"
    _mark(world, "load", "success")
    assert world.states() == {"load": "success", "fit": "scheduled", "report": "none"}
    _mark(world, "report", "success")
    _mark(world, "fit", "failed")
    assert world.states() == {"load": "success", "fit": "failed", "report": "success"}
    assert world.launched() == []
    assert world.ended() == ("success", "")


def test_what_has_ended_is_not_marked_before_its_run_has() -> None:
    world = World(dag("fit > report; slow"))
    world.places(2)
    world.fail("fit")
    _mark(world, "fit", "success")
    assert not world.outcome


def test_what_could_not_run_goes_on_once_what_failed_is_marked_as_a_success() -> None:
    world = _running("fit > report > mail; fit > never; slow")
    world.places(1)
    world.fail("fit")
    assert world.succeed("slow") == [CloseRun(RunState.FAILED)]
    _mark(world, "fit", "success")
    assert anatomy(world.rows.load(world.spec)) == anatomy(world.run)
    assert world.launched() == ["report", "never"]
    world.succeed("report", "never")
    assert world.launched() == ["mail"]
    assert world.succeed("mail") == [CloseRun(RunState.SUCCESS)]
    assert world.states()["slow"] == "success"


def test_a_last_task_that_is_marked_changes_how_its_run_ended() -> None:
    world = _running("fit")
    world.succeed("fit")
    assert _mark(world, "fit", "failed") == [CloseRun(RunState.FAILED)]
    assert _mark(world, "fit", "failed") == [], "it is already"
    assert _mark(world, "fit", "success") == [CloseRun(RunState.SUCCESS)]
    _mark(world, "fit", "failed")
    world.tell(RetryAsked())
    assert world.launched() == ["fit"]


def test_in_a_mapped_group_the_same_index_goes_on_and_no_other() -> None:
    world = World(dag("clean > fit", mapped={"clean": 2, "fit": 2}, group="clean fit"))
    world.places(2)
    world.fail("clean[0]")
    world.fail("clean[1]")
    _mark(world, "clean", "success", 1)
    assert world.launched() == ["fit[1]"]
    assert world.states()["fit[0]"] == "upstream_failed"


def test_what_ran_all_the_same_keeps_what_it_has() -> None:
    world = World(dag("fit > tidy; fit > report", rules={"tidy": "all_done"}))
    world.places(1)
    world.fail("fit")
    world.places(1)
    world.succeed("tidy")
    _mark(world, "fit", "success")
    assert world.states() == {"fit": "success", "report": "scheduled", "tidy": "success"}


def test_what_failed_itself_at_another_index_stays_failed() -> None:
    world = World(dag("clean > fit", mapped={"clean": 2, "fit": 2}, group="clean fit"))
    world.places(2)
    world.succeed("clean[0]")
    world.fail("clean[1]")
    world.places(1)
    world.fail("fit[0]")
    _mark(world, "clean", "success", 1)
    assert world.states()["fit[0]"] == "failed"
    assert world.launched() == ["fit[1]"]


def test_nothing_goes_on_in_a_run_that_was_cancelled() -> None:
    world = _running()
    world.tell(CancelAsked())
    world.fail("load", "killed")
    assert _mark(world, "load", "success") == [CloseRun(RunState.FAILED)]
    assert world.states() == {"load": "success", "fit": "skipped", "report": "skipped"}
    assert world.ended() == ("failed", "cancelled")


def test_what_was_closed_in_a_run_that_was_cancelled_stays_closed() -> None:
    world = World(dag("fit > report; slow"))
    world.places(2)
    world.fail("fit")
    world.tell(CancelAsked())
    world.fail("slow", "killed")
    assert _mark(world, "fit", "success") == [CloseRun(RunState.FAILED)]
    assert world.states() == {
        "fit": "success",
        "report": "upstream_failed",
        "slow": "failed",
    }


def test_an_index_that_waits_for_the_tasks_above_is_not_marked() -> None:
    """Its row stands for all the others, too."""
    world = World(dag("load > fit", mapped={"fit": 3}))
    world.places(1)
    world.succeed("load")
    world.places(1)
    world.tell(CancelAsked())
    world.fail("fit[0]", "killed")
    world.tell(RetryAsked((TaskId("load"),)))
    assert world.states()["fit[0]"] == "none"
    _mark(world, "fit", "success", 0)
    assert not world.outcome


def test_what_is_set_up_for_the_work_that_goes_on_is_set_up_again() -> None:
    helpers = {"make": {"setup": True}, "clear": {"teardown": True}}
    world = World(dag("make > work > more > clear; make > clear", each=helpers))
    world.places(1)
    world.succeed("make")
    world.places(1)
    world.fail("work")
    world.places(1)
    world.succeed("clear")
    _mark(world, "work", "success")
    for name in ("make", "more", "clear"):
        assert world.launched() == [name]
        world.succeed(name)
    assert world.ended() == ("success", "")


def test_a_marked_success_gave_nothing_to_expand_over() -> None:
    world = World(
        dag("load > fit; parts > sums", mapped={"fit": "load", "parts": 3, "sums": "parts"})
    )
    world.places(4)
    _mark(world, "load", "success")
    world.fail("load", "killed")
    assert world.reason("fit").startswith(
        "'x0' cannot be expanded: task 'load' gave no list"
    )
    _mark(world, "parts", "success", 1)
    world.fail("parts[1]", "killed")
    world.succeed("parts[0]", "parts[2]")
    assert world.launched() == ["sums[0]", "sums[1]"]


def test_a_result_that_was_marked_as_failed_is_gone() -> None:
    world = World(dag("load > fit", mapped={"fit": "load"}, rules={"fit": "all_done"}))
    world.places(1)
    world.succeed("load", length=1)
    world.places(1)
    world.fail("fit[0]")
    _mark(world, "load", "failed")
    _mark(world, "load", "success")
    assert world.run.nodes[TaskId("load")].row.lengths == {}


def test_what_is_not_there_is_not_marked() -> None:
    world = World(dag("fit", mapped={"fit": 2}))
    for index in (-1, 1, 7):
        _mark(world, "fit", "success", index)
        assert not world.outcome
    for name, state in (("nobody", "success"), ("fit", "skipped")):
        with pytest.raises(IllegalEvent):
            _mark(world, name, state)


def test_a_mapped_task_is_marked_whole() -> None:
    world = World(dag("fit > report", mapped={"fit": 3}))
    world.places(3)
    for index in range(3):
        world.succeed("fit[0]") if index == 0 else world.fail(f"fit[{index}]")
    world.tell(MarkAsked(TaskId("fit"), (), "success"))
    assert world.states() == {
        "fit[0]": "success",
        "fit[1]": "success",
        "fit[2]": "success",
        "report": "scheduled",
    }
    assert (world.reason("fit[0]"), world.reason("fit[1]")) == ("", SUCCESS)


def test_a_setup_for_which_a_person_vouches_is_not_set_up_again() -> None:
    """Though all was cleared away since: that is what the person says is there."""
    helpers = {
        "make": {"setup": True},
        "lend": {"setup": True},
        "clear": {"teardown": True},
    }
    drawing = "make > work > clear; lend > work; make > clear; lend > clear"
    world = World(dag(drawing, each=helpers))
    world.places(2)
    world.fail("make")
    world.succeed("lend")
    world.places(1)
    world.succeed("clear")
    _mark(world, "make", "success")
    assert world.states()["make"] == "success"
    for name in ("lend", "work", "clear"):
        assert world.launched() == [name]
        world.succeed(name)
    assert world.ended() == ("success", "")


def test_a_teardown_that_is_marked_leaves_the_work_to_be_done() -> None:
    helpers = {"make": {"setup": True}, "clear": {"teardown": True}}
    world = World(dag("make > work > clear; make > clear", each=helpers))
    world.places(1)
    _mark(world, "clear", "success")
    world.succeed("make")
    assert world.launched() == ["work"]
    assert world.succeed("work") == [CloseRun(RunState.SUCCESS)]
