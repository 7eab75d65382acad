"""A task that can never get its slots is refused before anything waits for it, or says so."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from mlflowkit import DAG, task
from mlflowkit.app import make_request
from mlflowkit.engine.published_dags import FolderDag
from mlflowkit.errors import BadPool, MlflowkitError, PoolMissing
from mlflowkit.store.pools import delete_pool, put_pool
from tests.engine.scheduling import DAY, NOON, Office
from tests.engine.test_schedules import Offices, office, offices

__all__ = ["Offices", "office", "offices"]


def wants(pool: str, slots: int = 1, dag_id: str = "d", schedule: Any = "@daily") -> DAG:
    with DAG(dag_id, schedule=schedule, timezone="UTC", start_date=NOON - DAY) as dag:
        task(task_id="work", pool=pool, pool_slots=slots)(str)()
    return dag


def set_pool(office: Office, slots: int) -> None:
    with office.engine.database.writing() as tx:
        put_pool(tx, "gpu", slots)


@pytest.mark.parametrize("slots", [None, 1])
def test_whoever_asks_for_a_run_that_can_never_start_is_told_at_once(
    office: Office, slots: int | None
) -> None:
    """There is no such pool, or it is too small: for a run, a DAG, a span and a trigger."""
    ran = wants("gpu", 2)
    set_pool(office, 2)
    office.publish(wants("gpu", 2, "known", schedule=None))
    with office.engine.database.writing() as tx:
        delete_pool(tx, "gpu")
    if slots is not None:
        set_pool(office, slots)
    asks: list[Callable[[], object]] = [
        lambda: office.engine.submit(make_request(ran, {}, {}, office.home)),
        lambda: office.publish(ran),
        lambda: office.backfill(ran, [NOON - DAY]),
        lambda: office.trigger("known"),
    ]
    told: list[str] = []
    for ask in asks:
        with pytest.raises(MlflowkitError) as caught:
            ask()
        told.append(caught.value.code)
    assert told == [(PoolMissing if slots is None else BadPool).code] * 4
    assert office.rows("d") == office.rows("known") == []
    assert not office.engine.busy or office.engine.schedules.planning


def test_a_dag_of_a_folder_with_an_unknown_pool_is_refused_and_the_others_go_on(
    office: Office,
) -> None:
    dags = [wants("gpu", dag_id="wrong"), wants("default_pool", dag_id="right")]
    orders = [
        FolderDag(request=make_request(d, {}, {}, office.home), file="", paused=False)
        for d in dags
    ]
    told = office.engine.dags.publish_all(orders, "/folder")
    refused = (
        "there is no pool 'gpu' (there are: default_pool). "
        "Make it with: mlflowkit pools set gpu SLOTS"
    )
    assert told == [("wrong", "refused", refused), ("right", "new", "")]
    set_pool(office, 1)
    told = office.engine.dags.publish_all(orders, "/folder")
    assert told == [("wrong", "new", ""), ("right", "same", "")]


def test_a_scheduled_run_whose_pool_was_deleted_says_what_it_waits_for(
    office: Office,
) -> None:
    set_pool(office, 2)
    office.publish(wants("gpu", 2))
    with office.engine.database.writing() as tx:
        delete_pool(tx, "gpu")
    office.clock.now += DAY  # type: ignore[attr-defined]
    office.until(lambda: [r.state for r in office.rows("d")] == ["running"])
    (run,) = office.runs("d")
    why = "waits for the pool 'gpu', which does not exist (any more)"
    assert repr(run) == f"run d/1: running\n  work: scheduled ({why})"
    set_pool(office, 1)
    why = "waits for 2 slots of the pool 'gpu', which has 1"
    assert run.view().task("work").reason == why
    set_pool(office, 2)
    assert run.view().task("work").reason == ""
    office.settle()
    assert repr(run) == "run d/1: success\n  work: success"
