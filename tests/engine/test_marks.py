"""A person says how a task ended, with a real engine, real workers and a real store."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from mlflowkit import dag, task
from mlflowkit.core.spec import RunId, TaskId
from mlflowkit.engine_commands import Commands
from mlflowkit.errors import RunNotFound, TaskNotInRun
from mlflowkit.handles.run import RunHandle
from tests.engine.conftest import World

SAID = "marked success by a person"


def _mark(
    world: World, run: RunHandle, name: str, state: str, index: int | None = -1
) -> str:
    indexes = () if index is None else (index,)
    return world.engine.mark(RunId(run.run_id), TaskId(name), indexes, state)


def _states(run: RunHandle) -> dict[str, str]:
    return {task.task_id: str(task.state) for task in run.view().tasks}


def test_what_runs_is_killed_and_what_waits_for_it_pulls_none(
    world: World, tmp_path: Path
) -> None:
    asleep = tmp_path / "asleep"

    @task
    def fit() -> int:
        asleep.touch()
        time.sleep(600)
        return 1

    @task
    def report(value: int | None) -> str:
        return f"got {value}"

    @dag
    def d() -> None:
        report(fit())

    run = world.submit(d())
    world.until(asleep.exists)
    assert _mark(world, run, "fit", "success") == ""
    world.finish(run)
    assert _states(run) == {"fit": "success", "report": "success"}
    assert run["report"].result() == "got None"
    assert run["fit"].result() is None
    assert run.view().task("fit").reason == SAID
    assert [a.outcome for a in run["fit"].attempts()] == ["failed"]


def test_a_run_that_failed_goes_on_below_what_is_marked_and_back(world: World) -> None:
    @task
    def load() -> int:
        return 7

    @task
    def fit(n: int) -> int:
        raise ValueError("boom")

    @task
    def report(value: int | None, n: int) -> str:
        return f"{value} of {n}"

    @dag
    def d() -> None:
        n = load()
        report(fit(n), n)

    run = world.run(d())
    assert _states(run) == {"load": "success", "fit": "failed", "report": "upstream_failed"}
    assert _mark(world, run, "fit", "success") == ""
    world.finish(run)
    assert (run.state, run["report"].result()) == ("success", "None of 7")
    assert _mark(world, run, "report", "failed") == ""
    world.finish(run)
    assert (run.state, _states(run)["report"]) == ("failed", "failed")
    assert _mark(world, run, "report", "success") == ""
    world.finish(run)
    assert (run.state, run["report"].result()) == ("success", None)
    assert world.engine._owned == {}


def test_a_mapped_task_is_marked_whole_or_by_its_index(world: World) -> None:
    @task
    def half(n: int) -> float:
        if n > 1:
            raise ValueError("too large")
        return n / 2

    @task
    def total(values: list[float]) -> float:
        return sum(values)

    @dag
    def d() -> None:
        total(half.expand(n=[1, 2, 3]))

    run = world.run(d())
    both = RunId(run.run_id), TaskId("half"), (1, 0)
    assert world.engine.mark(*both, "success") == "half[0]: it is success already"
    assert world.engine.mark(*both, "failed") == "half[1]: it is failed already"
    assert _mark(world, run, "half", "success", 1) == ""
    world.finish(run)
    assert run.state == "failed"
    assert _mark(world, run, "half", "success", None) == ""
    world.finish(run)
    assert (run.state, run["total"].result()) == ("success", 0.5)
    states = [(i.map_index, i.reason) for i in run.view().task("half").instances]
    assert states == [(0, ""), (1, SAID), (2, SAID)]
    assert world.engine.mark(*both, "failed") == ""
    world.finish(run)
    states = [(i.map_index, str(i.state)) for i in run.view().task("half").instances]
    assert states == [(0, "failed"), (1, "failed"), (2, "success")]


def test_why_nothing_was_marked_is_said(world: World) -> None:
    @task
    def fit() -> None:
        pass

    @task
    def each(n: int) -> None:
        pass

    @dag
    def d() -> None:
        fit()
        each.expand(n=[1])

    run = world.run(d())
    assert _mark(world, run, "fit", "success") == "it is success already"
    assert _mark(world, run, "each", "success", 7) == "it has no task instance yet"
    with pytest.raises(TaskNotInRun):
        _mark(world, run, "nobody", "success")
    with pytest.raises(RunNotFound):
        world.engine.mark(RunId("d/99"), TaskId("fit"), (), "success")
    answers: list[object] = []
    order = {"do": "mark", "run_id": run.run_id, "task_id": "fit", "map_indexes": []}
    with pytest.raises(ValueError, match="success or failed"):
        Commands(world.engine).handle(order | {"state": "skipped"}, answers.append)
    Commands(world.engine).handle(order | {"state": "failed"}, answers.append)
    world.finish(run)
    assert (answers, run.state) == ([""], "failed")
