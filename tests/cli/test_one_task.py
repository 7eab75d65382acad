"""`mlflowkit test FILE TASK` and `mlflowkit dags simulate`, from a terminal."""

from __future__ import annotations

from tests.cli.terminal import Terminal

PIPELINE = """
from datetime import UTC, datetime
from mlflowkit import TaskSkipped, dag, task

@task
def load(n: int) -> list[int]:
    print("loading", n)
    return list(range(n))

@task
def mean(rows: list[int]) -> float:
    return sum(rows) / len(rows)

@task
def double(x: int) -> int:
    return 2 * x

@task
def day(ds: str | None = None) -> str | None:
    if ds == "2026-03-01":
        raise TaskSkipped("it is Sunday")
    return ds

@dag(schedule="@daily", start_date=datetime(2026, 3, 1, tzinfo=UTC))
def train(n: int = 3):
    rows = load(n)
    mean(rows)
    double.expand(x=rows)
    day()
"""


def test_one_task_is_run_and_its_value_printed(terminal: Terminal) -> None:
    terminal.pipeline(PIPELINE)
    found = terminal("test", "p.py", "load", "-p", "n=2")
    assert (found.status, found.out) == (0, "loading 2\n[0, 1]\nload: success\n")
    found = terminal("test", "p.py", "mean", "--xcom", "load=[1, 5]", "--json")
    assert found.json() == {
        "dag_id": "train",
        "task_id": "mean",
        "state": "success",
        "why": "",
        "value": 3.0,
    }
    found = terminal("test", "p.py", "double", "--xcom", "load=[4,5]", "--map-index", "1")
    assert found.out == "10\ndouble: success\n"
    assert not (terminal.home / "store.db").exists()


def test_how_it_ends_is_the_exit_status(terminal: Terminal) -> None:
    terminal.pipeline(PIPELINE)
    failed = terminal("test", "p.py", "mean", "--xcom", "load=[]")
    assert failed.status == 1
    assert "mean: failed (ZeroDivisionError: division by zero)" in failed.err
    assert "sum(rows) / len(rows)" in failed.err
    skipped = terminal("test", "p.py", "day", "--logical-date", "2026-03-01T00:00Z")
    assert (skipped.status, skipped.out) == (0, "day: skipped (it is Sunday)\n")
    missing = terminal("test", "p.py", "mean")
    assert missing.status == 2
    assert "it takes a value of 'load'" in missing.err
    assert "--xcom" in missing.err
    for wrong in ("load", "load=[1"):
        assert terminal("test", "p.py", "mean", "--xcom", wrong).status == 2
    assert terminal("test", "p.py", "men").status == 2


def test_values_come_from_the_latest_run_or_from_the_one_that_is_named(
    terminal: Terminal,
) -> None:
    terminal.pipeline(PIPELINE)
    for n in ("3", "5"):
        assert terminal("run", "p.py", "-p", f"n={n}").status == 0
    found = [
        terminal("test", "p.py", "mean", *more).out.splitlines()[0]
        for more in ((), ("--from-run", "train/1"), ("--xcom", "load=[9]"))
    ]
    assert found == ["2.0", "1.0", "9.0"]
    gone = terminal("test", "p.py", "mean", "--from-run", "train/7")
    assert gone.status == 2
    assert "train/7" in gone.err


def test_a_failed_dag_says_how_every_task_ended(terminal: Terminal) -> None:
    terminal.pipeline(PIPELINE)
    found = terminal("test", "p.py", "-p", "n=0", "--json")
    assert found.status == 1
    assert found.json()["tasks"] == {
        "load[-1]": "success",
        "mean[-1]": "failed",
        "double[-1]": "skipped",
        "day[-1]": "success",
    }


def test_a_schedule_is_simulated(terminal: Terminal) -> None:
    terminal.pipeline(PIPELINE)
    span = ("-s", "2026-03-01", "-e", "2026-03-04")
    found = terminal("dags", "simulate", "p.py", *span, "--duration", "load=3600")
    assert found.status == 0
    assert found.out == (
        "train: 2 runs from 2026-03-01 to 2026-03-04 (UTC): 2 success\n"
        "run      logical date      started           took     state    tasks\n"
        "train/1  2026-03-01 00:00  2026-03-02 00:00  1:01:00  success  6 success\n"
        "train/2  2026-03-02 00:00  2026-03-03 00:00  1:01:00  success  6 success\n"
    )
    told = terminal("dags", "simulate", "p.py", *span, "--outcome", "load=failed", "--json")
    assert [run["state"] for run in told.json()["runs"]] == ["failed", "failed"]
    assert [task["state"] for task in told.json()["tasks"]][:4] == [
        "failed",
        "upstream_failed",
        "upstream_failed",
        "success",
    ]
    wrong = terminal("dags", "simulate", "p.py", *span, "--outcome", "laod=failed")
    assert wrong.status == 2
    assert "Did you mean 'load'?" in wrong.err
