"""A task that does nothing ends in the turn in which its time comes: no place, no attempt."""

from __future__ import annotations

from mlflowkit.core.decisions import CloseRun, WakeAt
from mlflowkit.core.events import CancelAsked, RetryAsked
from mlflowkit.core.spec import DagSpec, TaskId
from mlflowkit.core.states import RunState
from tests.core.world import World, dag

NONE = {"inert": True}
ALL = ("start", "a", "b", "join")


def inert(drawing: str, *names: str, **options: object) -> DagSpec:
    return dag(drawing, each={name: NONE for name in names}, **options)  # type: ignore[arg-type]


def test_a_run_of_nothing_else_is_over_when_it_is_opened() -> None:
    world = World(inert("start > a > join; start > b > join", *ALL))
    assert world.outcome.decisions == [CloseRun(RunState.SUCCESS)]
    assert world.states() == dict.fromkeys(ALL, "success")


def test_it_stands_between_others_and_its_rule_counts_as_ever() -> None:
    rules = {"always": "all_done"}
    drawing = "load > join > fit > end; fit > always"
    world = World(inert(drawing, "join", "end", "always", rules=rules))
    assert world.launched() == ["load"]
    world.succeed("load")
    assert world.launched() == ["fit"]
    assert world.fail("fit") == [CloseRun(RunState.FAILED)]
    assert world.states() == {
        "load": "success",
        "join": "success",
        "fit": "failed",
        "end": "upstream_failed",
        "always": "success",
    }
    row = world.run.nodes[TaskId("always")].instances[-1]
    assert (row.attempt, row.started_at, row.ended_at) == (0, world.now, world.now)


def test_it_waits_for_the_run_before_where_it_is_to() -> None:
    each = {"join": {"inert": True, "depends_on_past": True}}
    world = World(dag("join > end", each=each), waits_past=("join",))
    assert world.states() == {"join": "none", "end": "none"}
    assert not [d for d in world.outcome.decisions if isinstance(d, WakeAt)]


def test_a_retry_of_the_run_goes_through_it_again_and_a_cancel_leaves_it_out() -> None:
    world = World(inert("load > join > fit", "join"))
    world.places(1)
    world.fail("load")
    assert world.states() == {
        "load": "failed",
        "join": "upstream_failed",
        "fit": "upstream_failed",
    }
    world.tell(RetryAsked())
    world.places(1)
    world.succeed("load")
    assert world.states() == {"load": "success", "join": "success", "fit": "scheduled"}
    world.tell(CancelAsked())
    assert world.states() == {"load": "success", "join": "success", "fit": "skipped"}

    world = World(inert("load > join", "join"))
    world.places(1)
    world.tell(CancelAsked())
    assert world.states()["join"] == "skipped"
