"""A DAG for each customer, made in a loop."""

from datetime import datetime

from airflow import DAG
from airflow.operators.bash import BashOperator
from airflow.operators.python import PythonOperator


def create_dag(dag_id, schedule, number):
    def hello(*args):
        return f"customer {number}"

    dag = DAG(
        dag_id,
        schedule_interval=schedule,
        start_date=datetime(2023, 1, 1),
        catchup=False,
    )
    with dag:
        first = PythonOperator(task_id="hello", python_callable=hello)
        for step in range(number):
            first >> BashOperator(task_id=f"step_{step}", bash_command=f"echo {step}")
    return dag


for n, schedule in enumerate([None, "@daily", "*/15 * * * *"], start=1):
    dag_id = f"customer_{n}"
    globals()[dag_id] = create_dag(dag_id, schedule, n)
