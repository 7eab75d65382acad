"""A task updates an asset, and the DAGs that wait for it run: in a real engine, with workers."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from mlflowkit import DAG, Asset, TaskSkipped, task
from mlflowkit.app import make_request
from mlflowkit.timetables import AssetOrTimeSchedule, CronTriggerTimetable
from tests.engine.conftest import home
from tests.engine.scheduling import Clock, Office

__all__ = ["home"]

IMAGES, LABELS = Asset("s3://pets/images"), Asset("s3://pets/labels")


@pytest.fixture
def office(home: Path) -> Iterator[Office]:
    found = Office(home, Clock())
    yield found
    found.close()


@task(outlets=[IMAGES])
def bring_images(n: int, outlet_events: Any) -> None:
    if n < 0:
        raise TaskSkipped("nothing new")
    outlet_events[IMAGES].extra = {"images": n}


@task(outlets=[LABELS])
def bring_labels() -> None: ...


@task
def read_news(triggering_asset_events: Any) -> dict[str, list[Any]]:
    return {
        uri: [event.extra for event in events]
        for uri, events in triggering_asset_events.items()
    }


def bringing(n: int) -> DAG:
    with DAG("images") as dag:
        bring_images(n)
    return dag


def labelling() -> DAG:
    with DAG("labels") as dag:
        bring_labels()
    return dag


def waiting(dag_id: str, schedule: object) -> DAG:
    with DAG(dag_id, schedule=schedule) as dag:
        read_news()
    return dag


def run(office: Office, *dags: DAG) -> None:
    for dag in dags:
        office.engine.submit(make_request(dag, {}, {}, office.home))
        office.settle()


def news(office: Office, dag_id: str) -> list[dict[str, list[Any]]]:
    """What each run of the DAG was started by."""
    return [one["read_news"].result() for one in office.runs(dag_id)]


def test_one_asset_any_of_two_and_all_of_two_start_what_waits_for_them(
    office: Office,
) -> None:
    office.publish(
        waiting("one", IMAGES),
        waiting("either", IMAGES | LABELS),
        waiting("both", IMAGES & LABELS),
        waiting("listed", [IMAGES, LABELS]),
    )
    run(office, bringing(3))
    told = {"s3://pets/images": [{"images": 3}]}
    both = {**told, "s3://pets/labels": [{}]}
    assert {d: news(office, d) for d in ("one", "either", "both", "listed")} == {
        "one": [told],
        "either": [told],
        "both": [],
        "listed": [],
    }
    run(office, labelling())
    assert {d: news(office, d) for d in ("one", "either", "both", "listed")} == {
        "one": [told],
        "either": [told, {"s3://pets/labels": [{}]}],
        "both": [both],
        "listed": [both],
    }
    assert {r.run_type for r in office.rows("both")} == {"asset_triggered"}


def test_a_task_that_is_skipped_has_updated_nothing(office: Office) -> None:
    office.publish(waiting("one", IMAGES))
    run(office, bringing(-1))
    assert office.runs("one") == []


def test_asset_or_time_goes_by_both(office: Office) -> None:
    hourly = CronTriggerTimetable("30 * * * *", timezone="UTC")
    office.publish(waiting("both", AssetOrTimeSchedule(timetable=hourly, assets=IMAGES)))
    run(office, bringing(1))
    office.pass_time(timedelta(hours=1))
    assert [r.run_type for r in office.rows("both")] == ["asset_triggered", "scheduled"]
    assert news(office, "both") == [{"s3://pets/images": [{"images": 1}]}, {}]
