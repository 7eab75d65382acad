"""What a screen is told: counts, strips, groups, patches, progress; whole answers compared."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from mlflowkit.core import screen, screen_groups
from mlflowkit.core.machine import InstanceRow, NodeRow
from mlflowkit.core.patches import Changes
from mlflowkit.core.progress import CURVE_POINTS, AttemptProgress
from mlflowkit.core.screen import STRIP_PLACES, Tally, TaskRows
from mlflowkit.core.screen_actions import run_actions
from mlflowkit.core.spec import (
    Axis,
    DagId,
    DagSpec,
    EdgeLabel,
    Expansion,
    GroupSpec,
    TaskId,
    TaskSpec,
)
from mlflowkit.core.states import TaskState

NOW = datetime(2024, 5, 1, 8, tzinfo=UTC)
FIT = TaskId("fit")


def mapped(length: int) -> TaskSpec:
    axes = (Axis(name="x", length=length),)
    return TaskSpec(task_id=FIT, expansion=Expansion(axes=axes))


def rows(length: int, started: int, *tallies: Tally, places: str = "") -> TaskRows:
    node = NodeRow(task_id=FIT, length=length, next_index=started)
    letters = {letter: state for state, letter in screen.LETTERS.items()}
    found = frozenset((i, letters[p]) for i, p in enumerate(places) if p != " ")
    return TaskRows(node=node, tallies=list(tallies), places=found)


def told(task: TaskSpec, of: TaskRows, **how: bool) -> dict[str, object]:
    return screen.task_state(task, of, **{"cancelled": False, "over": False, **how})


def test_a_mapped_task_is_counts_and_a_strip_also_of_those_without_a_row() -> None:
    later = NOW + timedelta(seconds=2)
    of = rows(
        6,
        4,
        Tally(state=TaskState.SUCCESS, count=2, started_at=NOW, ended_at=later),
        Tally(state=TaskState.FAILED, count=1, started_at=later, ended_at=later),
        Tally(state=TaskState.RUNNING, count=1, started_at=later),
        places="sfsr",
    )
    assert told(mapped(6), of) == {
        "state": "running",
        "reason": "",
        "attempt": 0,
        "failures": 0,
        "alarm": None,
        "queued": None,
        "actions": [],
        "started": 1714550400000,
        "ended": None,
        "total": 6,
        "counts": {"success": 2, "failed": 1, "running": 1, "scheduled": 2},
        "strip": "s1f1s1r1c2",
    }


def test_a_cancelled_run_has_skipped_what_never_started() -> None:
    of = rows(5, 2, Tally(state=TaskState.FAILED, count=2, ended_at=NOW), places="ff")
    found = told(mapped(5), of, cancelled=True, over=True)
    assert (found["counts"], found["strip"]) == ({"failed": 2, "skipped": 3}, "f2k3")
    assert (found["state"], found["ended"], found["actions"]) == (
        "failed",
        1714550400000,
        ["clear", "clear_only", "mark_success"],
    )


def test_a_strip_stays_short_and_a_failure_is_never_lost_in_it() -> None:
    many = 100_000
    size = screen.place_size(many)
    of = rows(many, many, Tally(state=TaskState.SUCCESS, count=many - 1))
    of.tallies.append(Tally(state=TaskState.FAILED, count=1))
    everywhere = {(place, TaskState.SUCCESS) for place in range(STRIP_PLACES)}
    of.places = frozenset(everywhere | {(7, TaskState.FAILED)})
    assert -(-many // size) <= STRIP_PLACES
    assert told(mapped(many), of)["strip"] == "s7f1s112"


def test_one_that_was_not_expanded_says_so_and_one_that_waits_says_until_when() -> None:
    assert told(mapped(3), TaskRows(node=NodeRow(task_id=FIT)))["total"] is None
    waits = InstanceRow(task_id=FIT, state=TaskState.UP_FOR_RETRY, attempt=1, failures=1)
    waits.alarm, waits.reason = NOW, "boom"
    found = told(TaskSpec(task_id=FIT), TaskRows(node=NodeRow(task_id=FIT), single=waits))
    assert found == {
        "state": "up_for_retry",
        "reason": "boom",
        "attempt": 1,
        "failures": 1,
        "alarm": 1714550400000,
        "queued": None,
        "actions": ["retry_now", "give_up", "mark_success"],
        "started": None,
        "ended": None,
    }


def test_what_may_be_asked_of_a_run_follows_from_its_state() -> None:
    asked = [
        run_actions(state, interrupted=interrupted, cancelled=cancelled)
        for state, interrupted, cancelled in (
            ("running", False, False),
            ("running", False, True),
            ("running", True, False),
            ("failed", False, False),
            ("success", False, False),
        )
    ]
    assert asked == [["cancel"], [], ["resume", "cancel"], ["retry"], []]


def nested() -> DagSpec:
    """a → [outer: b → [inner: c → d]] → e"""
    chain = {"a": (), "outer.b": ("a",), "outer.inner.c": ("outer.b",)}
    chain |= {"outer.inner.d": ("outer.inner.c",), "e": ("outer.inner.d", "a")}
    tasks = {
        TaskId(name): TaskSpec(task_id=TaskId(name), upstream=tuple(map(TaskId, up)))
        for name, up in chain.items()
    }
    groups = {
        "outer": GroupSpec(group_id="outer", tasks=(TaskId("outer.b"),), label="Outer"),
        "outer.inner": GroupSpec(
            group_id="outer.inner",
            parent="outer",
            tasks=(TaskId("outer.inner.c"), TaskId("outer.inner.d")),
        ),
    }
    labels = (EdgeLabel(TaskId("outer.inner.d"), TaskId("e"), "done"),)
    return DagSpec(dag_id=DagId("n"), tasks=tasks, groups=groups, edge_labels=labels)


def test_a_folded_group_stands_for_all_in_it_and_keeps_the_arrows_to_it() -> None:
    spec = nested()
    inner = screen_groups.with_folded(spec, {"outer.inner"})
    assert [b.box_id for b in inner.boxes] == ["a", "outer.b", "group:outer.inner", "e"]
    assert inner.open_groups == (("outer", ""),)
    outer = screen_groups.with_folded(spec, {"outer", "outer.inner", "nobody"})
    assert [tuple(a) for a in outer.arrows] == [
        ("a", "group:outer", ""),
        ("group:outer", "e", "done"),
        ("a", "e", ""),
    ]
    assert outer.open_groups == ()
    whole = screen_groups.with_folded(spec, ())
    assert whole.open_groups == (("outer", ""), ("outer.inner", "outer"))
    assert [t["label"] for t in screen.task_facts(spec, screen.groups_of_tasks(spec))] == [
        "a",
        "b",
        "c",
        "d",
        "e",
    ]


def test_a_group_shows_the_loudest_state_of_all_in_it() -> None:
    states = dict.fromkeys(nested().tasks, TaskState.SUCCESS)
    states[TaskId("outer.inner.d")] = TaskState.FAILED
    assert screen_groups.group_states(nested(), states) == {
        "outer": {"state": "failed", "counts": {"success": 2, "failed": 1}, "total": 3},
        "outer.inner": {
            "state": "failed",
            "counts": {"success": 1, "failed": 1},
            "total": 2,
        },
    }


def test_a_patch_has_what_changed_since_its_cursor_and_nothing_else() -> None:
    changes = Changes("x")
    assert changes.put({"a": {"state": "none", "n": 1}, "b": {"state": "none"}})
    first = changes.cursor
    assert not changes.put({"a": {"state": "none", "n": 1}})
    assert changes.cursor == first
    assert changes.put({"a": {"state": "running", "n": 1}})
    second = changes.cursor
    assert changes.put({"a": {"state": "success"}, "b": {"state": "queued"}})
    assert changes.since(first) == {"a": {"state": "success"}, "b": {"state": "queued"}}
    assert changes.since(second) == changes.since(first)
    assert changes.since(changes.cursor) == {}
    assert changes.since("x:0") == changes.all()
    foreign = ["y:1", "", "x:99", "x:-1", "x:one"]
    assert [changes.knows(cursor) for cursor in foreign] == [False] * 5


def test_progress_is_told_by_cells_and_by_what_they_report() -> None:
    progress = AttemptProgress()
    assert progress.facts() is None
    progress.take({"kind": "notebook_started", "cells": 4})
    assert progress.facts() == {"text": "starts, 4 cells", "share": 0.0, "cell": -1}
    progress.take({"kind": "cell_started", "cell": 1, "source": "import x"})
    progress.take({"kind": "cell_started", "cell": 3, "source": "train()"})
    report = {"kind": "progress", "epoch": 1, "epochs": 4, "loss": 0.5, "note": "<b>"}
    progress.take(report)
    assert progress.facts() == {
        "text": "cell 2 of 4: epoch 1/4, loss 0.500, note <b>",
        "share": 0.312,
        "cell": 3,
    }
    for _ in range(5 * CURVE_POINTS):
        progress.take({"kind": "progress", "loss": 0.25, "done": True})
    (curve,) = progress.curve_facts()
    assert (curve["name"], curve["y"][0], curve["y"][-1]) == ("loss", 0.5, 0.25)
    assert len(curve["x"]) <= CURVE_POINTS


def test_odd_notes_of_a_task_break_nothing() -> None:
    progress = AttemptProgress()
    for note in (
        {"kind": "notebook_started", "cells": "many"},
        {"kind": "progress", "done": "half", "total": -3, "epoch": None},
        {"kind": "progress", "total": 2, "done": 9e99},
        {"kind": 7},
        {},
    ):
        progress.take(note)
    facts = progress.facts()
    assert facts is not None
    assert facts["share"] == 1.0
