"""`@task(cache=...)`: a result counts for equal code, inputs and parameters, and for nothing else."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

from mlflowkit import DAG, dag, task
from mlflowkit.app import make_request
from mlflowkit.handles.run import RunHandle
from tests.engine.conftest import World


def pipeline(place: Path, *, factor: int = 2, cache: Any = True) -> DAG:
    """`double` notes each time that it is really called."""

    @task
    def load(n: int) -> list[int]:
        return list(range(n))

    @task(cache=cache)
    def double(rows: list[int], day: str) -> list[int]:
        with place.open("a") as file:
            file.write("x")
        return [row * factor for row in rows]

    @dag(dag_id="kept")
    def d(n: int = 3, day: str = "monday") -> None:
        double(load(n), "{{ params.day }}")

    return d()


def calls(place: Path) -> int:
    return len(place.read_text()) if place.exists() else 0


def facts(run: RunHandle) -> dict[str, Any]:
    return run["double"].attempts()[-1].facts


def test_the_second_run_takes_the_result_of_the_first_and_says_so(
    world: World, tmp_path: Path
) -> None:
    place = tmp_path / "calls"
    first, second = (world.run(pipeline(place)) for _ in range(2))
    assert first["double"].result() == second["double"].result() == [0, 2, 4]
    assert calls(place) == 1
    assert "cached_by" not in facts(first)
    assert facts(second)["cached_by"] == first.run_id
    assert second.view().as_states() == {"load": "success", "double": "success"}
    assert f"cached: the result of {first.run_id} counts" in second.log("double")


def test_other_inputs_code_or_templates_make_a_result_of_their_own(
    world: World, tmp_path: Path
) -> None:
    place = tmp_path / "calls"
    world.run(pipeline(place))
    assert world.run(pipeline(place), n=4)["double"].result() == [0, 2, 4, 6]
    assert calls(place) == 2
    world.run(pipeline(place), day="tuesday")
    assert calls(place) == 3
    assert world.run(pipeline(place, factor=3))["double"].result() == [0, 3, 6]
    assert calls(place) == 4
    world.run(pipeline(place, factor=3))
    assert calls(place) == 4, "and each of them is kept"


def test_long_templates_that_differ_only_at_their_end_are_not_the_same(
    world: World, tmp_path: Path
) -> None:
    place = tmp_path / "calls"
    world.run(pipeline(place), day="x" * 10_000 + "1")
    world.run(pipeline(place), day="x" * 10_000 + "2")
    assert calls(place) == 2


def test_a_result_that_is_too_old_does_not_count(world: World, tmp_path: Path) -> None:
    place = tmp_path / "calls"
    for _ in range(2):
        world.run(pipeline(place, cache=timedelta(microseconds=1)))
    assert calls(place) == 2
    world.run(pipeline(place, cache=timedelta(days=1)))
    assert calls(place) == 2


def test_refresh_makes_it_anew_and_keeps_the_new_one(world: World, tmp_path: Path) -> None:
    place = tmp_path / "calls"
    d = pipeline(place)
    world.run(d)
    request = make_request(d, {}, {"refresh": True}, world.home)
    anew = RunHandle(world.engine.submit(request), world.home, d)
    world.finish(anew)
    assert calls(place) == 2
    third = world.run(d)
    assert calls(place) == 2
    assert facts(third)["cached_by"] == anew.run_id


def test_each_instance_of_a_mapped_task_has_its_own_result(
    world: World, tmp_path: Path
) -> None:
    place = tmp_path / "calls"

    @task(cache=True)
    def double(n: int) -> int:
        with place.open("a") as file:
            file.write("x")
        return 2 * n

    @task(cache=True)
    def total(numbers: Any) -> int:
        return sum(numbers)

    def d(numbers: list[int]) -> DAG:
        with DAG("mapped") as made:
            total(double.expand(n=numbers))
        return made

    first = world.run(d([1, 2, 3]))
    assert first["total"].result() == 12
    second = world.run(d([1, 2, 3]))
    assert (calls(place), second["total"].result()) == (3, 12)
    assert second["double"].result() == [2, 4, 6]
    third = world.run(d([1, 2, 4]))
    assert third["total"].result() == 14


def test_a_failure_is_not_kept(world: World, tmp_path: Path) -> None:
    place = tmp_path / "calls"

    @task(cache=True)
    def fails() -> int:
        with place.open("a") as file:
            file.write("x")
        raise ValueError("boom")

    with DAG("fails") as d:
        fails()
    for _ in range(2):
        assert world.run(d).state == "failed"
    assert calls(place) == 2
