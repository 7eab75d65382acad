"""A mapped task group: instance i of a task waits for instance i of those above it, no other."""

from __future__ import annotations

from typing import Any

import pytest

from mlflowkit.core.decisions import CloseRun, Kill
from mlflowkit.core.events import CancelAsked, RetryAsked
from mlflowkit.core.spec import DagSpec, TaskId
from mlflowkit.core.states import RunState
from mlflowkit.core.view import task_views
from tests.core.world import World, anatomy, dag


def _spec(**more: Any) -> DagSpec:
    """load > [clean > fit] > report"""
    mapped = {"clean": "load", "fit": "load"}
    return dag("load > clean > fit > report", mapped=mapped, group="clean fit", **more)


def _expanded(length: int = 3, **more: Any) -> World:
    world = World(_spec(**more))
    world.places(1)
    world.succeed("load", length=length)
    world.places(length)
    return world


def test_each_index_goes_its_own_way_and_what_is_after_the_group_waits_for_all() -> None:
    world = _expanded()
    world.succeed("clean[1]")
    assert world.launched() == ["fit[1]"]
    world.succeed("fit[1]", "clean[0]", "clean[2]")
    assert world.launched() == ["fit[0]", "fit[2]"]
    world.succeed("fit[2]")
    assert world.launched() == []
    world.succeed("fit[0]")
    assert world.launched() == ["report"]
    assert world.succeed("report") == [CloseRun(RunState.SUCCESS)]


@pytest.mark.parametrize("items", [3, "load"])
def test_every_task_of_the_group_is_expanded_at_once(items: int | str) -> None:
    mapped = {"a": items, "b": items, "c": items}
    world = World(dag("load > a > b > c", mapped=mapped, group="a b c"))
    world.places(1)
    world.succeed("load", length=3)
    assert [world.rows.nodes[TaskId(name)].length for name in "abc"] == [3, 3, 3]
    assert world.launched() == ["a[0]", "a[1]", "a[2]"]


def test_an_index_that_fails_stops_itself_alone() -> None:
    world = _expanded()
    world.fail("clean[0]")
    world.succeed("clean[1]", "clean[2]")
    assert world.launched() == ["fit[1]", "fit[2]"]
    assert world.reason("fit[0]") == "task 'clean' failed"
    world.succeed("fit[1]")
    assert world.succeed("fit[2]") == [CloseRun(RunState.FAILED)]
    assert world.states() == {
        "clean[0]": "failed",
        "clean[1]": "success",
        "clean[2]": "success",
        "fit[0]": "upstream_failed",
        "fit[1]": "success",
        "fit[2]": "success",
        "load": "success",
        "report": "upstream_failed",
    }


def test_an_index_that_is_skipped_skips_itself_alone() -> None:
    world = _expanded(2, rules={"report": "none_failed"})
    world.skip("clean[0]")
    world.succeed("clean[1]")
    assert world.launched() == ["fit[1]"]
    world.succeed("fit[1]")
    assert world.states()["fit[0]"] == "skipped"
    assert world.launched() == ["report"]


def test_a_trigger_rule_in_the_group_looks_at_its_own_index() -> None:
    world = _expanded(2, rules={"fit": "one_failed"})
    world.fail("clean[0]")
    assert world.launched() == ["fit[0]"]
    world.succeed("clean[1]")
    assert world.states()["fit[1]"] == "skipped"


def test_every_index_waits_for_what_is_outside() -> None:
    world = World(
        dag(
            "clean > fit; other > fit",
            mapped={"clean": 2, "fit": 2},
            group="clean fit",
        )
    )
    world.places(3)
    world.succeed("clean[0]")
    assert world.launched() == []
    world.succeed("other")
    assert world.launched() == ["fit[0]"]
    world.succeed("clean[1]")
    assert world.launched() == ["fit[1]"]


@pytest.mark.parametrize(
    ("how", "outcome"), [("fail", "upstream_failed"), ("skip", "skipped")]
)
def test_what_is_outside_closes_every_index(how: str, outcome: str) -> None:
    drawing = "clean > fit; other > fit"
    world = World(dag(drawing, mapped={"clean": 2, "fit": 2}, group="clean fit"))
    world.places(3)
    getattr(world, how)("other")
    states = world.states()
    assert [states["fit[0]"], states["fit[1]"]] == [outcome, outcome]


def test_nothing_to_expand_over_skips_the_whole_group() -> None:
    world = World(_spec())
    world.places(1)
    assert world.succeed("load", length=0) == [CloseRun(RunState.SUCCESS)]
    assert world.states() == {
        "clean": "skipped",
        "fit": "skipped",
        "load": "success",
        "report": "skipped",
    }


def test_more_than_the_limit_fails_the_whole_group() -> None:
    world = World(_spec(limit=2))
    world.places(1)
    assert world.succeed("load", length=3) == [CloseRun(RunState.FAILED)]
    assert world.states() == {
        "clean": "failed",
        "fit": "upstream_failed",
        "load": "success",
        "report": "upstream_failed",
    }


def test_a_task_of_the_group_that_could_start_early_waits_for_what_it_expands_over() -> (
    None
):
    """`fit` has another way in, and its rule is met before `load` has ended."""
    world = World(
        dag(
            "load > clean > fit; other > fit",
            mapped={"clean": "load", "fit": "load"},
            group="clean fit",
            rules={"fit": "one_success"},
        )
    )
    world.places(2)
    world.succeed("other")
    assert world.launched() == []
    world.succeed("load", length=2)
    assert world.launched() == ["clean[0]", "clean[1]", "fit[0]", "fit[1]"]
    world.succeed("clean[0]", "clean[1]", "fit[0]")
    assert world.succeed("fit[1]") == [CloseRun(RunState.SUCCESS)]


