"""A person asks for single instances of a mapped task: again, with what is below, or not at all."""

from __future__ import annotations

from typing import Any

import pytest

from mlflowkit.core.decisions import CloseRun, Kill
from mlflowkit.core.events import CancelAsked, InstanceAsked, RetryAsked
from mlflowkit.core.machine.again import why_not_cleared
from mlflowkit.core.machine.foresee import foresee
from mlflowkit.core.machine.people import why_not_cancelled
from mlflowkit.core.spec import TaskId
from mlflowkit.core.states import RunState
from mlflowkit.errors import IllegalEvent
from tests.core.world import World, anatomy, dag

FIT = TaskId("fit")


def _world(drawing: str = "fit > total > mail", *, length: int = 4, **more: Any) -> World:
    """A mapped task whose instance 1 failed in a run that has ended."""
    world = World(dag(drawing, mapped={"fit": length}, **more))
    world.places(99)
    world.fail("fit[1]")
    world.succeed(*(f"fit[{i}]" for i in range(length) if i != 1))
    return world


def _again(*indexes: int, alone: bool = False) -> RetryAsked:
    return RetryAsked((), alone, {FIT: indexes})


def _finished() -> World:
    """The same, and all went well in the end."""
    world = _world()
    world.tell(RetryAsked())
    for name in ("fit[1]", "total", "mail"):
        world.places(9)
        world.succeed(name)
    return world


def test_one_instance_runs_again_with_all_below_and_the_others_keep_what_they_have() -> (
    None
):
    world = _finished()
    assert world.ended() == ("success", "")
    world.tell(_again(2))
    assert world.states() == {
        "fit[0]": "success",
        "fit[1]": "success",
        "fit[2]": "scheduled",
        "fit[3]": "success",
        "total": "none",
        "mail": "none",
    }
    assert anatomy(world.rows.load(world.spec)) == anatomy(world.run)
    assert world.launched() == ["fit[2]"]
    assert world.attempt("fit[2]").number == 2
    world.succeed("fit[2]")
    assert world.launched() == ["total"]
    world.succeed("total")
    world.places(1)
    assert world.succeed("mail") == [CloseRun(RunState.SUCCESS)]


def test_several_instances_run_again_alone_and_what_is_below_stays_as_it_was() -> None:
    world = _finished()
    world.tell(_again(0, 3, alone=True))
    assert world.states() == {
        "fit[0]": "scheduled",
        "fit[1]": "success",
        "fit[2]": "success",
        "fit[3]": "scheduled",
        "total": "success",
        "mail": "success",
    }
    assert world.launched() == ["fit[0]", "fit[3]"]
    world.succeed("fit[0]")
    assert world.fail("fit[3]") == [CloseRun(RunState.SUCCESS)], "the leaf says how it ends"


def test_what_failed_is_tried_again_by_its_index_and_has_all_its_tries() -> None:
    world = _world(length=2)
    assert world.states()["total"] == "upstream_failed"
    world.tell(_again(1))
    assert world.states() == {
        "fit[0]": "success",
        "fit[1]": "scheduled",
        "total": "none",
        "mail": "none",
    }
    world.reload()
    assert world.launched() == ["fit[1]"]


def test_inside_of_a_mapped_group_the_same_index_is_below_and_all_that_is_after_it() -> (
    None
):
    spec = dag("a > b > end; a > out > b", mapped={"a": 3, "b": 3}, group="a b")
    world = World(dag("a > b > end", mapped={"a": 3, "b": 3}, group="a b"))
    for name in ("a", "b"):
        world.places(9)
        world.succeed(*(f"{name}[{i}]" for i in range(3)))
    world.places(1)
    world.succeed("end")
    world.tell(RetryAsked(parts={TaskId("a"): (1,)}))
    assert world.states() == {
        "a[0]": "success",
        "a[1]": "scheduled",
        "a[2]": "success",
        "b[0]": "success",
        "b[1]": "none",
        "b[2]": "success",
        "end": "none",
    }
    assert world.launched() == ["a[1]"]
    around = World(spec)
    for names in (("a[0]", "a[1]", "a[2]"), ("out",), ("b[0]", "b[1]", "b[2]"), ("end",)):
        around.places(9)
        around.succeed(*names)
    around.tell(RetryAsked(parts={TaskId("a"): (1,)}))
    below = {name: state for name, state in around.states().items() if name[0] != "a"}
    assert below == {
        "b[0]": "none",
        "b[1]": "none",
        "b[2]": "none",
        "end": "none",
        "out": "none",
    }, "what leaves the group and comes back counts for all of it"


def test_of_a_cancelled_run_only_what_was_named_starts() -> None:
    world = World(dag("fit > total", mapped={"fit": 5}))
    world.places(2)
    world.tell(CancelAsked())
    world.fail("fit[0]")
    assert world.fail("fit[1]") == [CloseRun(RunState.FAILED)]
    assert world.states()["fit[2:5]"] == "not queued"
    world.tell(_again(1, 3))
    assert world.states() == {
        "fit[0]": "failed",
        "fit[1]": "scheduled",
        "fit[2]": "skipped",
        "fit[3]": "scheduled",
        "fit[4]": "skipped",
        "total": "upstream_failed",
    }
    assert world.launched() == ["fit[1]", "fit[3]"]


