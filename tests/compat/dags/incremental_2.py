import json
import os
from datetime import datetime, timedelta

from airflow import DAG
from airflow.models.baseoperator import chain
from airflow.models.param import Param
from airflow.operators.python import PythonOperator
from airflow.utils.log.logging_mixin import LoggingMixin
from airflow.utils.task_group import TaskGroup

log = LoggingMixin().log


def extract(table, start, end, path, **context):
    day = timedelta(days=1)
    assert context["data_interval_end"] - context["data_interval_start"] == day
    # a run that a person starts: its date is now, its interval is the last one that is over
    assert context["data_interval_end"] <= context["execution_date"]
    assert start < end
    with open(path, "w") as out:
        json.dump({"table": table, "from": start, "to": end}, out)
    return path


def load(
    path,
    ti,
    ds,
    prev_ds,
    next_ds,
    yesterday_ds,
    tomorrow_ds_nodash,
    run_id,
    macros,
    **_,
):
    with open(path) as found:
        assert json.load(found)["from"][:10] in (yesterday_ds, macros.ds_add(ds, -2))
    assert yesterday_ds < ds < f"{tomorrow_ds_nodash[:4]}-{tomorrow_ds_nodash[4:6]}-99"
    assert macros.ds_add(ds, -1) == yesterday_ds
    log.info("%s %s %s %s", prev_ds, next_ds, run_id, ti.log_url)


with DAG(
    dag_id="incremental",
    start_date=datetime(2023, 1, 1),
    schedule_interval="0 6 * * *",
    catchup=True,
    max_active_runs=2,
    default_args={
        "depends_on_past": True,
        "retries": 2,
        "retry_delay": timedelta(seconds=1),
    },
    params={"tables": Param(["a", "b"], type="array")},
    render_template_as_native_obj=False,
) as dag:
    groups = []
    for table in ("a", "b"):
        with TaskGroup(group_id=table, tooltip=f"loads {table}") as group:
            taken = PythonOperator(
                task_id="extract",
                python_callable=extract,
                op_kwargs={
                    "table": table,
                    "start": "{{ data_interval_start }}",
                    "end": "{{ data_interval_end }}",
                    "path": os.environ["OUT_FOLDER"]
                    + f"/{table}-{{{{ ts_nodash }}}}.json",
                },
            )
            kept = PythonOperator(
                task_id="load",
                python_callable=load,
                op_args=[f"{{{{ ti.xcom_pull(task_ids='{table}.extract') }}}}"],
            )
            taken >> kept
        groups.append(group)
    chain(*groups)
