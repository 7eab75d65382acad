"""What each trigger rule makes of how the tasks above ended. The tables are worked out by hand
from Airflow's page on trigger rules, and from what its scheduler does where that is silent.
"""

from __future__ import annotations

import pytest

from tests.core.world import World, dag

#: s: success, f: failed, k: skipped, u: upstream_failed.
#: R: it runs, S: it is skipped, U: it is upstream_failed, W: it waits.
TELL = {"s": "succeed", "f": "fail", "k": "skip"}
OUTCOMES = {"R": "scheduled", "S": "skipped", "U": "upstream_failed", "W": "none"}

BOTH_ENDED = """
                             ss sf sk su ff fk fu kk ku uu
all_success                  R  U  S  U  U  U  U  S  S  U
all_failed                   S  S  S  S  R  S  R  S  S  R
all_done                     R  R  R  R  R  R  R  R  R  R
all_skipped                  S  S  S  S  S  S  S  R  S  S
one_success                  R  R  R  R  U  U  U  S  U  U
one_failed                   S  R  S  R  R  R  R  S  R  R
one_done                     R  R  R  R  R  R  R  S  S  S
none_failed                  R  U  R  U  U  U  U  R  U  U
none_failed_min_one_success  R  U  R  U  U  U  U  S  U  U
none_skipped                 R  R  S  R  R  S  R  S  S  R
all_done_min_one_success     R  R  S  R  U  S  U  S  S  U
all_done_setup_success       R  R  R  R  R  R  R  R  R  R
always                       R  R  R  R  R  R  R  R  R  R
"""

ONE_STILL_RUNS = """
                             s  f  k  u
all_success                  W  U  S  U
all_failed                   S  W  S  W
all_done                     W  W  W  W
all_skipped                  S  S  W  S
one_success                  R  W  W  W
one_failed                   W  R  W  R
one_done                     R  R  W  W
none_failed                  W  U  W  U
none_failed_min_one_success  W  U  W  U
none_skipped                 W  W  S  W
all_done_min_one_success     W  W  S  W
all_done_setup_success       W  W  W  W
always                       R  R  R  R
"""


def _rows(table: str) -> list[tuple[str, str, str]]:
    """(rule, how those above ended, what follows) for each cell."""
    head, *lines = table.strip().splitlines()
    found = [line.split() for line in lines]
    ends = head.split()
    return [
        (rule, e, OUTCOMES[o])
        for rule, *cells in found
        for e, o in zip(ends, cells, strict=True)
    ]


def _let_end(world: World, name: str, how: str) -> None:
    """`name` has a task `x<name>` above it, which fails for "u"."""
    above = f"x{name}"
    if how == "u":
        world.fail(above)
        return
    world.succeed(above)
    world.places(9)
    getattr(world, TELL[how])(name)


def _two_above(rule: str) -> World:
    world = World(dag("xa > a > down; xb > b > down", rules={"down": rule}))
    world.places(9)
    return world


@pytest.mark.parametrize(("rule", "ends", "outcome"), _rows(BOTH_ENDED))
def test_with_two_above_that_ended(rule: str, ends: str, outcome: str) -> None:
    world = _two_above(rule)
    _let_end(world, "a", ends[0])
    _let_end(world, "b", ends[1])
    started = world.states()["down"].replace("queued", "scheduled")
    assert started == outcome


@pytest.mark.parametrize(("rule", "end", "outcome"), _rows(ONE_STILL_RUNS))
def test_it_starts_or_is_closed_as_soon_as_nothing_can_change_it(
    rule: str, end: str, outcome: str
) -> None:
    world = _two_above(rule)
    _let_end(world, "a", end)
    assert world.states()["down"].replace("queued", "scheduled") == outcome


