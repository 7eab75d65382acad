from datetime import datetime

from airflow.models import DAG
from airflow.operators.empty import EmptyOperator
from airflow.operators.python import BranchPythonOperator
from airflow.utils.edgemodifier import Label
from airflow.utils.trigger_rule import TriggerRule


def choose(**context):
    return ["path_b", "group_c"] if context["params"]["wide"] else "path_a"


with DAG(
    dag_id="branching",
    start_date=datetime(2023, 1, 1),
    schedule=None,
    params={"wide": False},
) as dag:
    pick = BranchPythonOperator(task_id="pick", python_callable=choose)
    path_a = EmptyOperator(task_id="path_a")
    path_b = EmptyOperator(task_id="path_b")
    group_c = EmptyOperator(task_id="group_c")
    after_a = EmptyOperator(task_id="after_a")
    join = EmptyOperator(
        task_id="join", trigger_rule=TriggerRule.NONE_FAILED_MIN_ONE_SUCCESS
    )
    old_join = EmptyOperator(task_id="old_join", trigger_rule="none_failed_or_skipped")
    never = EmptyOperator(task_id="never")

    pick >> Label("narrow") >> path_a >> after_a >> join
    pick >> Label("wide") >> [path_b, group_c] >> join
    join >> old_join
    path_b >> never
