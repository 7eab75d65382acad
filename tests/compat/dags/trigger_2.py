from datetime import datetime

from airflow import DAG
from airflow.operators.dagrun_operator import TriggerDagRunOperator
from airflow.operators.python import PythonOperator


def say(**context):
    message = context["dag_run"].conf["message"]
    assert message == "from parent", message
    return message


with DAG("parent", schedule_interval=None, start_date=datetime(2022, 1, 1)) as parent:
    TriggerDagRunOperator(
        task_id="trigger",
        trigger_dag_id="child",
        conf={"message": "from {{ dag.dag_id }}"},
        execution_date="{{ execution_date }}",
        wait_for_completion=True,
        poke_interval=0.2,
    ) >> PythonOperator(task_id="after", python_callable=print)

with DAG(
    "child",
    schedule_interval=None,
    start_date=datetime(2022, 1, 1),
    params={"message": "x"},
) as child:
    PythonOperator(task_id="say", python_callable=say)