def test_one_that_never_started_waits_for_its_setup_and_has_a_row() -> None:
    helpers = {"s": {"setup": True}, "t": {"teardown": True}}
    world = World(dag("s > fit > t; s > t", mapped={"fit": 3}, each=helpers))
    world.places(1)
    world.succeed("s")
    world.places(1)
    world.tell(CancelAsked())
    world.fail("fit[0]")
    world.places(1)
    world.succeed("t")
    world.tell(_again(1))
    assert world.states() == {
        "s": "scheduled",
        "fit[0]": "failed",
        "fit[1]": "none",
        "fit[2]": "skipped",
        "t": "none",
    }
    world.reload()
    assert world.launched() == ["s"]
    world.succeed("s")
    assert world.launched() == ["fit[1]"]


def test_other_tasks_may_be_named_beside_it() -> None:
    world = _finished()
    world.tell(RetryAsked((TaskId("mail"),), True, {FIT: (0,)}))
    assert world.states() == {
        "fit[0]": "scheduled",
        "fit[1]": "success",
        "fit[2]": "success",
        "fit[3]": "success",
        "total": "success",
        "mail": "scheduled",
    }


@pytest.mark.parametrize(
    ("parts", "why"),
    [
        ({"fit": (4,)}, "its task instances are [0] to [3]"),
        ({"fit": (-1,)}, "its task instances are [0] to [3]"),
        ({"fit": ()}, "its task instances are [0] to [3]"),
        ({"total": (0,)}, "it is not mapped: leave the index out"),
        ({"nobody": (0,)}, "unknown task 'nobody'"),
    ],
)
def test_what_is_not_there_is_refused_and_nothing_changes(
    parts: dict[str, tuple[int, ...]], why: str
) -> None:
    world = _world()
    before = anatomy(world.run)
    with pytest.raises(IllegalEvent) as caught:
        world.tell(RetryAsked(parts={TaskId(t): i for t, i in parts.items()}))
    assert why in str(caught.value)
    assert anatomy(world.run) == before


def test_a_task_that_was_not_expanded_is_cleared_as_a_whole() -> None:
    world = World(dag("load > fit", mapped={"fit": "load"}))
    world.places(1)
    world.fail("load")
    node = world.run.nodes[FIT]
    assert why_not_cleared(node, (0,)) == "it was not expanded: clear the whole task"


def test_one_that_runs_is_cancelled_and_the_others_go_on() -> None:
    world = World(dag("fit > total", mapped={"fit": 3}, retries=2))
    world.places(2)
    node = world.run.nodes[FIT]
    assert why_not_cancelled(world.run, node, 2) == "it has not started"
    assert world.tell(InstanceAsked(FIT, 0, "cancel")) == [
        Kill(world.attempt("fit[0]"), "cancelled")
    ]
    assert why_not_cancelled(world.run, node, 0) == "it is being stopped already"
    world.fail("fit[0]", "killed")
    assert why_not_cancelled(world.run, node, 0) == "it has ended"
    world.fail("fit[1]")
    assert world.states()["fit[1]"] == "up_for_retry"
    world.tell(InstanceAsked(FIT, 1, "cancel"))
    assert world.reason("fit[1]") == "boom (given up)"
    assert world.launched() == ["fit[2]"]
    world.lose("fit[2]")
    assert world.states()["fit[2]"] == "scheduled"
    assert world.tell(InstanceAsked(FIT, 2, "cancel")) == [CloseRun(RunState.FAILED)]
    assert world.states() == {
        "fit[0]": "failed",
        "fit[1]": "failed",
        "fit[2]": "skipped",
        "total": "upstream_failed",
    }
    assert world.launched() == []


def test_what_a_retry_would_do_is_foreseen_and_the_run_stays_as_it_is() -> None:
    world = _finished()

    def told(asked: RetryAsked) -> tuple[tuple[str, ...], tuple[str, ...]]:
        found = foresee(world.rows.load(world.spec), asked, world.now)
        return found.again, found.lost

    whole = ("fit", "total", "mail")
    assert told(_again(2)) == (("fit[2]", "total", "mail"), ("fit[2]", "total", "mail"))
    assert told(_again(0, 3, alone=True)) == (("fit[0]", "fit[3]"),) * 2
    assert told(RetryAsked((FIT,))) == (whole, whole)
    assert told(RetryAsked()) == ((), ())
    failed = _world(length=9)
    found = foresee(failed.rows.load(failed.spec), RetryAsked(), failed.now)
    assert (found.again, found.lost) == (("fit[1]", "total", "mail"), ())
    many = foresee(failed.rows.load(failed.spec), _again(0, 1, 2, 3), failed.now)
    assert (many.again[0], many.lost) == ("fit (4 of 9)", ("fit[0]", "fit[2]", "fit[3]"))
    stopped = World(dag("fit", mapped={"fit": 5}))
    stopped.places(1)
    stopped.tell(CancelAsked())
    stopped.succeed("fit[0]")
    found = foresee(stopped.rows.load(stopped.spec), RetryAsked(), stopped.now)
    assert (found.again, found.lost) == (("fit",), ())
