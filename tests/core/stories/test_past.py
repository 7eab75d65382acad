"""Tasks that wait for the run before: `depends_on_past` and `wait_for_downstream`."""

from __future__ import annotations

from mlflowkit.core.decisions import CloseRun
from mlflowkit.core.events import CancelAsked, PastSettled, RetryAsked
from mlflowkit.core.spec import TaskId
from mlflowkit.core.states import RunState
from tests.core.world import World, anatomy, dag


def _settle(world: World, *names: str) -> None:
    world.tell(PastSettled(tuple(map(TaskId, names))))


def test_a_task_waits_for_its_past_and_then_starts() -> None:
    world = World(dag("load > train"), waits_past=("load",))
    assert world.launched() == []
    _settle(world, "load")
    assert world.launched() == ["load"]


def test_it_waits_for_its_past_and_for_those_above_whatever_comes_first() -> None:
    for past_first in (True, False):
        world = World(dag("load > train"), waits_past=("train",))
        world.places(1)
        if past_first:
            _settle(world, "train")
        world.succeed("load")
        assert world.launched() == (["train"] if past_first else [])
        if not past_first:
            _settle(world, "train")
            assert world.launched() == ["train"]


def test_a_failure_above_closes_it_though_its_past_is_open() -> None:
    world = World(dag("load > train"), waits_past=("train",))
    world.places(1)
    assert world.fail("load") == [CloseRun(RunState.FAILED)]


def test_a_mapped_task_waits_as_a_whole() -> None:
    world = World(dag("load > fit", mapped={"fit": "load"}), waits_past=("fit",))
    world.places(1)
    world.succeed("load", length=2)
    assert world.launched() == []
    _settle(world, "fit")
    assert world.launched() == ["fit[0]", "fit[1]"]


def test_in_a_mapped_group_all_indexes_that_were_held_up_start() -> None:
    """Also those whose rule is met while something outside still runs."""
    world = World(
        dag(
            "clean > fit; other > fit",
            mapped={"clean": 3, "fit": 3},
            group="clean fit",
            rules={"fit": "one_success"},
        ),
        waits_past=("fit",),
    )
    world.places(9)
    world.succeed("clean[0]", "clean[2]")
    assert world.launched() == []
    _settle(world, "fit")
    assert world.launched() == ["fit[0]", "fit[2]"]
    world.succeed("clean[1]")
    assert world.launched() == ["fit[1]"]


def test_news_about_others_or_twice_is_no_news() -> None:
    world = World(dag("load"), waits_past=("load",))
    _settle(world, "nobody")
    assert not world.outcome
    _settle(world, "load")
    _settle(world, "load")
    assert not world.outcome


def test_a_loaded_run_still_waits_and_a_cancel_ends_it() -> None:
    world = World(dag("load"), waits_past=("load",))
    assert anatomy(world.rows.load(world.spec)) == anatomy(world.run)
    world.reload()
    assert world.launched() == []
    assert world.tell(CancelAsked()) == [CloseRun(RunState.FAILED)]


def test_a_run_that_goes_on_still_waits_for_its_past() -> None:
    world = World(dag("load"), waits_past=("load",))
    world.tell(CancelAsked())
    world.tell(RetryAsked())
    assert world.launched() == []
    _settle(world, "load")
    assert world.launched() == ["load"]


def test_what_a_run_that_has_ended_hears_of_its_past_is_lost_and_is_told_again() -> None:
    """As the engine does, of each run that goes on."""
    world = World(
        dag(
            "load > fit > total; load > total",
            mapped={"load": 2, "fit": "load", "total": "fit"},
            each={"load": {"setup": True}},
            rules={"total": "always"},
        ),
        waits_past=("fit",),
    )
    world.tell(CancelAsked())
    _settle(world, "fit")
    assert not world.outcome
    world.tell(RetryAsked())
    assert world.launched() == ["load[0]", "load[1]"]
    world.succeed("load[0]", "load[1]")
    assert world.states() == {
        "load[0]": "success",
        "load[1]": "success",
        "fit": "none",
        "total": "none",
    }
    world.reload()
    assert world.launched() == []
    _settle(world, "fit")
    assert world.launched() == ["fit[0]", "fit[1]"]
    world.succeed("fit[0]", "fit[1]")
    assert world.launched() == ["total[0]", "total[1]"]
    world.succeed("total[0]")
    assert world.succeed("total[1]") == [CloseRun(RunState.SUCCESS)]
    assert world.states() == {
        "load[0]": "success",
        "load[1]": "success",
        "fit": "removed",
        "fit[0]": "success",
        "fit[1]": "success",
        "total": "removed",
        "total[0]": "success",
        "total[1]": "success",
    }
