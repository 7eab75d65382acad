from pathlib import Path

import pendulum
from airflow.providers.common.sql.hooks.sql import fetch_one_handler
from airflow.providers.common.sql.operators.sql import (
    SQLCheckOperator,
    SQLExecuteQueryOperator,
    SQLValueCheckOperator,
)
from airflow.providers.sqlite.hooks.sqlite import SqliteHook
from airflow.sdk import dag, task


@dag(
    schedule="0 0 * * *",
    start_date=pendulum.datetime(2024, 1, 1),
    template_searchpath=str(Path(__file__).parent / "sql"),
    default_args={"conn_id": "shop", "owner": "dw"},
)
def warehouse():
    create = SQLExecuteQueryOperator(
        task_id="create",
        sql="create table if not exists orders (day text, amount real)",
    )
    write = SQLExecuteQueryOperator(
        task_id="write",
        sql="orders_of_day.sql",
        parameters={"day": "{{ ds }}"},
        params={"amount": 10.5},
        split_statements=True,
        autocommit=True,
    )
    again = SQLExecuteQueryOperator(
        task_id="again",
        sql=["delete from orders where day = '{{ ds }}'"]
        + [
            "insert into orders values ('{{ macros.ds_add(ds, %d) }}', %d)" % (n, n)
            for n in (0, 1)
        ],
    )

    @task
    def load(ds=None):
        hook = SqliteHook(sqlite_conn_id="shop")
        hook.insert_rows("orders", [(ds, 3), (ds, 4)], target_fields=["day", "amount"])
        assert len(hook.get_pandas_df("select * from orders")) == 4
        return hook.get_records("select amount from orders where amount > ?", (2,))

    total = SQLExecuteQueryOperator(
        task_id="total", sql="select sum(amount) from orders", handler=fetch_one_handler
    )

    @task
    def same(found, total):
        assert [row[0] for row in found] == [3, 4]
        assert total[0] == 8

    some = SQLCheckOperator(task_id="some", sql="select count(*) from orders")
    wrong = SQLValueCheckOperator(
        task_id="wrong",
        sql="select sum(amount) from orders where day = '{{ ds }}'",
        pass_value="{{ 70 }}",
        tolerance=0.1,
    )
    create >> write >> again >> (found := load()) >> total
    same(found, total.output) >> some >> wrong


warehouse()
