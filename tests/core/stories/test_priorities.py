"""What is more important starts first, among those that have room."""

from __future__ import annotations

from typing import Any

from tests.core.world import World, dag


def _weights(**weights: int) -> dict[str, dict[str, Any]]:
    return {name: {"priority_weight": weight} for name, weight in weights.items()}


def test_the_more_important_first_then_as_written() -> None:
    world = World(dag("a; b; c; d", each=_weights(c=5, d=2)))
    assert world.launched(1) == ["c"]
    assert world.launched() == ["d", "a", "b"]


def test_a_mapped_task_with_less_weight_waits_in_the_middle() -> None:
    world = World(dag("fit; load > now", mapped={"fit": 4}, each=_weights(load=1, now=3)))
    assert world.launched(1) == ["fit[0]"]
    assert world.launched(4) == ["fit[1]", "fit[2]", "fit[3]", "load"]
    world = World(dag("fit; load > now", mapped={"fit": 4}, each=_weights(load=2, now=3)))
    assert world.launched(2) == ["load", "fit[0]"]
    world.succeed("load")
    assert world.launched(2) == ["now", "fit[1]"]


def test_between_pools_the_weight_decides_as_well() -> None:
    each = _weights(a=1, b=3, c=2)
    each["b"] |= {"pool": "gpu"}
    world = World(dag("a; b; c", each=each))
    assert world.launched(2, pools={"gpu": 1}) == ["b", "c"]


def test_one_that_has_no_room_lets_the_next_go_first() -> None:
    each = _weights(a=1, b=3)
    each["b"] |= {"pool": "gpu"}
    world = World(dag("a; b", each=each))
    assert world.launched(1, pools={"gpu": 0}) == ["a"]


def test_what_is_tried_again_keeps_its_weight() -> None:
    world = World(dag("a; b; c", each=_weights(c=5), retries=1))
    world.places(1)
    world.fail("c")
    world.wait(seconds=10)
    assert world.launched(1) == ["c"]


def test_the_weight_of_the_most_important_one_is_known() -> None:
    """Engines with several runs hand their places to that run first."""
    world = World(dag("a; b", each=_weights(b=7)))
    assert world.run.ready.priority == 7
    world.places(1)
    assert world.run.ready.priority == 1
