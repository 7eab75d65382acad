from datetime import datetime

from airflow.decorators import dag, task, task_group
from airflow.operators.bash import BashOperator
from airflow.operators.empty import EmptyOperator
from airflow.utils.task_group import TaskGroup


@dag(start_date=datetime(2022, 1, 1), schedule="@once", catchup=False)
def groups():
    start = EmptyOperator(task_id="start")
    end = EmptyOperator(task_id="end")

    with TaskGroup("section_1", tooltip="Tasks for section 1") as section_1:
        task_1 = EmptyOperator(task_id="task_1")
        task_2 = BashOperator(task_id="task_2", bash_command="echo 1")
        task_1 >> task_2

    with TaskGroup(group_id="section_2", default_args={"retries": 2}) as section_2:
        with TaskGroup("inner") as inner:
            leaf = BashOperator(task_id="leaf", bash_command="exit 99")
        after = EmptyOperator(task_id="after", trigger_rule="none_failed")
        inner >> after

    @task_group(group_id="section_3", prefix_group_id=False)
    def section_3(n):
        @task
        def one(x):
            return x + 1

        @task
        def two(x):
            return x * 2

        return two(one(n))

    start >> section_1 >> section_2 >> end
    end >> section_3(3)


groups()
