"""Variables, connections and configuration from the environment."""

from datetime import datetime

import airflow
from airflow import DAG, settings
from airflow.configuration import conf
from airflow.hooks.base_hook import BaseHook
from airflow.models import Connection, Variable
from airflow.operators.python import PythonOperator
from airflow.utils.log.logging_mixin import LoggingMixin

TABLES = Variable.get("tables", deserialize_json=True)
REGION = Variable.get("no_such_region", default_var="eu")
PARALLEL = conf.getint("core", "parallelism")
SENDER = conf.get("smtp", "smtp_mail_from", fallback="nobody")


def look(table, **context):
    LoggingMixin().log.info("reading %s", table)
    connection = BaseHook.get_connection("warehouse")
    assert isinstance(connection, Connection)
    assert (connection.host, connection.port, connection.login) == (
        "db.local",
        5432,
        "ann",
    )
    assert connection.extra_dejson == {"sslmode": "disable"}
    return f"{table}-{REGION}"


with DAG(
    "settings",
    start_date=airflow.utils.dates.days_ago(1),
    schedule_interval="0 3 * * *",
) as dag:
    for table in TABLES:
        PythonOperator(
            task_id=f"look_at_{table}", python_callable=look, op_kwargs={"table": table}
        )
    PythonOperator(
        task_id="templated",
        python_callable=lambda *parts: "/".join(parts),
        op_args=[
            "{{ var.value.greeting }}",
            "{{ var.json.tables[0] }}",
            "{{ conn.warehouse.host }}",
        ],
    )
assert settings.AIRFLOW_HOME
assert SENDER == "nobody"
