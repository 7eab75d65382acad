"""A setup makes ready what others need; a teardown clears it away, however the work went."""

from __future__ import annotations

from typing import Any

import pytest

from mlflowkit.core.decisions import CloseRun, Kill
from mlflowkit.core.events import CancelAsked, RetryAsked
from mlflowkit.core.spec import DagSpec, TaskId
from mlflowkit.core.states import RunState
from tests.core.world import World, anatomy, dag

DRAWING = "make > work > clear; make > clear"


def _spec(drawing: str = DRAWING, fails_run: bool = False, **more: Any) -> DagSpec:
    """make > work > clear"""
    clear = {"teardown": True, "on_failure_fail_dagrun": fails_run}
    each = {"make": {"setup": True}, "clear": clear}
    return dag(drawing, each=each, **more)


def _at_work(fails_run: bool = False) -> World:
    world = World(_spec(fails_run=fails_run))
    world.places(1)
    world.succeed("make")
    world.places(1)
    return world


def test_a_teardown_runs_when_the_work_failed_and_the_run_still_fails() -> None:
    world = _at_work()
    world.fail("work")
    assert world.launched() == ["clear"]
    assert world.succeed("clear") == [CloseRun(RunState.FAILED)]


def test_a_teardown_waits_for_work_that_goes_on_beside_what_failed() -> None:
    """What joins both is closed at once; the other one still works with what was made."""
    world = World(_spec("make > quick > join > clear; make > slow > join; make > clear"))
    world.places(1)
    world.succeed("make")
    assert world.launched() == ["quick", "slow"]
    world.fail("quick")
    assert world.states()["join"] == "upstream_failed"
    assert world.launched() == []
    world.reload()
    world.succeed("slow")
    assert world.launched() == ["clear"]


def test_a_teardown_waits_for_each_index_of_the_work_further_up() -> None:
    mapped = {"make": 3, "work": 3}
    spec = dag(
        "make > work > more > clear; make > more; make > clear",
        each={
            "make": {"setup": True},
            "more": {"setup": True},
            "clear": {"teardown": True},
        },
        mapped=mapped,
        group="make work",
    )
    world = World(spec)
    world.places(3)
    world.skip("make[0]")
    world.succeed("make[1]", "make[2]")
    assert world.launched(1) == ["work[1]"]
    assert world.states()["more"] == "skipped"
    world.succeed("work[1]")
    assert world.launched() == ["work[2]"], "nothing is cleared away from under it"
    world.succeed("work[2]")
    assert world.launched() == ["clear"]
    assert world.succeed("clear") == [CloseRun(RunState.SUCCESS)]


def test_in_a_mapped_group_a_teardown_waits_for_the_work_of_its_own_index() -> None:
    drawing = "make > quick > join > clear; make > slow > join; make > clear"
    names = "make quick slow join clear"
    world = World(_spec(drawing, mapped=dict.fromkeys(names.split(), 2), group=names))
    world.places(2)
    world.succeed("make[0]", "make[1]")
    world.places(4)
    world.fail("quick[0]")
    assert world.launched() == []
    world.succeed("slow[1]")
    assert world.launched() == [], "the work of another index"
    world.succeed("slow[0]")
    assert world.launched() == ["clear[0]"]


def test_a_teardown_does_not_wait_for_work_of_which_nothing_was_made() -> None:
    drawing = "make > slow > join > clear; make > clear; early > slow"
    world = World(_spec(drawing))
    world.places(2)
    assert world.fail("make") == []
    assert world.states()["clear"] == "upstream_failed"
    assert world.succeed("early") == [CloseRun(RunState.FAILED)]


@pytest.mark.parametrize(
    ("fails_run", "state"), [(False, RunState.SUCCESS), (True, RunState.FAILED)]
)
def test_a_teardown_that_fails_is_the_runs_failure_only_where_it_says_so(
    fails_run: bool, state: RunState
) -> None:
    world = _at_work(fails_run=fails_run)
    world.succeed("work")
    world.places(1)
    assert world.fail("clear") == [CloseRun(state)]


def test_nothing_is_cleared_away_that_was_not_made() -> None:
    world = World(_spec())
    world.places(1)
    assert world.fail("make") == [CloseRun(RunState.FAILED)]
    assert world.states() == {
        "clear": "upstream_failed",
        "make": "failed",
        "work": "upstream_failed",
    }


def test_a_skipped_setup_skips_all_that_needs_it() -> None:
    world = World(_spec())
    world.places(1)
    assert world.skip("make") == [CloseRun(RunState.SUCCESS)]
    assert world.states() == {"clear": "skipped", "make": "skipped", "work": "skipped"}


