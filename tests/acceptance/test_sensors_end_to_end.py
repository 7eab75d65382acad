"""Sensors and triggered runs in a real engine with one worker place, to the last state."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from mlflowkit import DAG, TaskGroup, dag, get_current_context, push, task
from mlflowkit.app import make_engine, make_request
from mlflowkit.handles.run import RunHandle
from mlflowkit.handles.run_list import RunList
from mlflowkit.operators import (
    ExternalTaskSensor,
    LatestOnlyOperator,
    PokeReturnValue,
    PythonSensor,
    TriggerDagRunOperator,
)
from mlflowkit.store.publish import publish as publish_dag
from tests.engine.conftest import World, home

__all__ = ["home"]


@pytest.fixture
def world(home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """An engine with room for one attempt."""
    monkeypatch.setenv("MLFLOWKIT_PARALLELISM", "1")
    engine = make_engine(home)
    yield World(home, engine)
    engine.close()


def outcomes(run: RunHandle, task_id: str) -> list[str]:
    return [a.outcome for a in run[task_id].attempts()]


def waits_for_its_neighbour(folder: Path, mode: str) -> DAG:
    """A sensor that looks for a file which a task beside it writes, in the same place."""

    @task.sensor(mode=mode, poke_interval=0.2, timeout=100)
    def ready() -> PokeReturnValue:
        file = folder / "ready"
        return PokeReturnValue(file.exists(), get_current_context()["try_number"])

    @task
    def write() -> None:
        (folder / "ready").touch()

    @task
    def use(tries: int) -> str:
        return f"after {tries} try"

    @dag(dag_id="neighbours")
    def d() -> None:
        use(ready())
        write()

    return d()


def test_a_rescheduled_sensor_lets_others_have_its_place(
    world: World, tmp_path: Path
) -> None:
    run = world.run(waits_for_its_neighbour(tmp_path, "reschedule"))
    assert run.view().as_states() == {
        "ready": "success",
        "write": "success",
        "use": "success",
    }
    assert run["use"].result() == "after 1 try"
    assert outcomes(run, "ready")[-1] == "succeeded"
    assert set(outcomes(run, "ready")[:-1]) == {"rescheduled"}


def test_a_timeout_counts_over_all_looks_and_is_not_retried(world: World) -> None:
    with DAG("never") as d:
        PythonSensor(
            task_id="ready",
            python_callable=lambda: False,
            mode="reschedule",
            poke_interval=0.2,
            timeout=1,
            retries=5,
            retry_delay=0,
        )

        @task
        def after() -> None: ...

        d.get_task("ready") >> after()
    run = world.run(d)
    assert run.view().as_states() == {"ready": "failed", "after": "upstream_failed"}
    assert outcomes(run, "ready")[-1] == "failed"
    assert 2 <= len(outcomes(run, "ready")) <= 6
    assert "longer than its timeout" in run["ready"].attempts()[-1].reason


def test_a_look_that_fails_is_retried_within_the_same_timeout(
    world: World, tmp_path: Path
) -> None:
    def looks() -> bool:
        with (tmp_path / "looks").open("a") as file:
            file.write(f"{get_current_context()['ti'].first_started_at.isoformat()}\n")
        count = len((tmp_path / "looks").read_text().splitlines())
        if count == 2:
            raise ConnectionError("cut off")
        return count == 4

    with DAG("flaky") as d:
        PythonSensor(
            task_id="ready",
            python_callable=looks,
            mode="reschedule",
            poke_interval=0.1,
            retries=1,
            retry_delay=0.1,
        )
    run = world.run(d)
    assert run.view().as_states() == {"ready": "success"}
    assert outcomes(run, "ready") == ["rescheduled", "failed", "rescheduled", "succeeded"]
    first, *later = map(datetime.fromisoformat, (tmp_path / "looks").read_text().split())
    assert len(later) == 3
    assert len(set(later)) == 1  # as the engine saw it, for the retry too
    assert abs(first - later[0]) < timedelta(seconds=1)


# ── other DAGs ──────────────────────────────────────────────────────────────


def child(*, fails: bool = False) -> DAG:
    @task
    def work(n: int) -> int:
        if fails:
            raise ValueError("no luck")
        push("date", get_current_context()["logical_date"].isoformat())
        return n * 2

    @dag(dag_id="child")
    def d(n: int = 1) -> None:
        work(n)

    return d()


def publish(world: World, dag: DAG) -> None:
    """Hand a DAG to the engine, which may then start it by its id."""
    request = make_request(dag, {}, {}, world.home)
    with world.engine.database.writing() as tx:
        publish_dag(tx, request, datetime.now(UTC), paused=None, replace=False)


def parent(**options: Any) -> DAG:
    @task
    def told(run_id: str) -> str:
        return run_id

    with DAG("parent") as d:
        start = TriggerDagRunOperator(
            task_id="start",
            trigger_dag_id="child",
            conf={"n": 21},
            wait_for_completion=True,
            poke_interval=0.2,
            **options,
        )
        told(start.output["trigger_run_id"])
    return d


def test_a_parent_waits_for_its_child_though_there_is_one_place(world: World) -> None:
    publish(world, child())
    run = world.run(parent())
    assert run.view().as_states() == {"start": "success", "told": "success"}
    started = RunHandle(run["told"].result(), world.home)
    assert started.view().as_states() == {"work": "success"}
    assert started["work"].result() == 42
    assert len(RunList(world.home, "child")) == 1


def test_a_child_that_fails_fails_its_parent(world: World) -> None:
    publish(world, child(fails=True))
    run = world.run(parent())
    assert run.view().as_states() == {"start": "failed", "told": "upstream_failed"}
    assert len(RunList(world.home, "child")) == 1
    reason = run["start"].attempts()[-1].reason
    assert reason.startswith("TriggeredRunFailed: task 'start' waited for run child/1")


def test_a_dag_that_nobody_knows_is_said(world: World) -> None:
    run = world.run(parent(retries=3))
    assert run.view().as_states() == {"start": "failed", "told": "upstream_failed"}
    assert outcomes(run, "start") == ["failed"]
    assert "which this home does not know" in run["start"].attempts()[-1].reason


def test_a_sensor_waits_for_the_run_of_another_dag(world: World) -> None:
    date = datetime.fromisoformat(world.run(child())["work"].result("date"))

    def there(**options: Any) -> str:
        with DAG("follower") as d:
            ExternalTaskSensor(
                task_id="wait",
                external_dag_id="child",
                execution_date_fn=lambda _mine: date,
                mode="reschedule",
                poke_interval=0.1,
                timeout=0.3,
                **options,
            )
        return world.run(d).view().as_states()["wait"]

    assert there() == "success"
    assert there(external_task_id="work") == "success"
    assert there(external_task_id="unknown") == "failed"
    assert there(failed_states=["success"], allowed_states=["failed"]) == "failed"
    assert there(skipped_states=["success"], allowed_states=["failed"]) == "skipped"


def test_a_sensor_waits_for_a_task_group_and_knows_what_there_is(world: World) -> None:
    @task
    def work() -> str:
        return str(get_current_context()["logical_date"].isoformat())

    with DAG("other") as other, TaskGroup("outer"):
        work()
        with TaskGroup("inner"):
            work()
    publish(world, other)
    date = datetime.fromisoformat(world.run(other)["outer.work"].result())

    def there(**options: Any) -> str:
        with DAG("follower") as d:
            ExternalTaskSensor(
                task_id="wait",
                external_dag_id="other",
                execution_date_fn=lambda _mine: date,
                check_existence=True,
                poke_interval=0.1,
                timeout=0.3,
                **options,
            )
        run = world.run(d)
        reasons = [a.reason.partition(":")[0] for a in run["wait"].attempts()]
        return " ".join([run.view().as_states()["wait"], *filter(None, reasons)])

    assert there(external_task_group_id="outer") == "success"
    assert there(external_task_group_id="outer.inner") == "success"
    assert there(external_task_group_id="inner") == "failed ExternalTaskMissing"
    assert there(external_task_id="outer.inner.work") == "success"
    assert there(external_task_id="work") == "failed ExternalTaskMissing"


# ── LatestOnly ──────────────────────────────────────────────────────────────


def latest_only() -> DAG:
    @task
    def direct() -> None: ...

    @task
    def below() -> None: ...

    @task(trigger_rule="all_done")
    def further() -> None: ...

    start = datetime(2020, 1, 1, tzinfo=UTC)
    with DAG("latest", schedule="@daily", start_date=start, timezone="UTC") as d:
        done = direct()
        LatestOnlyOperator(task_id="latest") >> done
        done >> below()
        done >> further()
    return d


def test_latest_only_lets_runs_of_a_person_go_on(world: World) -> None:
    assert world.run(latest_only()).view().as_states() == {
        "latest": "success",
        "direct": "success",
        "below": "success",
        "further": "success",
    }


@pytest.mark.parametrize(
    ("days_ago", "direct", "below"), [(1, "success", "success"), (3, "skipped", "skipped")]
)
def test_latest_only_skips_what_is_directly_below_in_older_runs(
    world: World, days_ago: int, direct: str, below: str
) -> None:
    today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    start = today - timedelta(days=days_ago)
    d = latest_only()
    request = replace(
        make_request(d, {}, {}, world.home),
        run_type="scheduled",
        logical_date=start,
        data_interval=(start, start + timedelta(days=1)),
    )
    run = RunHandle(world.engine.submit(request), world.home, d)
    world.finish(run)
    assert run.view().as_states() == {
        "latest": "success",
        "direct": direct,
        "below": below,
        "further": "success",
    }
