"""A branch goes on with the tasks that it chooses; a short circuit leaves out what is below."""

from __future__ import annotations

import pytest

from mlflowkit.core.decisions import CloseRun
from mlflowkit.core.events import CancelAsked, RetryAsked
from mlflowkit.core.spec import TaskId
from mlflowkit.core.states import RunState
from tests.core.world import World, anatomy, dag

JOIN = "none_failed_min_one_success"


def test_what_was_not_chosen_is_left_out_with_all_that_waits_for_it() -> None:
    world = World(dag("which > left > more; which > right"))
    world.places(1)
    assert world.succeed("which", chosen="right") == []
    assert world.states() == {
        "left": "skipped",
        "more": "skipped",
        "right": "scheduled",
        "which": "success",
    }
    assert world.reason("left") == "left out by task 'which'"
    assert world.reason("more") == "task 'left' was skipped"


def test_a_join_goes_on_with_whatever_was_chosen() -> None:
    world = World(dag("which > left > join; which > right > join", rules={"join": JOIN}))
    world.places(1)
    world.succeed("which", chosen="left")
    assert world.launched() == ["left"]
    world.succeed("left")
    assert world.launched() == ["join"]
    assert world.succeed("join") == [CloseRun(RunState.SUCCESS)]


def test_a_task_below_a_chosen_one_is_not_left_out_though_it_stands_below_the_branch() -> (
    None
):
    world = World(dag("which > left > join; which > join", rules={"join": JOIN}))
    world.places(1)
    world.succeed("which", chosen="left")
    assert world.states() == {"join": "none", "left": "scheduled", "which": "success"}


def test_choosing_nothing_leaves_out_all_and_choosing_several_keeps_them() -> None:
    world = World(dag("which > a; which > b; which > c"))
    world.places(1)
    assert world.succeed("which", chosen="") == [CloseRun(RunState.SUCCESS)]
    world = World(dag("which > a; which > b; which > c"))
    world.places(1)
    world.succeed("which", chosen="a c")
    assert world.launched() == ["a", "c"]


def test_a_branch_below_a_branch() -> None:
    drawing = "one > two > a > join; two > b > join; one > c > join"
    world = World(dag(drawing, rules={"join": JOIN}))
    world.places(1)
    world.succeed("one", chosen="two")
    world.places(1)
    world.succeed("two", chosen="b")
    assert world.launched() == ["b"]
    world.succeed("b")
    assert world.launched() == ["join"]
    assert world.states() == {
        "a": "skipped",
        "b": "success",
        "c": "skipped",
        "join": "queued",
        "one": "success",
        "two": "success",
    }


def test_of_two_branches_above_one_is_enough_to_leave_a_task_out() -> None:
    world = World(
        dag("one > join; two > join; one > a; two > b", rules={"join": "one_success"})
    )
    world.places(2)
    world.succeed("one", chosen="a")
    assert world.states()["join"] == "skipped"
    world.succeed("two", chosen="join b")
    assert world.states()["join"] == "skipped"
    assert world.reason("join") == "left out by task 'one'"


def test_what_started_before_the_branch_chose_goes_on() -> None:
    drawing = "which > early; load > early; which > a"
    world = World(dag(drawing, rules={"early": "one_success"}))
    world.places(2)
    world.succeed("load")
    world.places(1)
    world.succeed("which", chosen="a")
    assert world.states()["early"] == "queued"
    world.succeed("early")
    assert world.launched() == ["a"]


@pytest.mark.parametrize("places", [0, 1])
def test_of_a_mapped_task_that_began_early_only_what_did_not_start_is_left_out(
    places: int,
) -> None:
    world = World(
        dag(
            "which > fit; load > fit; which > a",
            mapped={"fit": 3},
            rules={"fit": "one_success"},
        )
    )
    world.places(2)
    world.succeed("load")
    world.places(places)
    world.succeed("which", chosen="a")
    expected = {f"fit[{i}]": "queued" if i < places else "skipped" for i in range(3)}
    states = {k: v for k, v in world.states().items() if k.startswith("fit")}
    assert states == expected
    assert anatomy(world.rows.load(world.spec)) == anatomy(world.run)
    assert world.launched() == ["a"]


def test_a_mapped_task_is_left_out_as_a_whole() -> None:
    world = World(
        dag("which > fit > report; which > a", mapped={"fit": 3}, rules={"report": JOIN})
    )
    world.places(1)
    world.succeed("which", chosen="a")
    assert world.states() == {
        "a": "scheduled",
        "fit": "skipped",
        "report": "skipped",
        "which": "success",
    }


