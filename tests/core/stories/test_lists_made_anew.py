"""What runs again and what it expands over: an instance never has an item of a list of before."""

from __future__ import annotations

from mlflowkit.core.decisions import CloseRun
from mlflowkit.core.events import CancelAsked, MarkAsked, RetryAsked
from mlflowkit.core.spec import TaskId
from mlflowkit.core.states import RunState
from tests.core.world import World, dag

FIT = TaskId("fit")


def test_an_instance_waits_for_the_list_that_is_made_anew_whatever_its_rule() -> None:
    """Named together with what it expands over: it never begins with the item of before."""
    world = World(
        dag(
            "load > fit > total; load > total",
            mapped={"load": 2, "fit": "load", "total": "fit"},
            each={"load": {"setup": True}},
            rules={"total": "always"},
        )
    )
    for name in ("load", "fit", "total"):
        world.places(9)
        world.succeed(f"{name}[0]", f"{name}[1]")
    world.tell(RetryAsked((FIT,), True, {TaskId("total"): (1,)}))
    assert world.states() == {
        "load[0]": "success",
        "load[1]": "success",
        "fit[0]": "scheduled",
        "fit[1]": "scheduled",
        "total[0]": "success",
        "total[1]": "none",
    }
    world.reload()
    assert world.launched() == ["fit[0]", "fit[1]"]
    world.succeed("fit[0]")
    assert world.launched() == []
    world.succeed("fit[1]")
    assert world.launched() == ["total[1]"]
    assert world.succeed("total[1]") == [CloseRun(RunState.SUCCESS)]


def test_if_the_list_is_not_made_again_the_instance_does_not_run() -> None:
    for said, after in (("failed", "upstream_failed"), ("skipped", "skipped")):
        world = World(dag("load > fit", mapped={"fit": "load"}, rules={"fit": "all_done"}))
        world.places(1)
        world.succeed("load", length=2)
        world.places(2)
        world.succeed("fit[0]", "fit[1]")
        world.tell(RetryAsked((TaskId("load"),), True, {FIT: (1,)}))
        assert world.launched() == ["load"]
        world.fail("load") if said == "failed" else world.skip("load")
        assert world.states() == {"load": said, "fit[0]": "success", "fit[1]": after}
        verb = "failed" if said == "failed" else "was skipped"
        assert world.reason("fit[1]") == f"task 'load' {verb}"
        assert world.run.ended


def test_in_a_mapped_group_each_index_waits_for_the_list_and_for_nothing_else() -> None:
    """`other` may still be at it when the list is there."""
    drawing = "load > a > b; other > b"
    world = World(
        dag(
            drawing,
            mapped={"a": "load", "b": "load"},
            group="a b",
            rules={"b": "one_failed"},
        )
    )
    world.places(2)
    world.succeed("load", length=2)
    world.places(2)
    world.fail("a[0]")
    world.fail("a[1]")
    world.places(2)
    world.succeed("b[0]", "b[1]", "other")
    world.tell(RetryAsked((TaskId("load"), TaskId("other")), True, {TaskId("b"): (1,)}))
    waiting = {
        "load": "scheduled",
        "other": "scheduled",
        "a[0]": "failed",
        "a[1]": "failed",
        "b[0]": "success",
        "b[1]": "none",
    }
    assert world.states() == waiting
    world.reload()
    assert world.launched() == ["load", "other"]
    world.succeed("load", length=2)
    assert world.launched() == ["b[1]"]
    world.succeed("b[1]")
    assert world.succeed("other") == [CloseRun(RunState.SUCCESS)]
    assert set(world.states().values()) == {"success", "failed"}


def _loaded(length: int, *, mapped: tuple[str | int, ...] = ("load",)) -> World:
    """`fit` over what `load` gave; all went well."""
    world = World(dag("load > fit > total", mapped={"fit": mapped}))
    world.places(1)
    world.succeed("load", length=length)
    world.places(9)
    each = 2 if len(mapped) > 1 else 1
    world.succeed(*(f"fit[{i}]" for i in range(length * each)))
    world.places(1)
    world.succeed("total")
    return world


