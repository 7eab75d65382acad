import pendulum
from airflow.decorators import dag, task, task_group
from airflow.operators.datetime import BranchDateTimeOperator
from airflow.operators.empty import EmptyOperator
from airflow.operators.latest_only import LatestOnlyOperator
from airflow.operators.python import ShortCircuitOperator
from airflow.operators.weekday import BranchDayOfWeekOperator
from airflow.utils.weekday import WeekDay


@dag(start_date=pendulum.datetime(2024, 1, 1), schedule=None)
def calendar():
    any_day = BranchDayOfWeekOperator(
        task_id="any_day",
        follow_task_ids_if_true="yes",
        follow_task_ids_if_false="no",
        week_day=set(WeekDay),
    )
    any_day >> [EmptyOperator(task_id="yes"), EmptyOperator(task_id="no")]
    long_ago = BranchDateTimeOperator(
        task_id="long_ago",
        follow_task_ids_if_true=["then"],
        follow_task_ids_if_false=["now"],
        target_upper=pendulum.datetime(2020, 10, 10, 15, 0, 0),
        target_lower=pendulum.datetime(2019, 10, 10),
    )
    long_ago >> [EmptyOperator(task_id="then"), EmptyOperator(task_id="now")]
    never = ShortCircuitOperator(
        task_id="never",
        python_callable=lambda: "",
        ignore_downstream_trigger_rules=False,
    )
    (
        never
        >> EmptyOperator(task_id="cut")
        >> EmptyOperator(task_id="but", trigger_rule="all_done")
    )
    LatestOnlyOperator(task_id="latest") >> EmptyOperator(task_id="after_latest")

    @task.branch
    def nowhere(dag_run=None):
        return None if dag_run.external_trigger else "a"

    nowhere() >> [EmptyOperator(task_id="a"), EmptyOperator(task_id="b")]

    @task.branch(task_id="to_group")
    def to_group():
        return "work"

    @task_group
    def work():
        @task
        def first():
            return 1

        @task
        def second(x):
            assert x == 1

        second(first())

    to_group() >> [work(), EmptyOperator(task_id="rest")]


calendar()