def test_a_branch_in_a_mapped_group_chooses_for_its_own_index() -> None:
    world = World(
        dag(
            "which > left > join; which > right > join; join > report",
            mapped={"which": 2, "left": 2, "right": 2, "join": 2},
            group="which left right join",
            rules={"join": JOIN},
        )
    )
    world.places(2)
    world.succeed("which[0]", chosen="left")
    world.succeed("which[1]", chosen="right")
    assert world.launched() == ["left[0]", "right[1]"]
    assert world.reason("left[1]") == "left out by task 'which'"
    world.succeed("left[0]", "right[1]")
    assert world.launched() == ["join[0]", "join[1]"]
    world.succeed("join[0]", "join[1]")
    assert world.launched() == ["report"]


def test_a_branch_in_a_mapped_group_leaves_out_nothing_outside_of_it() -> None:
    """`each` is mapped, too, but its indexes have nothing to do with those of the group."""
    world = World(
        dag(
            "which > left; which > each; other > each",
            mapped={"which": 2, "left": 2, "each": 3},
            group="which left",
            rules={"each": "one_success"},
        )
    )
    world.places(3)
    world.succeed("other")
    world.succeed("which[0]", chosen="left")
    world.succeed("which[1]", chosen="")
    assert [name for name in world.states() if "each" in name] == ["each[0:3]"]
    assert world.launched() == ["left[0]", "each[0]", "each[1]", "each[2]"]


def test_a_branch_in_front_of_a_mapped_group_leaves_out_the_whole_group() -> None:
    world = World(
        dag(
            "which > clean > fit; which > other",
            mapped={"clean": 2, "fit": 2},
            group="clean fit",
        )
    )
    world.places(1)
    world.succeed("which", chosen="other")
    assert world.states() == {
        "clean": "skipped",
        "fit": "skipped",
        "other": "scheduled",
        "which": "success",
    }


# ── short circuits ──────────────────────────────────────────────────────────


def test_a_short_circuit_leaves_out_all_that_is_below_whatever_its_trigger_rule() -> None:
    world = World(dag("ask > a > b; ask > b; ask > a", rules={"b": "all_done"}))
    world.places(1)
    assert world.succeed("ask", halts="all") == [CloseRun(RunState.SUCCESS)]
    assert world.states() == {"a": "skipped", "ask": "success", "b": "skipped"}
    assert world.reason("b") == "left out by task 'ask'"


def test_directly_only_means_that_trigger_rules_further_down_count() -> None:
    world = World(dag("ask > a > b > c", rules={"b": "all_done"}))
    world.places(1)
    world.succeed("ask", halts="direct")
    assert world.states() == {
        "a": "skipped",
        "ask": "success",
        "b": "scheduled",
        "c": "none",
    }


def test_what_also_has_another_way_in_is_left_out_as_well() -> None:
    world = World(dag("ask > a > join; other > join", rules={"join": "one_success"}))
    world.places(2)
    world.succeed("ask", halts="all")
    world.succeed("other")
    assert world.states()["join"] == "skipped"


def test_a_teardown_is_never_left_out() -> None:
    drawing = "make > ask > work > clear; make > clear; ask > clear"
    each = {"make": {"setup": True}, "clear": {"teardown": True}}
    world = World(dag(drawing, each=each))
    world.places(1)
    world.succeed("make")
    world.places(1)
    world.succeed("ask", halts="all")
    assert world.launched() == ["clear"]


# ── with people ─────────────────────────────────────────────────────────────


def _with_a_failure() -> World:
    """`which` chose `right`, which failed: the run has ended."""
    world = World(dag("which > left; which > right"))
    world.places(1)
    world.succeed("which", chosen="right")
    world.places(1)
    assert world.fail("right") == [CloseRun(RunState.FAILED)]
    return world


def test_a_retry_of_what_failed_keeps_the_choice() -> None:
    world = _with_a_failure()
    world.tell(RetryAsked())
    assert world.launched() == ["right"]
    assert world.states()["left"] == "skipped"


def test_naming_what_was_left_out_does_not_bring_it_back() -> None:
    world = _with_a_failure()
    world.reload()
    assert world.tell(RetryAsked((TaskId("left"),))) == [CloseRun(RunState.FAILED)]
    assert world.reason("left") == "left out by task 'which'"


def test_a_branch_that_runs_again_may_choose_again() -> None:
    world = _with_a_failure()
    world.tell(RetryAsked((TaskId("which"),)))
    assert world.states() == {"left": "none", "right": "none", "which": "scheduled"}
    world.places(1)
    world.succeed("which", chosen="left")
    assert world.launched() == ["left"]
    assert world.states()["right"] == "skipped"


def test_a_choice_that_wins_the_race_against_a_cancel_counts_when_the_run_goes_on() -> None:
    world = World(dag("which > left; which > right"))
    world.places(1)
    world.tell(CancelAsked())
    world.succeed("which", chosen="right")
    world.tell(RetryAsked())
    assert world.launched() == ["right"]
    assert world.reason("left") == "left out by task 'which'"
