"""The example of incremental work: each run its own day, and twice is as good as once."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from mlflowkit.authoring.loader import load_dag
from tests.homes import fresh_home

PIPELINE = Path(__file__).parents[2] / "pipelines" / "incremental.py"
JANUARY = datetime(2026, 1, 1, tzinfo=UTC)
ORDERS = [
    ("2026-01-01T00:00:00+00:00", 10.0),  # a start belongs to its interval
    ("2026-01-01T23:59:59+00:00", 5.0),
    ("2026-01-02T00:00:00+00:00", 7.0),  # an end belongs to the next one
    ("2026-01-03T12:00:00+00:00", 1.0),
    ("2026-01-04T00:00:00+00:00", 99.0),
]
ALL_GOOD = {"make_tables": "success", "sum_up": "success", "write_report": "success"}
SALES = [("2026-01-01", 2, 15.0), ("2026-01-02", 1, 7.0), ("2026-01-03", 1, 1.0)]
REPORTS = {
    "orders-2026-01-01.csv": "2026-01-01T00:00:00+00:00,10.0\n2026-01-01T23:59:59+00:00,5.0\n",
    "orders-2026-01-02.csv": "2026-01-02T00:00:00+00:00,7.0\n",
    "orders-2026-01-03.csv": "2026-01-03T12:00:00+00:00,1.0\n",
}


class Shop:
    """A database of orders, a folder for reports, and runs of the pipeline over them."""

    def __init__(self, folder: Path) -> None:
        self.database, self.reports = folder / "orders.db", folder / "reports"
        with self.opened() as conn, conn:
            conn.execute(
                "CREATE TABLE orders (placed_at TEXT NOT NULL, amount REAL NOT NULL)"
            )
            conn.executemany("INSERT INTO orders VALUES (?, ?)", ORDERS)

    def opened(self) -> closing[sqlite3.Connection]:
        return closing(sqlite3.connect(self.database))

    def run_of(self, day: datetime) -> dict[str, str]:
        """A run that a person starts as soon as a day is over; gives its states."""
        logical = day + timedelta(days=1)
        dag = load_dag(str(PIPELINE))
        run = dag.run(logical_date=logical, folder=str(self.reports)).wait(120)
        return {task.task_id: str(task.state) for task in run.view().tasks}

    def sales(self) -> list[tuple[str, int, float]]:
        with self.opened() as conn:
            return conn.execute("SELECT * FROM daily_sales ORDER BY day").fetchall()

    def files(self) -> dict[str, str]:
        return {file.name: file.read_text() for file in sorted(self.reports.iterdir())}


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shop]:
    made = Shop(tmp_path)
    monkeypatch.setenv("MLFLOWKIT_CONN_ORDERS", f"sqlite:///{made.database}")
    with fresh_home(tmp_path) as home:
        monkeypatch.setenv("MLFLOWKIT_HOME", str(home))
        yield made


def test_three_days_run_twice_and_out_of_order_leave_what_running_them_once_leaves(
    shop: Shop,
) -> None:
    days = [JANUARY + timedelta(days=n) for n in range(3)]
    assert [shop.run_of(day) for day in days] == [ALL_GOOD] * 3
    assert (shop.sales(), shop.files()) == (SALES, REPORTS)
    assert [shop.run_of(day) for day in reversed(days)] == [ALL_GOOD] * 3
    assert (shop.sales(), shop.files()) == (SALES, REPORTS)


def test_an_order_that_came_late_is_counted_by_running_its_day_again(shop: Shop) -> None:
    for n in range(3):
        shop.run_of(JANUARY + timedelta(days=n))
    with shop.opened() as conn, conn:
        conn.execute("INSERT INTO orders VALUES ('2026-01-02T18:00:00+00:00', 3.0)")
    assert shop.run_of(JANUARY + timedelta(days=1)) == ALL_GOOD
    assert shop.sales() == [SALES[0], ("2026-01-02", 2, 10.0), SALES[2]]


def test_in_this_process_a_run_is_about_the_day_that_is_over(shop: Shop) -> None:
    logical = datetime(2026, 1, 2, 9, 30, tzinfo=UTC)
    run = load_dag(str(PIPELINE)).test(logical_date=logical, folder=str(shop.reports))
    assert run.states() == ALL_GOOD
    assert (shop.sales(), list(shop.files())) == (SALES[:1], ["orders-2026-01-01.csv"])
