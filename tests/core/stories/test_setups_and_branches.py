"""What a branch chose, and what is set up and torn down around it."""

from __future__ import annotations

from mlflowkit.core.events import RetryAsked
from mlflowkit.core.spec import TaskId
from tests.core.world import World, dag


def test_a_setup_that_is_set_up_again_chooses_anew() -> None:
    """It left out a task that a person then named: with it, its choice is gone."""
    world = World(
        dag(
            "s > left > t; s > kept > t; s > t",
            each={"s": {"setup": True}, "t": {"teardown": True}},
        )
    )
    world.places(1)
    world.succeed("s", chosen="kept")
    for name in ("kept", "t"):
        world.places(1)
        world.succeed(name)
    assert world.states()["left"] == "skipped"
    world.tell(RetryAsked((TaskId("left"),), True))
    assert world.states() == {
        "s": "scheduled",
        "kept": "success",
        "left": "none",
        "t": "none",
    }
    world.places(1)
    world.succeed("s")
    assert world.launched() == ["left"]


def test_a_teardown_whose_list_was_left_out_tears_nothing_down() -> None:
    """It is closed at once; the work beside it goes on, since what it needs is there."""
    world = World(
        dag(
            "s > files > t; s > work > t; s > t",
            mapped={"t": "files"},
            each={"s": {"setup": True}, "t": {"teardown": True}},
        )
    )
    world.places(1)
    world.succeed("s", chosen="work")
    assert world.states() == {
        "s": "success",
        "files": "skipped",
        "work": "scheduled",
        "t": "skipped",
    }
    assert world.launched() == ["work"]
