from datetime import datetime

from airflow import DAG
from airflow.hooks.base import BaseHook
from airflow.operators.python import PythonOperator
from airflow.providers.common.sql.operators.sql import (
    BranchSQLOperator,
    SQLCheckOperator,
    SQLExecuteQueryOperator,
)
from airflow.operators.empty import EmptyOperator
from airflow.providers.sqlite.hooks.sqlite import SqliteHook
from airflow.providers.sqlite.operators.sqlite import SqliteOperator


def count(**_):
    hook = SqliteHook(sqlite_conn_id="shop")
    hook.insert_rows("orders", [(3, 30.0)], target_fields=["id", "amount"])
    assert BaseHook.get_connection("shop").conn_type == "sqlite"
    return hook.get_first("select count(*) from orders")[0]


with DAG("sql", schedule_interval=None, start_date=datetime(2021, 1, 1)) as dag:
    create = SqliteOperator(
        task_id="create",
        sqlite_conn_id="shop",
        sql="create table orders (id integer, amount real)",
    )
    fill = SQLExecuteQueryOperator(
        task_id="fill",
        conn_id="shop",
        sql=[
            "insert into orders values (1, :amount)",
            "insert into orders values (2, :amount)",
        ],
        parameters={"amount": 12.5},
    )
    counted = PythonOperator(task_id="count", python_callable=count)
    check = SQLCheckOperator(
        task_id="check",
        conn_id="shop",
        sql="select count(*) from orders where amount > 0",
    )
    bad_check = SQLCheckOperator(
        task_id="bad_check",
        conn_id="shop",
        sql="select count(*) from orders where amount < 0",
    )
    branch = BranchSQLOperator(
        task_id="branch",
        conn_id="shop",
        sql="select count(*) > 2 from orders",
        follow_task_ids_if_true=["many"],
        follow_task_ids_if_false=["few"],
    )
    create >> fill >> counted >> [check, bad_check, branch]
    branch >> [EmptyOperator(task_id="many"), EmptyOperator(task_id="few")]
