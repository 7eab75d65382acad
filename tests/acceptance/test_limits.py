"""What a DAG says of places, weights and the runs before it, in an engine with a set clock.

Attempts of a quick office end at once, or when the test lets them; those of a real one run
in workers.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from mlflowkit import DAG, EmptyOperator, RunFailed, TaskFailedForGood, TaskSkipped, task
from mlflowkit.app import make_engine, make_request
from mlflowkit.errors import BadPool, PoolMissing
from mlflowkit.handles.run import RunHandle
from mlflowkit.inline import TestRun
from mlflowkit.store.pools import put_pool
from tests.engine.conftest import World, home
from tests.engine.scheduling import DAY, NOON, Clock, Office

__all__ = ["home"]


@pytest.fixture
def quick(home: Path) -> Iterator[Office]:
    office = Office(home, Clock(), eager=True)
    yield office
    office.close()


@pytest.fixture
def real(home: Path) -> Iterator[Office]:
    office = Office(home, Clock())
    yield office
    office.close()


@task
def work(n: int = 0) -> int:
    return n


def waves(office: Office, *dags: DAG) -> list[list[str]]:
    """Which task instances were out together, one wave after the other."""
    executor = office.executor
    executor.hold = True
    for dag in dags:
        office.engine.submit(make_request(dag, {}, {}, office.home))
    found: list[list[str]] = []
    while True:
        office.rounds()
        if not executor.out:
            return found
        found.append([_name(one) for one in executor.out])
        executor.release()


def _name(attempt: Any) -> str:
    index = f"[{attempt.map_index}]" if attempt.map_index >= 0 else ""
    return f"{attempt.task_id}{index}"


def tasks(run: RunHandle) -> dict[str, str]:
    return {t.task_id: str(t.state) for t in run.view().tasks}


# ── places ──────────────────────────────────────────────────────────────────


def test_max_active_tasks_limits_a_run_and_not_the_runs_beside_it(quick: Office) -> None:
    with DAG("d", max_active_tasks=2) as d:
        work.expand(n=[0, 1, 2, 3, 4])
    assert waves(quick, d) == [["work[0]", "work[1]"], ["work[2]", "work[3]"], ["work[4]"]]
    assert [len(wave) for wave in waves(quick, d, d)] == [4, 4, 2]


def test_max_active_tis_per_dagrun_counts_in_a_run_and_per_dag_over_all(
    quick: Office,
) -> None:
    with DAG("by_run") as by_run:
        work.override(max_active_tis_per_dagrun=1).expand(n=[0, 1])
    with DAG("over_all") as over_all:
        work.override(max_active_tis_per_dag=1).expand(n=[0, 1])
    assert waves(quick, by_run, by_run) == [["work[0]"] * 2, ["work[1]"] * 2]
    assert [len(wave) for wave in waves(quick, over_all, over_all)] == [1, 1, 1, 1]


def test_a_pool_gives_its_slots_over_all_dags(quick: Office) -> None:
    with quick.engine.database.writing() as tx:
        put_pool(tx, "gpu", 3)
    with DAG("a") as a:
        work.override(task_id="large", pool="gpu", pool_slots=2)()
    with DAG("b") as b:
        work.override(task_id="small", pool="gpu").expand(n=[0, 1])
    assert waves(quick, a, b) == [["large", "small[0]"], ["small[1]"]]


def test_a_pool_that_could_never_be_had_is_refused(quick: Office) -> None:
    with DAG("a") as unknown:
        work.override(pool="gpus")()
    with pytest.raises(PoolMissing, match="there is no pool 'gpus'"):
        waves(quick, unknown)
    with DAG("b") as too_large:
        work.override(pool_slots=129)()
    with pytest.raises(BadPool, match="default_pool"):
        waves(quick, too_large)


def test_where_places_are_few_the_heavier_task_goes_first(quick: Office) -> None:
    with DAG("d", max_active_tasks=1) as d:
        work.override(task_id="light")()
        work.override(task_id="heavy", priority_weight=5)()
        work.override(task_id="head")() >> [
            work.override(task_id=f"below_{n}")() for n in range(3)
        ]
    order = [name for wave in waves(quick, d) for name in wave]
    assert order == ["heavy", "head", "light", "below_0", "below_1", "below_2"]
    with DAG("absolute", max_active_tasks=1, default_args={"weight_rule": "absolute"}) as d:
        work.override(task_id="head")() >> work.override(task_id="below")()
        work.override(task_id="two", priority_weight=2)()
    assert [name for wave in waves(quick, d) for name in wave] == ["two", "head", "below"]


# ── the runs before ─────────────────────────────────────────────────────────


@task(depends_on_past=True)
def load(ds: str) -> None:
    if ds.endswith("02"):
        raise TaskFailedForGood("a bad day")
    if ds.endswith("01"):
        raise TaskSkipped("a day off")


def test_with_depends_on_past_a_task_waits_for_itself_in_the_run_before(
    real: Office,
) -> None:
    start = NOON.replace(day=1, hour=0)
    with DAG("d", schedule="@daily", start_date=start, timezone="UTC", catchup=True) as d:
        load("{{ ds }}")
        EmptyOperator(task_id="free")
    real.publish(d)
    real.clock.now = start + 3 * DAY  # type: ignore[attr-defined]
    real.until(
        lambda: (
            real.states("d").get("03-02T00:00") == "failed"
            and real.states("d").get("03-03T00:00") == "running"
            and tasks(real.runs("d")[2])["free"] == "success"
        )
    )
    first, second, third = real.runs("d")
    assert tasks(first) == {"load": "skipped", "free": "success"}
    assert tasks(second) == {"load": "failed", "free": "success"}
    assert tasks(third) == {"load": "none", "free": "success"}


@task(wait_for_downstream=True)
def head() -> None: ...


@task
def below(ds: str) -> None:
    if ds.endswith("01"):
        raise TaskFailedForGood("a bad day")


def test_with_wait_for_downstream_also_for_what_is_below_it(real: Office) -> None:
    start = NOON.replace(day=1, hour=0)
    with DAG("d", schedule="@daily", start_date=start, timezone="UTC", catchup=True) as d:
        head() >> below("{{ ds }}")
        EmptyOperator(task_id="free")
    real.publish(d)
    real.clock.now = start + 2 * DAY  # type: ignore[attr-defined]
    real.until(
        lambda: (
            real.states("d").get("03-01T00:00") == "failed"
            and real.states("d").get("03-02T00:00") == "running"
            and tasks(real.runs("d")[1])["free"] == "success"
        )
    )
    first, second = real.runs("d")
    assert tasks(first) == {"head": "success", "below": "failed", "free": "success"}
    assert tasks(second) == {"head": "none", "below": "none", "free": "success"}


# ── the end of a run ────────────────────────────────────────────────────────


def test_a_run_that_takes_too_long_fails_and_what_waits_is_skipped(home: Path) -> None:
    @task
    def sleep() -> None:
        time.sleep(600)

    with DAG("d", dagrun_timeout=timedelta(minutes=20)) as d:
        work() >> sleep() >> work.override(task_id="after")()
    ahead = timedelta()
    engine = make_engine(home, lambda: datetime.now(UTC) + ahead)
    try:
        world = World(home, engine)
        run = world.submit(d)
        world.until(lambda: run["sleep"].state == "running")
        ahead = timedelta(minutes=20)
        world.finish(run)
        view = run.view()
        assert (view.state, tasks(run)) == (
            "failed",
            {"work": "success", "sleep": "failed", "after": "skipped"},
        )
        assert "timed out after 0:20:00" in view.reason
    finally:
        engine.close()


def test_with_fail_fast_the_first_failure_stops_the_run(tmp_path: Path) -> None:
    @task(retries=3)
    def breaks() -> None:
        raise TaskFailedForGood("no use")

    with DAG("d", fail_fast=True) as d:
        breaks() >> work()
        work.override(task_id="waits")() >> work.override(task_id="later")()
    run = TestRun(d, d.spec(), {}, tmp_path)
    with pytest.raises(RunFailed):
        run.go()
    assert run.states() == {
        "breaks": "failed",
        "work": "upstream_failed",
        "waits": "skipped",
        "later": "skipped",
    }