def test_a_mapped_task_below_the_group_expands_over_what_it_gave() -> None:
    world = World(
        dag(
            "clean > fit > each",
            mapped={"clean": 2, "fit": 2, "each": "fit"},
            group="clean fit",
        )
    )
    world.places(2)
    world.succeed("clean[0]", "clean[1]")
    world.places(2)
    world.succeed("fit[0]", "fit[1]")
    assert world.launched() == ["each[0]", "each[1]"]


# ── people ──────────────────────────────────────────────────────────────────


def test_a_cancel_skips_the_indexes_that_have_no_row_yet() -> None:
    world = _expanded()
    world.succeed("clean[1]")
    assert world.tell(CancelAsked()) == [
        Kill(world.attempt(name), "cancelled") for name in ("clean[0]", "clean[2]")
    ]
    world.fail("clean[0]", "killed")
    assert world.fail("clean[2]", "killed") == [CloseRun(RunState.FAILED)]
    states = world.states()
    assert {states[f"fit[{i}]"] for i in range(3)} == {"skipped"}
    assert anatomy(world.rows.load(world.spec)) == anatomy(world.run)


def test_a_cancelled_group_goes_on_index_by_index() -> None:
    world = World(_spec())
    world.places(1)
    world.succeed("load", length=3)
    world.places(1)
    world.succeed("clean[0]")
    world.tell(CancelAsked())
    world.tell(RetryAsked())
    assert world.launched() == ["clean[1]", "clean[2]", "fit[0]"]
    world.succeed("clean[2]")
    assert world.launched() == ["fit[2]"]


def _ended_with_a_failure() -> World:
    world = _expanded(2)
    world.succeed("clean[0]")
    world.fail("clean[1]")
    world.places(1)
    world.succeed("fit[0]")
    assert world.ended() == ("failed", "")
    return world


def test_a_retry_runs_the_indexes_that_failed() -> None:
    world = _ended_with_a_failure()
    world.tell(RetryAsked())
    assert world.launched() == ["clean[1]"]
    world.succeed("clean[1]")
    assert world.launched() == ["fit[1]"]
    world.succeed("fit[1]")
    assert world.launched() == ["report"]


def test_a_named_task_of_the_group_runs_again_at_every_index_that_can() -> None:
    world = _ended_with_a_failure()
    world.tell(RetryAsked((TaskId("fit"),)))
    assert world.launched() == ["fit[0]"]
    assert world.states()["fit[1]"] == "upstream_failed"
    assert world.succeed("fit[0]") == [CloseRun(RunState.FAILED)]


def test_an_index_that_cannot_run_again_is_closed_while_the_others_still_wait() -> None:
    drawing = "clean > fit; other > fit"
    world = World(dag(drawing, mapped={"clean": 2, "fit": 2}, group="clean fit"))
    world.places(3)
    world.succeed("clean[0]", "other")
    world.fail("clean[1]")
    world.places(1)
    world.succeed("fit[0]")
    world.tell(RetryAsked((TaskId("other"),)))
    assert world.launched() == ["other"]
    assert world.states()["fit[1]"] == "upstream_failed"
    world.succeed("other")
    assert world.launched() == ["fit[0]"]


def test_a_shorter_expansion_removes_indexes_of_every_task_of_the_group() -> None:
    world = _expanded(3)
    world.succeed(*(f"clean[{i}]" for i in range(3)))
    world.places(3)
    world.succeed(*(f"fit[{i}]" for i in range(3)))
    world.places(1)
    world.succeed("report")
    world.tell(RetryAsked((TaskId("load"),)))
    world.places(1)
    world.succeed("load", length=1)
    assert world.launched() == ["clean[0]"]
    world.succeed("clean[0]")
    assert world.launched() == ["fit[0]"]
    states = world.states()
    names = [f"{task}[{i}]" for task in ("clean", "fit") for i in (1, 2)]
    assert {states[name] for name in names} == {"removed"}
    world.succeed("fit[0]")
    world.places(1)
    assert world.succeed("report") == [CloseRun(RunState.SUCCESS)]


def test_a_group_that_was_closed_as_a_whole_expands_when_it_can() -> None:
    world = World(_spec())
    world.places(1)
    assert world.fail("load") == [CloseRun(RunState.FAILED)]
    world.tell(RetryAsked())
    world.places(1)
    world.succeed("load", length=2)
    assert world.launched() == ["clean[0]", "clean[1]"]
    assert world.states()["fit"] == "removed"
    world.succeed("clean[0]")
    assert world.launched() == ["fit[0]"]


def test_what_has_no_row_yet_is_seen_as_waiting() -> None:
    world = _expanded()
    world.succeed("clean[1]")
    rows = world.rows
    views = task_views(world.spec, rows.run, rows.nodes.values(), rows.instances.values())
    seen = {v.task_id: {str(s): n for s, n in v.counts.items()} for v in views}
    assert seen == {
        "clean": {"queued": 2, "success": 1},
        "fit": {"none": 2, "scheduled": 1},
        "load": {"success": 1},
        "report": {"none": 1},
    }
