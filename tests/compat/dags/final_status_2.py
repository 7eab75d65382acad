import os
from datetime import datetime
from functools import partial

from airflow import DAG
from airflow.exceptions import AirflowException
from airflow.operators.empty import EmptyOperator
from airflow.operators.python import PythonOperator
from airflow.utils.state import State, TaskInstanceState
from airflow.utils.trigger_rule import TriggerRule


def tell(context, channel):
    ti = context["task_instance"]
    run = context["dag_run"]
    assert ti.end_date is not None
    assert ti.duration >= 0
    told = f"{channel}: {ti.task_id} {ti.state}, start {run.get_task_instance('start').state}"
    with open(os.environ["CALLBACK_LOG"], "a") as out:
        out.write(told + "\n")


def fail():
    raise ValueError("broken")


def final_status(**kwargs):
    me = kwargs["task_instance"].task_id
    others = [ti for ti in kwargs["dag_run"].get_task_instances() if ti.task_id != me]
    assert kwargs["dag_run"].get_state() == State.RUNNING
    failed = kwargs["dag_run"].get_task_instances(state=TaskInstanceState.FAILED)
    assert [ti.task_id for ti in failed] == ["load"]
    for ti in others:
        if ti.current_state() not in (State.SUCCESS, State.SKIPPED, None):
            raise AirflowException(f"Task {ti.task_id} failed. Failing this DAG run")


with DAG(
    "final_status",
    start_date=datetime(2021, 1, 1),
    schedule_interval=None,
    default_args={
        "on_failure_callback": [
            partial(tell, channel="ops"),
            partial(tell, channel="me"),
        ],
    },
) as dag:
    start = EmptyOperator(task_id="start")
    load = PythonOperator(task_id="load", python_callable=fail)
    report = EmptyOperator(task_id="report")
    last = PythonOperator(
        task_id="final_status",
        python_callable=final_status,
        trigger_rule=TriggerRule.ALL_DONE,
        on_success_callback=partial(tell, channel="never"),
    )
    start >> load >> report >> last
