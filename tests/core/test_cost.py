"""An event costs O(out-degree of its task), whatever the size of the run.

Counted in calls (Python functions and C functions), not in seconds: the same on every machine.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

import pytest

from mlflowkit.core.events import (
    AttemptFailed,
    AttemptLost,
    AttemptSkipped,
    AttemptStarted,
    AttemptSucceeded,
    Event,
    PlacesOffered,
    RunOpened,
    TimePassed,
)
from mlflowkit.core.machine import Run, RunRow, handle, load
from mlflowkit.core.spec import AttemptId, DagSpec, RetryPolicy
from tests.core.world import NOON, RUN, dag

SMALL, LARGE = 100, 10_000
KINDS: dict[str, Callable[[AttemptId], Event]] = {
    "started": AttemptStarted,
    "succeeded": AttemptSucceeded,
    "skipped": AttemptSkipped,
    "failed": lambda at: AttemptFailed(at, "boom", retryable=False),
    "failed once": lambda at: AttemptFailed(at, "boom"),
    "lost": lambda at: AttemptLost(at, "gone"),
    "old mail": lambda at: AttemptLost(at._replace(number=7), "gone"),
    "places": lambda _: PlacesOffered(1),
    "time": lambda _: TimePassed(),
}


def mapped(size: int) -> DagSpec:
    """One task mapped over `size` items, then one."""
    retry = RetryPolicy(retries=1)
    return dag("fit > report", mapped={"fit": size}, retry=retry, limit=size)


def chains(size: int) -> DagSpec:
    """`size` tasks: chains of ten."""
    lines = (" > ".join(f"t{i}x{j}" for j in range(10)) for i in range(size // 10))
    return dag("; ".join(lines), retry=RetryPolicy(retries=1))


def grouped(size: int) -> DagSpec:
    """A mapped group of two tasks over `size` items, then one; a pool and limits everywhere."""
    limits = {"pool": "gpu", "max_active_tis_per_dagrun": 50, "max_active_tis_per_dag": 50}
    return dag(
        "clean > fit > report; other > fit",
        mapped={"clean": size, "fit": size},
        group="clean fit",
        each={"clean": limits, "fit": limits | {"priority_weight": 2}},
        retry=RetryPolicy(retries=1),
        limit=size,
        max_active_tasks=100,
    )


def calls(run: Run, event: Event) -> int:
    """How many calls one event makes."""
    count = 0

    def tick(_frame: FrameType, what: str, _arg: Any) -> None:
        nonlocal count
        count += what in ("call", "c_call")

    gc.disable()  # others' callbacks are not the machine's calls
    sys.setprofile(tick)
    try:
        handle(run, event, NOON)
    finally:
        sys.setprofile(None)
        gc.enable()
    return count


def in_the_middle(spec: DagSpec) -> tuple[Run, AttemptId]:
    """Two attempts out, all else waiting; and the second of them."""
    run = Run(spec, RunRow(run_id=RUN))
    handle(run, RunOpened(), NOON)
    handle(run, PlacesOffered(2, {"gpu": 9}), NOON)
    return run, list(run.live_attempts())[1]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape", [mapped, chains, grouped])
def test_an_event_costs_the_same_in_a_run_of_10000_as_in_one_of_100(
    shape: Callable[[int], DagSpec], kind: str
) -> None:
    costs: list[int] = []
    for size in SMALL, LARGE:
        run, attempt = in_the_middle(shape(size))
        costs.append(calls(run, KINDS[kind](attempt)))
    assert costs[1] == costs[0]
    assert costs[0] < (900 if shape is chains else 200), (
        "a failure is told to the eight below"
    )


@pytest.mark.parametrize("kind", ["succeeded", "places", "lost"])
def test_it_costs_no_more_near_the_end_than_at_the_start(kind: str) -> None:
    """What has ended is counted, not looked at."""
    costs: list[int] = []
    for ended in 10, LARGE - 10:
        run, _ = in_the_middle(mapped(LARGE))
        handle(run, PlacesOffered(ended), NOON)
        for attempt in list(run.live_attempts())[:-1]:
            handle(run, AttemptSucceeded(attempt), NOON)
        (last,) = run.live_attempts()
        costs.append(calls(run, KINDS[kind](last)))
    assert costs[1] == costs[0]


@pytest.mark.parametrize("end", ["succeeded", "failed"])
def test_in_a_mapped_group_what_is_outside_is_told_to_each_index_once(end: str) -> None:
    """Not once more with each task instance that ends after that."""
    costs: list[int] = []
    for size in SMALL, LARGE:
        spec = dag(
            "clean > fit; many > fit",
            mapped={"clean": size, "fit": size, "many": size},
            group="clean fit",
            rules={"fit": "one_failed" if end == "failed" else "one_success"},
            limit=size,
        )
        run = Run(spec, RunRow(run_id=RUN))
        handle(run, RunOpened(), NOON)
        handle(run, PlacesOffered(size + 2), NOON)
        first, second = [a for a in run.live_attempts() if a.task_id == "many"]
        handle(run, KINDS[end](first), NOON)
        costs.append(calls(run, KINDS[end](second)))
    assert costs[1] == costs[0] < 200


def test_it_costs_as_much_as_there_are_tasks_that_wait_for_it() -> None:
    costs: list[int] = []
    for width in 10, 20, 30:
        spec = dag("; ".join(["load", *(f"load > fit{i}" for i in range(width))]))
        run = Run(spec, RunRow(run_id=RUN))
        handle(run, RunOpened(), NOON)
        handle(run, PlacesOffered(1), NOON)
        (attempt,) = run.live_attempts()
        costs.append(calls(run, AttemptSucceeded(attempt)))
    assert costs[2] - costs[1] == costs[1] - costs[0] > 0


def test_it_costs_the_same_in_a_run_that_was_loaded() -> None:
    run, attempt = in_the_middle(mapped(SMALL))
    rows = [row for node in run.nodes.values() for row in node.instances.values()]
    again = load(run.spec, run.row, [n.row for n in run.nodes.values()], rows)
    loaded = calls(again, PlacesOffered(1))
    assert loaded == calls(in_the_middle(mapped(SMALL))[0], PlacesOffered(1))
    assert attempt in set(again.live_attempts())
