import os

from airflow.decorators import dag
from airflow.models import Variable
from airflow.models.baseoperator import chain
from airflow.operators.bash import BashOperator
from airflow.utils.task_group import TaskGroup
from airflow.utils.trigger_rule import TriggerRule
from pendulum import datetime

DBT_DIR = os.environ["OUT_FOLDER"]


@dag(
    schedule="@daily",
    start_date=datetime(2024, 1, 1, tz="UTC"),
    catchup=False,
    max_active_runs=1,
    default_args={"retries": 0},
    tags=["dbt"],
    params={"select": "tag:daily"},
)
def dbt_daily():
    target = Variable.get("dbt_target", default_var="dev")
    common = {
        "env": {"DBT_TARGET": target, "RUN_DATE": "{{ ds }}"},
        "append_env": True,
        "cwd": DBT_DIR,
    }
    deps = BashOperator(task_id="deps", bash_command="pwd && echo dbt deps", **common)
    with TaskGroup("models") as models:
        for name in ("staging", "marts"):
            run = BashOperator(
                task_id=f"run_{name}",
                bash_command="echo $DBT_TARGET $RUN_DATE "
                "{{ (execution_date - macros.timedelta(days=1)) | ds }} "
                f"{name} --select {{{{ params.select }}}}",
                **common,
            )
            test = BashOperator(
                task_id=f"test_{name}",
                bash_command='test "{{ ti.xcom_pull(task_ids="models.run_%s") }}" = '
                '"dev {{ ds }} {{ macros.ds_add(ds, -1) }} %s --select tag:daily"'
                % (name, name),
                **common,
            )
            run >> test
    docs = BashOperator(
        task_id="docs",
        bash_command="{% if var.value.get('dbt_docs', 'no') == 'no' %}exit 99{% endif %}",
        **common,
    )
    publish = BashOperator(task_id="publish", bash_command="echo published", **common)
    clean = BashOperator(
        task_id="clean",
        bash_command="echo {{ dag.dag_id }} {{ task.task_id }} {{ ti.try_number }} "
        "{{ dag_run.conf.get('full_refresh', false) }} {{ task_instance_key_str }}",
        trigger_rule=TriggerRule.NONE_FAILED,
        **common,
    )
    chain(deps, models, docs, publish, clean)


dbt_daily()