#: The instances of one mapped task above, the last of which still runs.
MAPPED = """
                             ss sf sk fk
all_success                  W  U  S  U
all_failed                   S  S  S  S
all_done                     W  W  W  W
all_skipped                  S  S  S  S
one_success                  R  R  R  W
one_failed                   W  R  W  R
one_done                     R  R  R  R
none_failed                  W  U  W  U
none_failed_min_one_success  W  U  W  U
none_skipped                 W  W  S  S
all_done_min_one_success     W  W  S  S
all_done_setup_success       W  W  W  W
"""


@pytest.mark.parametrize(("rule", "ends", "outcome"), _rows(MAPPED))
def test_each_instance_of_a_mapped_task_counts(rule: str, ends: str, outcome: str) -> None:
    world = World(dag("fit > down", mapped={"fit": 3}, rules={"down": rule}))
    world.places(3)
    for index, how in enumerate(ends):
        getattr(world, TELL[how])(f"fit[{index}]")
    assert world.states()["down"] == outcome


@pytest.mark.parametrize(
    ("rule", "outcome"),
    [
        ("all_success", "skipped"),
        ("all_failed", "skipped"),
        ("all_done", "scheduled"),
        ("all_skipped", "scheduled"),
        ("one_success", "skipped"),
        ("one_failed", "skipped"),
        ("one_done", "skipped"),
        ("none_failed", "scheduled"),
        ("none_failed_min_one_success", "skipped"),
        ("none_skipped", "skipped"),
        ("all_done_min_one_success", "skipped"),
        ("always", "scheduled"),
    ],
)
def test_an_expansion_to_nothing_counts_as_one_skip(rule: str, outcome: str) -> None:
    world = World(dag("load > fit > down", mapped={"fit": "load"}, rules={"down": rule}))
    world.places(1)
    world.succeed("load", length=0)
    assert world.states()["down"].replace("queued", "scheduled") == outcome


def test_a_task_without_upstream_starts_under_every_rule() -> None:
    rules = [line.split()[0] for line in BOTH_ENDED.strip().splitlines()[1:]]
    world = World(dag("; ".join(rules), rules={rule: rule for rule in rules}))
    assert sorted(world.launched()) == sorted(rules)


def test_what_is_expanded_over_is_waited_for_under_every_rule() -> None:
    """`one_success` is met by `other`; how many there are is known when `load` ends."""
    world = World(
        dag(
            "load > fit; other > fit",
            mapped={"fit": "load"},
            rules={"fit": "one_success"},
        )
    )
    world.places(2)
    world.succeed("other")
    assert "fit" not in world.states()
    world.succeed("load", length=2)
    assert world.launched() == ["fit[0]", "fit[1]"]


@pytest.mark.parametrize(
    ("how", "outcome"), [("fail", "upstream_failed"), ("skip", "skipped")]
)
def test_without_what_it_expands_over_a_task_cannot_run_whatever_its_rule(
    how: str, outcome: str
) -> None:
    world = World(dag("load > fit", mapped={"fit": "load"}, rules={"fit": "all_done"}))
    world.places(1)
    getattr(world, how)("load")
    assert world.states()["fit"] == outcome


def test_a_task_that_expands_over_part_of_a_mapped_one_takes_what_succeeded() -> None:
    drawing = "clean > fit"
    world = World(
        dag(drawing, mapped={"clean": 3, "fit": "clean"}, rules={"fit": "all_done"})
    )
    world.places(3)
    world.fail("clean[1]")
    world.succeed("clean[0]", "clean[2]")
    assert world.launched() == ["fit[0]", "fit[1]"]


def test_why_it_was_closed_is_said() -> None:
    rules = {"one": "one_success", "all": "all_failed", "none": "none_skipped"}
    world = World(dag("a > one; a > all; b > none", rules=rules))
    world.places(2)
    world.fail("a")
    world.skip("b")
    assert world.reason("one") == "task 'a' failed"
    assert world.reason("none") == "task 'b' was skipped"
    assert world.states()["all"] == "scheduled"
    world = World(dag("a > all", rules={"all": "all_failed"}))
    world.places(1)
    world.succeed("a")
    assert world.reason("all") == "its trigger rule all_failed cannot be met"
