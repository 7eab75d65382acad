"""Orders that wait: each run's in their order, the runs in turn."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from mlflowkit.core.spec import AttemptId, RunId, TaskId
from mlflowkit.executors.waiting import Waiting
from mlflowkit.ports import LaunchOrder, Surroundings


def order(run: str, index: int, task: str = "t", **options: Any) -> LaunchOrder:
    around = Surroundings(python="", env={}, cwd="/", sys_path=(), umask=0o22)
    made = LaunchOrder(
        attempt=AttemptId(RunId(run), TaskId(task), index, 1),
        try_number=1,
        max_tries=1,
        bundle="",
        surroundings=around,
        params_json=b"{}",
        facts_json=b"{}",
    )
    return replace(made, **options)


def names(orders: list[LaunchOrder]) -> str:
    return " ".join(f"{one.attempt.run_id}{one.attempt.map_index}" for one in orders)


def filled(*orders: LaunchOrder) -> Waiting:
    waiting = Waiting()
    for one in orders:
        waiting.put(one)
    return waiting


def test_a_run_with_many_orders_leaves_places_to_the_others() -> None:
    waiting = filled(*(order("a", n) for n in range(4)), order("b", 0), order("c", 0))
    assert names([waiting.take({}) for _ in range(6)]) == "a0 b0 c0 a1 a2 a3"
    assert not waiting


def test_whoever_has_fewest_places_is_next_and_what_is_put_back_comes_first() -> None:
    waiting = filled(*(order("a", n) for n in range(2)), *(order("b", n) for n in range(3)))
    taken = [waiting.take({"a": 2, "b": 1}) for _ in range(2)]
    assert names(taken) == "b0 b1"
    waiting.put_back(taken)
    assert names([waiting.take({"a": 1}) for _ in range(3)]) == "b0 b1 b2"
    assert names(list(waiting)) == "a0 a1"


def test_only_orders_of_the_same_task_that_share_a_process_are_given_ahead() -> None:
    alone = order("a", 1, isolate=True)
    waiting = filled(order("a", 0), alone, order("a", 2))
    assert waiting.take_next_of("b", "t") is None
    assert waiting.take_next_of("a", "other") is None
    first = waiting.take_next_of("a", "t")
    assert first is not None and names([first]) == "a0"
    assert waiting.take_next_of("a", "t") is None
    waiting.remove(alone)
    assert names(list(waiting)) == "a2"
