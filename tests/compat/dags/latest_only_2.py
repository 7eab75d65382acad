import datetime as dt

from airflow import DAG
from airflow.operators.dummy import DummyOperator
from airflow.operators.latest_only import LatestOnlyOperator
from airflow.utils.dates import days_ago

dag = DAG(
    dag_id="latest_only",
    schedule_interval=dt.timedelta(hours=4),
    start_date=days_ago(2),
    tags=["example"],
)
latest = LatestOnlyOperator(task_id="latest", dag=dag)
task1 = DummyOperator(task_id="task1", dag=dag)
task2 = DummyOperator(task_id="task2", dag=dag, trigger_rule="all_done")
latest >> task1 >> task2
