from __future__ import annotations

from datetime import timedelta
from typing import Any, Sequence

from airflow import DAG
from airflow.exceptions import AirflowSkipException
from airflow.models import BaseOperator
from airflow.operators.python import PythonOperator
from airflow.utils.context import Context
from airflow.utils.dates import days_ago
from airflow.utils.decorators import apply_defaults


class DataQualityOperator(BaseOperator):
    ui_color = "#89DA59"
    template_fields: Sequence[str] = ("table", "checks")
    template_fields_renderers = {"checks": "json"}
    template_ext = (".sql",)

    @apply_defaults
    def __init__(self, table="", checks=[], *args, **kwargs):
        super(DataQualityOperator, self).__init__(*args, **kwargs)
        self.table = table
        self.checks = checks
        self.ready = False

    def pre_execute(self, context):
        if not self.table:
            raise AirflowSkipException("no table")
        self.ready = True

    def execute(self, context: Context) -> Any:
        assert self.ready
        self.log.info("%s: %s", self.table, self.checks)
        assert self.table == "songs_" + context["ds_nodash"]
        return [check["sql"] for check in self.checks]

    def post_execute(self, context, result=None):
        if any("DROP" in sql for sql in result):
            raise ValueError("a check must not change anything")


def stamp(context):
    context["ti"].xcom_push("stamp", context["ts"])


def rows(ti, ts):
    assert ti.xcom_pull(task_ids="after_hook", key="stamp") == ts
    return 5


def not_too_few(context, result):
    assert result == 5


with DAG(
    "quality",
    default_args={"owner": "udacity", "retries": 0, "sla": timedelta(hours=2)},
    start_date=days_ago(2),
    schedule_interval="@hourly",
    catchup=False,
    sla_miss_callback=print,
    user_defined_filters={"up": str.upper},
    user_defined_macros={"count_of": lambda table: f"select count(*) from {table}"},
) as dag:
    songs = DataQualityOperator(
        task_id="songs",
        table="songs_{{ ds_nodash }}",
        checks=[{"sql": "{{ count_of('songs') }}", "expected": 1}],
    )
    nothing = DataQualityOperator(task_id="nothing")
    bad = DataQualityOperator(
        task_id="bad",
        table="songs_{{ ds_nodash }}",
        checks=[{"sql": "{{ 'drop' | up }} table songs"}],
    )
    after_hook = PythonOperator(
        task_id="after_hook",
        python_callable=rows,
        pre_execute=stamp,
        post_execute=not_too_few,
        trigger_rule="all_done",
    )
    songs >> [nothing, bad] >> after_hook