def test_an_instance_that_has_no_item_any_more_fails_and_takes_nobody_elses() -> None:
    world = _loaded(4)
    world.tell(RetryAsked((), True, {FIT: (3,)}))
    assert world.launched() == ["fit[3]"], "there is one for it so far"
    world.succeed("fit[3]")
    world.tell(RetryAsked((TaskId("load"),), True, {FIT: (1, 3)}))
    assert world.launched() == ["load"]
    world.succeed("load", length=3)
    assert world.launched() == ["fit[1]"]
    world.reload()
    assert world.states() == {
        "load": "success",
        "fit[0]": "success",
        "fit[1]": "queued",
        "fit[2]": "success",
        "fit[3]": "failed",
        "total": "success",
    }
    assert world.reason("fit[3]") == (
        "what it expands over has 3 items now, and none for it: clear task 'fit' as a whole"
    )
    world.succeed("fit[1]")
    world.tell(RetryAsked((FIT,)))
    assert world.launched() == ["fit[0]", "fit[1]", "fit[2]"]
    assert world.states()["fit[3]"] == "removed", "cleared as a whole, it is expanded anew"


def test_with_several_lists_the_last_of_them_has_no_item_either() -> None:
    """6 of before would be 0 of now, if it were counted on."""
    world = _loaded(4, mapped=("load", 2))
    world.tell(RetryAsked((TaskId("load"),), True))
    world.places(1)
    world.succeed("load", length=3)
    for index, after in ((5, "scheduled"), (6, "failed")):
        world.tell(RetryAsked((), True, {FIT: (index,)}))
        assert world.states()[f"fit[{index}]"] == after
        world.launched()
        if after == "scheduled":
            world.succeed(f"fit[{index}]")


def test_those_that_a_cancelled_run_never_started_need_an_item_too() -> None:
    world = World(dag("load > fit > total", mapped={"fit": "load"}))
    world.places(1)
    world.succeed("load", length=5)
    world.places(1)
    world.tell(CancelAsked())
    world.succeed("fit[0]")
    world.tell(MarkAsked(TaskId("load"), (), "failed"))
    assert world.states()["fit[1:5]"] == "not queued"
    world.tell(RetryAsked())
    assert world.launched() == ["load"]
    world.succeed("load", length=2)
    assert world.launched() == ["fit[1]"]
    assert world.states() == {
        "load": "success",
        "fit[0]": "success",
        "fit[1]": "queued",
        "fit[2]": "failed",
        "fit[3]": "failed",
        "fit[4]": "failed",
        "total": "upstream_failed",
    }


def test_in_a_mapped_group_what_has_no_item_any_more_fails_by_its_index() -> None:
    world = World(dag("load > a > b > end", mapped={"a": "load", "b": "load"}, group="a b"))
    world.places(1)
    world.succeed("load", length=3)
    for name in ("a", "b"):
        world.places(9)
        world.succeed(*(f"{name}[{i}]" for i in range(3)))
    world.places(1)
    world.succeed("end")
    some = {TaskId("a"): (1,), TaskId("b"): (0, 2)}
    world.tell(RetryAsked((TaskId("load"),), True, some))
    world.reload()
    world.places(1)
    world.succeed("load", length=2)
    assert world.launched() == ["a[1]", "b[0]"]
    assert world.states() == {
        "load": "success",
        "a[0]": "success",
        "a[1]": "queued",
        "a[2]": "success",
        "b[0]": "queued",
        "b[1]": "success",
        "b[2]": "failed",
        "end": "success",
    }


def test_in_a_mapped_group_nothing_waits_for_an_index_that_is_gone() -> None:
    """`a` is expanded anew, `b` as it was: there is no a[2] that b[2] could wait for."""
    spec = dag("load > a > b > end", mapped={"a": "load", "b": "load"}, group="a b")
    world = World(spec)
    world.places(1)
    world.succeed("load", length=3)
    for name in ("a", "b"):
        world.places(9)
        world.succeed(*(f"{name}[{i}]" for i in range(3)))
    world.places(1)
    world.succeed("end")
    both = (TaskId("load"), TaskId("a"))
    world.tell(RetryAsked(both, True, {TaskId("b"): (1, 2)}))
    world.reload()
    world.places(1)
    world.succeed("load", length=2)
    assert world.launched() == ["a[0]", "a[1]"]
    assert world.states() == {
        "load": "success",
        "a[0]": "queued",
        "a[1]": "queued",
        "a[2]": "removed",
        "b[0]": "success",
        "b[1]": "none",
        "b[2]": "failed",
        "end": "success",
    }
    world.succeed("a[0]", "a[1]")
    assert world.launched() == ["b[1]"]
    assert world.succeed("b[1]") == [CloseRun(RunState.SUCCESS)], (
        "the leaf says how it ends"
    )