def test_a_setup_is_needed_further_down_too_whatever_the_rule_there() -> None:
    """`last` is far below `make`, and would start after anything."""
    drawing = "make > work > last > clear; make > clear; other > last"
    world = World(_spec(drawing, rules={"last": "one_success"}))
    world.places(2)
    world.succeed("other")
    assert world.launched() == [], "the setup has not ended"
    world.succeed("make")
    assert world.launched() == ["work", "last"]

    world = World(_spec(drawing, rules={"last": "one_success"}))
    world.places(2)
    world.succeed("other")
    world.fail("make")
    assert world.reason("last") == "task 'make' failed"


def test_a_failed_setup_counts_more_than_a_skipped_one() -> None:
    each = {"a": {"setup": True}, "b": {"setup": True}}
    world = World(dag("a > x > y; b > x", each=each, rules={"y": "all_done"}))
    world.places(2)
    world.skip("b")
    assert world.states()["y"] == "skipped"
    world = World(dag("a > x > y; b > z > y", each=each, rules={"y": "all_done"}))
    world.places(2)
    world.skip("a")
    world.fail("b")
    assert world.states()["y"] == "skipped", "it was closed at the first that ended"
    world.tell(RetryAsked((TaskId("y"),)))
    assert world.states()["y"] == "upstream_failed"


def test_always_asks_for_no_setup() -> None:
    world = World(
        dag("make > x > y", each={"make": {"setup": True}}, rules={"y": "always"})
    )
    assert world.launched() == ["make", "y"]


def test_one_of_two_setups_is_enough_to_have_something_to_clear_away() -> None:
    each = {
        "a": {"setup": True},
        "b": {"setup": True},
        "clear": {"teardown": True},
    }
    world = World(dag("a > clear; b > clear", each=each))
    world.places(2)
    world.succeed("a")
    world.fail("b")
    assert world.launched() == ["clear"]


def test_one_instance_of_a_mapped_setup_is_enough_as_well() -> None:
    each = {"make": {"setup": True}, "clear": {"teardown": True}}
    world = World(dag("make > clear", mapped={"make": 2}, each=each))
    world.places(2)
    world.fail("make[0]")
    world.succeed("make[1]")
    assert world.launched() == ["clear"]


def test_each_index_of_a_mapped_group_has_its_own() -> None:
    sizes = {"make": 2, "work": 2, "clear": 2}
    world = World(_spec(mapped=sizes, group="make work clear"))
    world.places(2)
    world.fail("make[1]")
    world.succeed("make[0]")
    assert world.launched() == ["work[0]"]
    world.fail("work[0]")
    assert world.launched() == ["clear[0]"]
    world.succeed("clear[0]")
    assert world.states() == {
        "clear[0]": "success",
        "clear[1]": "upstream_failed",
        "make[0]": "success",
        "make[1]": "failed",
        "work[0]": "failed",
        "work[1]": "upstream_failed",
    }


def test_a_setup_further_up_in_a_mapped_group_is_that_of_the_same_index() -> None:
    """`last` may start after anything, but not without its own `make`."""
    sizes = {"make": 2, "work": 2, "last": 2}
    world = World(
        dag(
            "make > work > last",
            mapped=sizes,
            group="make work last",
            each={"make": {"setup": True}},
            rules={"last": "all_done"},
        )
    )
    world.places(2)
    world.fail("make[1]")
    world.succeed("make[0]")
    world.places(1)
    world.fail("work[0]")
    assert world.launched() == ["last[0]"]
    assert world.states()["last[1]"] == "upstream_failed"


def test_a_dag_of_nothing_but_teardowns_ends_as_they_do() -> None:
    world = World(dag("clear", each={"clear": {"teardown": True}}))
    world.places(1)
    assert world.fail("clear") == [CloseRun(RunState.FAILED)]


# ── people ──────────────────────────────────────────────────────────────────


def test_a_cancel_kills_the_work_and_clears_away_after_it() -> None:
    world = _at_work()
    assert world.tell(CancelAsked()) == [Kill(world.attempt("work"), "cancelled")]
    assert world.launched() == [], "the work is not dead yet"
    world.fail("work", "killed")
    assert world.launched() == ["clear"]
    world.reload()
    assert world.succeed("clear") == [CloseRun(RunState.FAILED)]
    assert world.ended() == ("failed", "cancelled")


def test_a_teardown_has_its_tries_and_reschedules_after_a_cancel_too() -> None:
    world = World(_spec(retries=1))
    world.places(1)
    world.succeed("make")
    world.tell(CancelAsked())
    world.places(1)
    world.reschedule("clear", seconds=5)
    assert world.states()["clear"] == "up_for_reschedule"
    world.wait(seconds=5)
    world.places(1)
    world.fail("clear")
    assert world.states()["clear"] == "up_for_retry"
    world.wait(seconds=10)
    assert world.launched() == ["clear"]


