from datetime import datetime

from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.providers.standard.operators.python import ShortCircuitOperator
from airflow.sdk import DAG, chain, task
from airflow.sdk.exceptions import AirflowSkipException

with DAG("short_circuit", start_date=datetime(2025, 1, 1)):
    true_cond = ShortCircuitOperator(task_id="true_cond", python_callable=lambda: True)
    false_cond = ShortCircuitOperator(
        task_id="false_cond", python_callable=lambda: False
    )
    soft = ShortCircuitOperator(
        task_id="soft",
        python_callable=lambda: "",
        ignore_downstream_trigger_rules=False,
    )
    goes = [EmptyOperator(task_id=f"true_{i}") for i in (1, 2)]
    stays = [EmptyOperator(task_id=f"false_{i}") for i in (1, 2)]
    below = EmptyOperator(task_id="below")
    rescue = EmptyOperator(task_id="rescue", trigger_rule="all_done")

    chain(true_cond, *goes)
    chain(false_cond, *stays)
    chain(soft, below, rescue)

    @task.short_circuit()
    def check():
        return []

    @task
    def skips_itself():
        raise AirflowSkipException("nothing to do today")

    @task(trigger_rule="all_skipped")
    def when_skipped():
        return "seen"

    check() >> EmptyOperator(task_id="behind")
    skips_itself() >> when_skipped()
