from datetime import datetime

from airflow import DAG
from airflow.decorators import task
from airflow.exceptions import AirflowException, AirflowFailException
from airflow.operators.empty import EmptyOperator
from airflow.utils.trigger_rule import TriggerRule

RULES = [
    TriggerRule.ALL_SUCCESS,
    TriggerRule.ALL_FAILED,
    TriggerRule.ALL_DONE,
    TriggerRule.ONE_SUCCESS,
    TriggerRule.ONE_FAILED,
    TriggerRule.ONE_DONE,
    TriggerRule.NONE_FAILED,
    TriggerRule.NONE_SKIPPED,
    TriggerRule.DUMMY,
]

with DAG("trigger_rules", start_date=datetime(2022, 1, 1), schedule_interval=None):

    @task
    def good():
        return 1

    @task
    def bad():
        raise AirflowException("no luck")

    @task
    def worse():
        raise AirflowFailException("no luck at all")

    above = [good(), bad()]
    for rule in RULES:
        above >> EmptyOperator(task_id=f"after_{rule.value}", trigger_rule=rule)
    worse() >> EmptyOperator(task_id="cut_off")
