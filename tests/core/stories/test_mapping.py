"""A mapped task becomes one task instance for each combination of its axes' items."""

from __future__ import annotations

import pytest

from mlflowkit.core.decisions import CloseRun, Launch
from mlflowkit.core.spec import TaskId
from mlflowkit.core.states import RunState
from tests.core.world import AxisDrawing, World, dag


def test_items_written_in_the_dag_need_no_upstream() -> None:
    world = World(dag("fit > report", mapped={"fit": 3}))
    assert world.places(9) == [Launch(world.attempt(f"fit[{i}]", 1)) for i in range(3)]
    world.succeed("fit[2]", "fit[0]")
    assert world.states()["report"] == "none"
    world.succeed("fit[1]")
    assert world.states()["report"] == "scheduled"


def test_items_that_a_task_gives_are_counted_when_it_ends() -> None:
    world = World(dag("load > fit", mapped={"fit": "load"}))
    world.places(1)
    world.succeed("load", length=2)
    assert world.states() == {"fit[0:2]": "not queued", "load": "success"}
    world.places(9)
    world.succeed("fit[0]")
    assert world.succeed("fit[1]") == [CloseRun(RunState.SUCCESS)]


@pytest.mark.parametrize(
    ("axes", "size"), [((2, "load"), 6), (("load", "load"), 9), ((2, 2, "load"), 12)]
)
def test_several_axes_are_crossed(axes: tuple[AxisDrawing, ...], size: int) -> None:
    world = World(dag("load > fit", mapped={"fit": axes}))
    world.places(1)
    world.succeed("load", length=3)
    assert len(world.places(100)) == size


def test_rows_appear_as_task_instances_are_queued() -> None:
    world = World(dag("fit", mapped={"fit": 1000}))
    assert world.rows.instances == {}
    world.places(2)
    assert world.states() == {
        "fit[0]": "queued",
        "fit[1]": "queued",
        "fit[2:1000]": "not queued",
    }
    world.places(1)
    assert world.states()["fit[3:1000]"] == "not queued"


def test_nothing_to_expand_over_is_a_skip_that_travels() -> None:
    world = World(dag("load > fit > report", mapped={"fit": "load"}))
    world.places(1)
    assert world.succeed("load", length=0) == [CloseRun(RunState.SUCCESS)]
    assert world.states() == {"fit": "skipped", "load": "success", "report": "skipped"}
    assert world.reason("fit") == "nothing to expand over"


def test_nothing_written_in_the_dag_is_a_skip_as_soon_as_the_run_opens() -> None:
    world = World(dag("fit > report", mapped={"fit": 0}))
    assert world.ended() == ("success", "")


def test_more_than_the_limit_is_a_failure_that_says_so() -> None:
    world = World(dag("load > fit > report", mapped={"fit": (50, "load")}, limit=1000))
    world.places(1)
    assert world.succeed("load", length=21) == [CloseRun(RunState.FAILED)]
    assert world.states() == {
        "fit": "failed",
        "load": "success",
        "report": "upstream_failed",
    }
    assert world.reason("fit") == (
        "it would expand to 1,050 task instances; the limit is 1,000 (setting max_map_length)"
    )


def test_a_value_that_is_no_list_is_a_failure_that_says_so() -> None:
    world = World(dag("load > fit", mapped={"fit": "load"}))
    world.places(1)
    assert world.succeed("load") == [CloseRun(RunState.FAILED)]
    assert world.reason("fit") == (
        "'x0' cannot be expanded: task 'load' gave no list, tuple or dict for its XCom "
        "'return_value'"
    )


def test_a_mapped_task_over_a_mapped_task_has_one_instance_for_each_of_its() -> None:
    world = World(
        dag("load > clean > fit > report", mapped={"clean": "load", "fit": "clean"})
    )
    world.places(1)
    world.succeed("load", length=3)
    world.places(9)
    world.succeed("clean[0]", "clean[1]")
    assert world.places(9) == [], "all of them must have ended"
    world.succeed("clean[2]")
    assert world.places(9) == [Launch(world.attempt(f"fit[{i}]", 1)) for i in range(3)]
    world.succeed("fit[0]", "fit[1]", "fit[2]")
    assert world.states()["report"] == "scheduled"


def test_one_failed_instance_fails_what_is_below_at_once_and_the_others_go_on() -> None:
    world = World(dag("fit > report", mapped={"fit": 3}))
    world.places(2)
    assert world.fail("fit[0]") == []
    assert world.states() == {
        "fit[0]": "failed",
        "fit[1]": "queued",
        "fit[2:3]": "not queued",
        "report": "upstream_failed",
    }
    world.places(1)
    world.succeed("fit[1]")
    assert world.succeed("fit[2]") == [CloseRun(RunState.FAILED)]


def test_a_failure_that_comes_two_ways_at_once_closes_a_mapped_task_once() -> None:
    drawing = "load > report; load > fit > report"
    world = World(dag(drawing, mapped={"fit": 2, "report": 2}))
    world.places(1)
    assert world.fail("load") == [CloseRun(RunState.FAILED)]
    assert world.states() == {
        "fit": "upstream_failed",
        "load": "failed",
        "report": "upstream_failed",
    }


def test_joined_axes_are_as_long_as_their_parts_say() -> None:
    for axis, length in (
        (("zip", 2, "load"), 2),
        (("longest", 2, "load"), 3),
        (("concat", 2, "load"), 5),
    ):
        world = World(dag("load > fit", mapped={"fit": (axis,)}))
        world.places(1)
        world.succeed("load", length=3)
        assert len(world.launched()) == length


def test_a_part_of_an_axis_that_is_no_list_is_a_failure_that_says_so() -> None:
    world = World(dag("load > fit", mapped={"fit": (("zip", 2, "load"),)}))
    world.places(1)
    assert world.succeed("load") == [CloseRun(RunState.FAILED)]
    assert "task 'load' gave no list" in world.reason("fit")


def test_each_instance_has_its_own_tries() -> None:
    world = World(dag("fit", mapped={"fit": 2}, retries=1))
    world.places(2)
    world.fail("fit[0]")
    world.succeed("fit[1]")
    world.wait(seconds=10)
    assert world.places(9) == [Launch(world.attempt("fit[0]", 2))]
    assert world.succeed("fit[0]") == [CloseRun(RunState.SUCCESS)]


def test_one_skipped_instance_skips_what_is_below() -> None:
    world = World(dag("fit > report", mapped={"fit": 2}))
    world.places(2)
    world.skip("fit[0]")
    assert world.states()["report"] == "skipped"
    assert world.succeed("fit[1]") == [CloseRun(RunState.SUCCESS)]


def test_what_is_lost_or_due_again_goes_before_what_never_started() -> None:
    world = World(dag("fit", mapped={"fit": 3}))
    world.places(1)
    world.lose("fit[0]")
    assert world.places(2) == [
        Launch(world.attempt("fit[0]", 2)),
        Launch(world.attempt("fit[1]", 1)),
    ]


def test_only_the_lengths_of_the_attempt_that_succeeded_count() -> None:
    world = World(dag("load > fit", mapped={"fit": "load"}, retries=1))
    world.places(1)
    world.fail("load")
    world.wait(seconds=10)
    world.places(1)
    world.succeed("load", length=2)
    assert world.rows.nodes[TaskId("load")].lengths == {"return_value": 2}
    assert world.rows.nodes[TaskId("fit")].length == 2
