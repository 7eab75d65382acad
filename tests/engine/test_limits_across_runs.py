"""Pools, limits of a task, priorities and timeouts, over several runs of an engine that plans."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from mlflowkit import DAG, task
from mlflowkit.store.pools import put_pool
from tests.engine.scheduling import MINUTE, Office
from tests.engine.test_schedules import Offices, office, offices

__all__ = ["Offices", "office", "offices"]
START = datetime(2026, 2, 27, tzinfo=UTC)


def made(dag_id: str = "d", *, dag_options: Any = None, **options: Any) -> DAG:
    """Catches up with four days."""
    given = {"start_date": START, "catchup": True, **(dag_options or {})}
    with DAG(dag_id, schedule="@daily", timezone="UTC", **given) as dag:
        task(task_id="work", **options)(str)()
    return dag


def test_a_pool_holds_over_the_runs_of_all_dags(office: Office) -> None:
    with office.engine.database.writing() as tx:
        put_pool(tx, "gpu", 3)
    office.executor.hold = True
    office.publish(made("a", pool="gpu"), made("b", pool="gpu"))
    for out in (3, 3, 2):
        office.until_out(out)
        office.executor.release()
    office.settle()
    assert len(office.executor.launched) == 8


def test_a_task_runs_so_often_at_once_over_all_runs_of_its_dag(office: Office) -> None:
    office.executor.hold = True
    office.publish(made(max_active_tis_per_dag=1))
    for _ in range(4):
        office.until_out(1)
        office.executor.release()
    office.settle()
    assert list(office.states("d").values()) == ["success"] * 4


def test_of_two_dags_the_more_important_task_goes_first(office: Office) -> None:
    office.executor.hold = True
    office.executor.places = lambda: 0
    office.publish(made("a"), made("b", priority_weight=9))
    office.until(lambda: len(office.rows("a")) == len(office.rows("b")) == 4)
    office.rounds()
    office.executor.places = lambda: 4
    office.publish(made("c", dag_options={"catchup": False}))
    office.until(lambda: len(office.executor.launched) >= 4)
    first = {a.run_id.partition("/")[0] for a in office.executor.launched[:4]}
    assert first == {"b"}


def test_a_run_that_takes_too_long_fails_and_makes_room_for_the_next(
    office: Office,
) -> None:
    office.executor.hold = True
    timeout = {"dagrun_timeout": timedelta(minutes=5), "max_active_runs": 1}
    office.publish(made(dag_options=timeout))
    office.until_out(1)
    office.clock.now += 6 * MINUTE  # type: ignore[attr-defined]
    office.until(lambda: office.executor.killed)
    office.executor.die()
    office.until(lambda: len(office.executor.launched) == 2)
    states = [(row.state, row.reason) for row in office.rows("d")][:2]
    assert (states[0][0], states[1][0]) == ("failed", "running")
    assert "5" in states[0][1] or "time" in states[0][1]
