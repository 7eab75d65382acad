"""Incremental work that may be repeated: each run handles the orders of its own data interval.

mlflowkit run pipelines/incremental.py            the day that is over
MLFLOWKIT_CONN_ORDERS=sqlite:////tmp/orders.db    the SQLite file with a table `orders`

A run replaces what it has written before, in one transaction, and touches no other day. So a
retry, a second run of the same day and a backfill of last month leave the same tables.
"""

from __future__ import annotations

from datetime import UTC, datetime

from mlflowkit import dag, task
from mlflowkit.operators import SQLExecuteQueryOperator

TABLES = """
    CREATE TABLE IF NOT EXISTS orders (placed_at TEXT NOT NULL, amount REAL NOT NULL);
    CREATE TABLE IF NOT EXISTS daily_sales (
        day TEXT PRIMARY KEY, orders INTEGER NOT NULL, amount REAL NOT NULL
    );
"""
#: The interval begins with its start, and ends just before its end: no order counts twice.
SALES = """
    DELETE FROM daily_sales WHERE day = date(:start);
    INSERT INTO daily_sales
    SELECT date(:start), count(*), coalesce(sum(amount), 0) FROM orders
    WHERE placed_at >= :start AND placed_at < :end;
"""


@task(idempotent=True)
def write_report(
    folder: str, data_interval_start: datetime, data_interval_end: datetime
) -> str:
    """The orders of the interval as a file of its own; gives its path."""
    from pathlib import Path

    from mlflowkit.hooks.sql import SqlHook

    begin, end = data_interval_start.isoformat(), data_interval_end.isoformat()
    rows = SqlHook("orders").get_records(
        "SELECT placed_at, amount FROM orders"
        " WHERE placed_at >= ? AND placed_at < ? ORDER BY placed_at, amount",
        (begin, end),
    )
    file = Path(folder) / f"orders-{data_interval_start:%Y-%m-%d}.csv"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("".join(f"{placed_at},{amount}\n" for placed_at, amount in rows))
    return str(file)


@dag(
    schedule="@daily",
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=True,
    max_active_runs=1,
    tags=["example"],
)
def incremental(folder: str = "reports") -> None:
    """Sum up the orders of each day, and write them to a file for each day."""
    make_tables = SQLExecuteQueryOperator(
        task_id="make_tables", conn_id="orders", sql=TABLES, split_statements=True
    )
    sum_up = SQLExecuteQueryOperator(
        task_id="sum_up",
        conn_id="orders",
        sql=SALES,
        parameters={
            "start": "{{ data_interval_start.isoformat() }}",
            "end": "{{ data_interval_end.isoformat() }}",
        },
        split_statements=True,
    )
    make_tables >> [sum_up, write_report(folder)]


d = incremental()
