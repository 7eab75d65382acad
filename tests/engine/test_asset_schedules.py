"""Runs that start because assets were updated."""

from __future__ import annotations

import json

from mlflowkit import DAG, Asset, task
from mlflowkit.store import assets
from mlflowkit.timetables import AssetOrTimeSchedule, CronTriggerTimetable
from tests.engine.scheduling import HOUR, Office
from tests.engine.test_schedules import Offices, made, office, offices

__all__ = ["office", "offices"]
A, B = Asset("s3://a"), Asset("s3://b")


def updating(dag_id: str, *names: str) -> DAG:
    """A DAG whose task `a` updates s3://a, and so on."""

    @task
    def update() -> None: ...

    with DAG(dag_id, schedule=None) as dag:
        for name in names:
            update.override(task_id=name)()
    return dag


def update(office: Office, *names: str) -> None:
    """Update these assets, one after the other."""
    for name in names:
        office.executor.assets = {name: [(f"s3://{name}", b'{"rows": 3}')]}
        office.publish(updating(f"makes_{name}", name))
        office.trigger(f"makes_{name}")
        office.settle()


def test_an_updated_asset_starts_the_dag_that_waits_for_it(office: Office) -> None:
    office.publish(made(schedule=A))
    update(office, "b")
    assert office.rows("d") == []
    update(office, "a")
    assert [(r.run_type, r.state) for r in office.rows("d")] == [
        ("asset_triggered", "success")
    ]


def test_of_two_assets_both_must_be_updated_and_then_both_again(office: Office) -> None:
    office.publish(made(schedule=A & B))
    counts = []
    for name in "aababb":
        update(office, name)
        counts.append(len(office.rows("d")))
    assert counts == [0, 0, 1, 1, 2, 2]


def test_one_of_two_assets_is_enough(office: Office) -> None:
    office.publish(made(schedule=A | B))
    update(office, "a", "b")
    assert len(office.rows("d")) == 2


def test_a_clock_starts_runs_beside_assets(office: Office) -> None:
    clock = CronTriggerTimetable("0 * * * *", timezone="UTC")
    office.publish(made(schedule=AssetOrTimeSchedule(timetable=clock, assets=[A])))
    office.pass_time(HOUR)
    update(office, "a")
    office.pass_time(HOUR)
    types = [r.run_type for r in office.rows("d")]
    assert sorted(types) == ["asset_triggered", "scheduled", "scheduled"]


def test_a_run_reads_the_events_that_started_it(office: Office) -> None:
    office.publish(made(schedule=A & B))
    update(office, "a", "b")
    with office.engine.database.reading() as tx:
        (row,) = office.rows("d")
        found = assets.events_of_run(tx, row.run_key)
    assert [(e.uri, e.extra, e.source_run_id, e.source_task_id) for e in found] == [
        ("s3://a", {"rows": 3}, "makes_a/1", "a"),
        ("s3://b", {"rows": 3}, "makes_b/1", "b"),
    ]
    assert json.dumps(found[0].plain())


def test_a_paused_dag_hears_nothing_of_its_assets(office: Office) -> None:
    office.publish(made(schedule=A & B))
    update(office, "a")
    office.engine.dags.pause("d", True)
    update(office, "b")
    office.engine.dags.pause("d", False)
    office.settle()
    assert office.rows("d") == []
    update(office, "b")
    assert len(office.rows("d")) == 1


def test_updates_while_nobody_plans_start_their_runs_with_the_next_scheduler(
    offices: Offices,
) -> None:
    office = offices.open(plan=False)
    office.publish(made(schedule=A))
    update(office, "a")
    assert office.rows("d") == []
    office = offices.open()
    office.settle()
    assert [r.state for r in office.rows("d")] == ["success"]


def test_a_dag_that_waits_for_other_assets_now_forgets_the_old_ones(
    office: Office,
) -> None:
    office.publish(made(schedule=A & B))
    update(office, "a")
    office.publish(made(schedule=B))
    update(office, "b")
    with office.engine.database.reading() as tx:
        (row,) = office.rows("d")
        assert [e.uri for e in assets.events_of_run(tx, row.run_key)] == ["s3://b"]


def test_a_failed_task_updates_nothing(office: Office) -> None:
    office.publish(made(schedule=A))
    office.executor.failing = {"a"}
    update(office, "a")
    assert office.rows("d") == []