def test_a_second_cancel_stops_the_teardown_and_a_third_is_no_news() -> None:
    world = _at_work()
    world.tell(CancelAsked())
    world.fail("work", "killed")
    world.places(1)
    assert world.tell(CancelAsked()) == [Kill(world.attempt("clear"), "cancelled")]
    world.tell(CancelAsked())
    assert not world.outcome
    assert world.fail("clear", "killed") == [CloseRun(RunState.FAILED)]


def test_a_second_cancel_skips_what_a_mapped_teardown_has_not_started() -> None:
    world = World(_spec(mapped={"clear": 3}))
    world.places(1)
    world.succeed("make")
    world.tell(CancelAsked())
    world.places(1)
    world.tell(CancelAsked())
    assert anatomy(world.rows.load(world.spec)) == anatomy(world.run)
    assert world.launched() == []
    assert world.fail("clear[0]", "killed") == [CloseRun(RunState.FAILED)]
    assert world.states()["clear[2]"] == "skipped"


def test_a_cancel_clears_away_after_a_mapped_group_whose_tasks_had_no_rows_yet() -> None:
    sizes = {"make": 3, "work": 3, "clear": 3}
    world = World(_spec(mapped=sizes, group="make work clear"))
    world.places(1)
    world.succeed("make[0]")
    world.tell(CancelAsked())
    assert world.launched() == ["clear[0]"]
    assert world.succeed("clear[0]") == [CloseRun(RunState.FAILED)]
    assert world.states()["clear[2]"] == "skipped"


def test_a_cancel_clears_away_after_a_mapped_group_that_had_ended_once_before_it_expanded() -> (
    None
):
    """The row that stood for the whole task is gone: it says nothing of its instances."""
    drawing = "make > work > clear; make > clear; other > clear"
    world = World(
        _spec(drawing, mapped={"work": "make", "clear": "make"}, group="work clear")
    )
    world.tell(CancelAsked())
    world.tell(RetryAsked())
    world.places(2)
    world.succeed("make", length=2)
    assert world.states()["work"] == "removed"
    world.succeed("other")
    world.tell(CancelAsked())
    assert world.states()["work[0]"] == "skipped"
    assert world.launched() == ["clear[0]", "clear[1]"]


def test_work_that_runs_again_is_set_up_and_cleared_away_again() -> None:
    world = _at_work()
    world.fail("work")
    world.places(1)
    world.succeed("clear")
    world.tell(RetryAsked())
    assert world.states() == {"clear": "none", "make": "scheduled", "work": "none"}
    for name in ("make", "work", "clear"):
        assert world.launched() == [name]
        world.succeed(name)
    assert world.ended() == ("success", "")


def test_what_is_left_of_a_mapped_task_waits_for_what_is_set_up_again() -> None:
    world = World(_spec(mapped={"work": 5}))
    world.places(1)
    world.succeed("make")
    world.places(1)
    world.tell(CancelAsked())
    world.fail("work[0]", "killed")
    world.places(1)
    world.succeed("clear")
    world.tell(RetryAsked())
    assert anatomy(world.rows.load(world.spec)) == anatomy(world.run)
    world.reload()
    assert world.launched() == ["make"]
    world.succeed("make")
    assert world.launched() == [f"work[{i}]" for i in range(5)]


def test_what_was_not_cleared_away_is_not_made_twice() -> None:
    world = _at_work()
    world.tell(CancelAsked())
    world.fail("work", "killed")
    assert world.tell(CancelAsked()) == [CloseRun(RunState.FAILED)]
    world.tell(RetryAsked())
    assert world.launched() == ["work"]
    world.succeed("work")
    assert world.launched() == ["clear"]


def test_a_teardown_that_a_cancel_left_nothing_to_do_comes_back_with_its_setup() -> None:
    world = World(_spec())
    assert world.tell(CancelAsked()) == [CloseRun(RunState.FAILED)]
    world.tell(RetryAsked((TaskId("make"),)))
    for name in ("make", "work", "clear"):
        assert world.launched() == [name]
        world.succeed(name)


def test_in_a_mapped_group_only_the_index_that_runs_again_is_set_up_again() -> None:
    sizes = {"make": 2, "work": 2, "clear": 2}
    world = World(_spec(mapped=sizes, group="make work clear"))
    world.places(2)
    world.succeed("make[0]", "make[1]")
    world.places(2)
    world.succeed("work[0]")
    world.fail("work[1]")
    world.places(2)
    world.succeed("clear[0]", "clear[1]")
    world.tell(RetryAsked())
    assert world.launched() == ["make[1]"]
    world.succeed("make[1]")
    assert world.launched() == ["work[1]"]
    world.succeed("work[1]")
    assert world.launched() == ["clear[1]"]
    assert world.succeed("clear[1]") == [CloseRun(RunState.SUCCESS)]
