from datetime import datetime

from airflow.providers.standard.operators.bash import BashOperator
from airflow.sdk import DAG, Param, task

with DAG(
    dag_id="bash",
    start_date=datetime(2025, 1, 1),
    schedule="@daily",
    params={"name": Param("world", type="string", minLength=2)},
    user_defined_macros={"shout": lambda text: text.upper()},
    user_defined_filters={"twice": lambda text: text * 2},
):
    greet = BashOperator(
        task_id="greet",
        bash_command='test "$GREETING" = "hello WORLD" && echo "{{ params.name | twice }}"',
        env={"GREETING": "hello {{ shout(params.name) }}"},
        append_env=True,
    )
    check = BashOperator(
        task_id="check",
        bash_command="test {{ ti.xcom_pull(task_ids='greet') }} = worldworld",
    )
    skipped = BashOperator(task_id="skipped", bash_command="exit 99")
    custom = BashOperator(task_id="custom", bash_command="exit 7", skip_on_exit_code=7)
    fails = BashOperator(task_id="fails", bash_command="exit 3")

    @task.bash
    def written(name: str = "x") -> str:
        return f"echo {name} {{{{ ds_nodash }}}}"

    greet >> check >> [skipped, custom, fails]
    check >> written()
