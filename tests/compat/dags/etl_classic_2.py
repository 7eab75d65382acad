"""Daily orders: extract, transform, load, the classic way."""

from datetime import datetime, timedelta
import json

from airflow import DAG
from airflow.operators.bash_operator import BashOperator
from airflow.operators.dummy_operator import DummyOperator
from airflow.operators.python_operator import PythonOperator

default_args = {
    "owner": "data-team",
    "depends_on_past": False,
    "email": ["data@example.com"],
    "email_on_failure": False,
    "email_on_retry": False,
    "retries": 1,
    "retry_delay": timedelta(minutes=5),
}


def extract(**kwargs):
    orders = '{"1001": 301.27, "1002": 433.21, "1003": 502.22}'
    kwargs["ti"].xcom_push("order_data", orders)


def transform(**kwargs):
    ti = kwargs["ti"]
    order_data = json.loads(ti.xcom_pull(task_ids="extract", key="order_data"))
    total = {"total": sum(order_data.values())}
    ti.xcom_push("total", json.dumps(total))


def load(ds, **kwargs):
    total = json.loads(
        kwargs["task_instance"].xcom_pull(task_ids="transform", key="total")
    )
    assert round(total["total"], 2) == 1236.7, total
    assert (
        kwargs["task_instance"].xcom_pull(task_ids="transform", key="nothing") is None
    )
    assert len(ds) == 10


dag = DAG(
    "etl_classic",
    default_args=default_args,
    description="ETL",
    schedule_interval="@daily",
    start_date=datetime(2024, 1, 1),
    catchup=False,
    tags=["example"],
    max_active_runs=1,
    concurrency=4,
)
start = DummyOperator(task_id="start", dag=dag)
extract_task = PythonOperator(
    task_id="extract", python_callable=extract, provide_context=True, dag=dag
)
transform_task = PythonOperator(
    task_id="transform", python_callable=transform, provide_context=True, dag=dag
)
load_task = PythonOperator(
    task_id="load", python_callable=load, provide_context=True, dag=dag
)
report = BashOperator(
    task_id="report",
    bash_command="""
    echo "run of {{ ds }}, next {{ macros.ds_add(ds, 7) }}"
    {% for i in range(2) %}
    echo "{{ params.table }} {{ i }}"
    {% endfor %}
    """,
    params={"table": "orders"},
    dag=dag,
)
start >> extract_task >> transform_task >> load_task
load_task.set_downstream(report)
dag.doc_md = __doc__
