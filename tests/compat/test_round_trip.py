"""`mlflowkit export airflow`, and back: the DAG that comes of it is the DAG that went."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from mlflowkit.authoring.airflow_export import export_airflow
from mlflowkit.authoring.loader import load_dags
from mlflowkit.compat import airflow as compat
from mlflowkit.core.spec import DagSpec

PIPELINE = '''\
"""Sales by region."""

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from mlflowkit import (
    BashOperator, BranchPythonOperator, DAG, EmptyOperator, Param, TaskGroup, TaskSkipped,
    TriggerRule, chain, dag, setup, task, task_group, teardown,
)

ATHENS = datetime(2026, 1, 1, tzinfo=ZoneInfo("Europe/Athens"))


@task(retries=2, retry_delay=timedelta(minutes=1), execution_timeout=timedelta(seconds=60))
def load(region: str, n: int) -> list[int]:
    if not region:
        raise TaskSkipped("no region")
    return list(range(n))


@task(pool="narrow", priority_weight=3, max_active_tis_per_dagrun=2)
def double(x: int) -> int:
    return x * 2


@task(trigger_rule=TriggerRule.ALL_DONE)
def total(values: list[int]) -> int:
    return sum(values)


@dag(
    schedule="30 2 * * *",
    start_date=ATHENS,
    catchup=True,
    default_args={"retries": 1, "owner": "ann"},
    max_active_runs=2,
    dagrun_timeout=timedelta(hours=1),
    tags=["sales"],
)
def sales(region: str = "eu", n: int = 3):
    """Every night."""
    rows = load(region, n)
    done = total(double.expand(x=rows))
    say = BashOperator("say", bash_command="echo {{ ds }} {{ params.region }}")
    chain(done, say)


with DAG(
    "choices",
    schedule=timedelta(hours=6),
    start_date=ATHENS,
    params={"size": Param(5, minimum=1)},
) as choices:

    @task.short_circuit
    def check():
        return True

    @setup
    def make():
        return 1

    @teardown
    def drop(made):
        return made

    with TaskGroup("inside", default_args={"retries": 4}) as inside:
        EmptyOperator("one") >> EmptyOperator("two")
    pick = BranchPythonOperator("pick", python_callable=lambda: "left")
    left, right = EmptyOperator("left"), EmptyOperator("right")
    check() >> inside >> pick >> [left, right]
    made = make()
    made >> left >> drop(made)

with DAG("by_hand", schedule=None) as by_hand:

    @task_group
    def each(x):
        return double(x)

    each.expand(x=[1, 2, 3])
'''


def _specs(dags: list[object]) -> dict[str, DagSpec]:
    found = [one.spec() for one in dags]  # type: ignore[attr-defined]
    return {str(one.dag_id): replace(one, origin="") for one in found}


def test_what_was_exported_is_the_same_dag_when_it_is_loaded_for_airflow(
    tmp_path: Path,
) -> None:
    file, there = tmp_path / "sales.py", tmp_path / "there.py"
    file.write_text(PIPELINE)
    ours = load_dags(file)
    exported = export_airflow(file, [one.spec() for one in ours], None)
    assert exported.problems == []
    there.write_text(exported.text)
    assert _specs(list(compat.load_dags(there))) == _specs(list(ours))


@pytest.mark.parametrize("dag_id", ["sales", "choices"])
def test_one_dag_of_the_file_makes_the_way_alone(dag_id: str, tmp_path: Path) -> None:
    file, there = tmp_path / "sales.py", tmp_path / "there.py"
    file.write_text(PIPELINE)
    ours = [one for one in load_dags(file) if one.dag_id == dag_id]
    there.write_text(export_airflow(file, [one.spec() for one in ours], dag_id).text)
    assert _specs(list(compat.load_dags(there, dag_id))) == _specs(list(ours))
