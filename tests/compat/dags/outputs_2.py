"""Several outputs of one task, one of which it does not give; and a sensor's own words."""

from __future__ import annotations

from airflow import DAG
from airflow.decorators import task
from airflow.exceptions import AirflowSensorTimeout


@task(multiple_outputs=True)
def gives():
    return {"there": 1}


@task
def takes(there, missing):
    assert (there, missing) == (1, None)


@task(retries=3)
def waits():
    raise AirflowSensorTimeout("nothing came until noon")


with DAG("outputs", schedule_interval=None):
    given = gives()
    takes(given["there"], given["missing"])
    waits()
