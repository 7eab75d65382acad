from datetime import datetime, timedelta
import os

from airflow import DAG
from airflow.operators.bash import BashOperator
from airflow.operators.python import PythonOperator

LOG = os.environ["CALLBACK_LOG"]


def note(word):
    def callback(context):
        with open(LOG, "a") as file:
            file.write(f"{word} {context['task_instance'].task_id}\n")

    return callback


def run_failed(context):
    with open(LOG, "a") as file:
        file.write(f"run {context['dag_run'].dag_id} failed\n")


def break_it():
    raise RuntimeError("broken")


with DAG(
    "callbacks",
    default_args={
        "owner": "ops",
        "on_failure_callback": note("failed"),
        "on_success_callback": note("fine"),
        "retries": 0,
        "execution_timeout": timedelta(minutes=1),
    },
    on_failure_callback=run_failed,
    start_date=datetime(2022, 5, 1),
    schedule=timedelta(hours=6),
    dagrun_timeout=timedelta(hours=1),
    catchup=False,
) as dag:
    ok = BashOperator(task_id="ok", bash_command="true")
    broken = PythonOperator(task_id="broken", python_callable=break_it)
    below = BashOperator(task_id="below", bash_command="true")
    ok >> broken >> below
