from datetime import datetime, timedelta
import os

from airflow.decorators import dag, task
from airflow.operators.python import get_current_context


@dag(
    start_date=datetime(2024, 1, 1),
    schedule=None,
    default_args={"retries": 2, "retry_delay": timedelta(milliseconds=10)},
)
def retrying():
    @task
    def third_time_lucky():
        ti = get_current_context()["ti"]
        if ti.try_number < 3:
            raise ValueError(f"try {ti.try_number}")
        return ti.try_number

    @task(retries=0)
    def never():
        raise ValueError("always")

    @task(trigger_rule="all_done")
    def sum_up(ti=None):
        assert ti.xcom_pull(task_ids="third_time_lucky") == 3
        assert ti.xcom_pull(task_ids="never") is None

    [third_time_lucky(), never()] >> sum_up()


retrying_dag = retrying()

if __name__ == "__main__":
    retrying_dag.test()
