"""Pools, limits of tasks and of the run: what has no room waits, and what has room does not."""

from __future__ import annotations

from typing import Any

from mlflowkit.core.decisions import Launch
from tests.core.world import World, dag


def test_a_pool_gives_as_many_slots_as_it_has() -> None:
    gpu = {"pool": "gpu"}
    world = World(dag("a; b; c", each={"a": gpu, "b": gpu, "c": gpu}))
    assert world.launched(pools={"gpu": 2}) == ["a", "b"]
    assert world.launched(pools={"gpu": 0}) == []
    assert world.launched(pools={"gpu": 1}) == ["c"]


def test_a_task_may_take_several_slots_and_a_smaller_one_goes_past_it() -> None:
    each: dict[str, Any] = {
        "big": {"pool": "gpu", "pool_slots": 2},
        "small": {"pool": "gpu"},
    }
    world = World(dag("big; small", each=each))
    assert world.launched(pools={"gpu": 1}) == ["small"]
    assert world.launched(pools={"gpu": 2}) == ["big"]
    assert world.run.slots == {"gpu": 3}
    world.succeed("big")
    assert world.run.slots["gpu"] == 1


def test_the_slots_of_a_pool_are_shared_by_tasks_of_every_size() -> None:
    each: dict[str, Any] = {
        "big": {"pool": "gpu", "pool_slots": 2},
        "small": {"pool": "gpu"},
    }
    world = World(dag("big; small", each=each))
    assert world.launched(pools={"gpu": 2}) == ["big"]


def test_a_pool_that_nobody_names_has_no_limit() -> None:
    world = World(dag("a; b", each={"a": {"pool": "gpu"}}))
    assert world.launched(pools={"other": 0}) == ["a", "b"]


def test_a_full_pool_holds_up_only_its_own_tasks() -> None:
    each = {"fit": {"pool": "gpu", "priority_weight": 9}}
    world = World(dag("fit; load", mapped={"fit": 100}, each=each))
    assert world.launched(pools={"gpu": 2}) == ["fit[0]", "fit[1]", "load"]


def test_a_task_may_have_a_limit_in_its_run() -> None:
    each = {"fit": {"max_active_tis_per_dagrun": 2}}
    world = World(dag("fit; load", mapped={"fit": 5}, each=each))
    assert world.launched() == ["fit[0]", "fit[1]", "load"]
    assert world.launched() == []
    world.succeed("fit[1]")
    assert world.launched() == ["fit[2]"]
    world.lose("fit[0]")
    assert world.launched() == ["fit[0]"]


def test_a_task_may_have_a_limit_over_all_runs_of_its_dag() -> None:
    each = {"fit": {"max_active_tis_per_dag": 3}}
    world = World(dag("fit; load", mapped={"fit": 5}, each=each))
    assert world.launched(fit=1) == ["fit[0]", "load"]
    assert world.launched(fit=0) == []
    assert world.launched(fit=2) == ["fit[1]", "fit[2]"]


def test_a_run_may_have_a_limit_of_tasks() -> None:
    world = World(dag("a; b; c", max_active_tasks=2))
    assert world.launched() == ["a", "b"]
    assert world.launched() == []
    world.fail("a")
    assert world.launched() == ["c"]


def test_what_waits_for_its_next_look_or_try_holds_no_place() -> None:
    world = World(dag("a; b; c", retries=1, max_active_tasks=1))
    assert world.launched() == ["a"]
    world.reschedule("a", seconds=60)
    assert world.launched() == ["b"]
    world.fail("b")
    assert world.launched() == ["c"]


def test_a_loaded_run_knows_what_is_taken() -> None:
    each = {"fit": {"pool": "gpu", "pool_slots": 2, "max_active_tis_per_dagrun": 2}}
    world = World(dag("fit", mapped={"fit": 3}, each=each, max_active_tasks=2))
    assert world.launched() == ["fit[0]", "fit[1]"]
    world.reload()
    assert (world.run.out, world.run.slots) == (2, {"gpu": 4})
    assert world.launched() == []
    world.succeed("fit[0]")
    assert world.places(9) == [Launch(world.attempt("fit[2]", 1))]
