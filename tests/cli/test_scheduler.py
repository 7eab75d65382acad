"""`mlflowkit scheduler`, `dags pause|unpause|trigger|delete|next` and `backfill`, as typed."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from mlflowkit.home_store import database
from mlflowkit.store.reading import list_runs
from tests.cli.terminal import Answer, Terminal, finished, wait_until

FILE = """
from mlflowkit import DAG, task
{more}

@task
def hello() -> str:
    return "{word}"

with DAG("{dag_id}", schedule="{cron}", timezone="UTC"{options}):
    hello()
"""
SECONDS = "* * * * * */2"


def write(
    terminal: Terminal,
    name: str = "a.py",
    *,
    dag_id: str = "a",
    cron: str = SECONDS,
    word: str = "hi",
    options: str = "",
    more: str = "",
) -> Path:
    (terminal.folder / "pyproject.toml").touch()
    folder = terminal.folder / "pipelines"
    folder.mkdir(exist_ok=True)
    path = folder / name
    text = FILE.format(dag_id=dag_id, cron=cron, word=word, options=options, more=more)
    path.write_text(text)
    return path


class Scheduler:
    """A scheduler in another process, and what it has said so far."""

    def __init__(self, terminal: Terminal, *arguments: str) -> None:
        self.terminal = terminal
        self._out = terminal.folder / "scheduler.txt"
        with self._out.open("w") as out:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "mlflowkit", "scheduler", *arguments],
                cwd=terminal.folder,
                env=terminal.environment,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
            )

    @property
    def said(self) -> str:
        return self._out.read_text()

    def says(self, what: str) -> None:
        wait_until(lambda: what in self.said, what)

    def interrupt(self) -> int:
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(120)


@contextmanager
def scheduler(terminal: Terminal, *arguments: str) -> Iterator[Scheduler]:
    found = Scheduler(terminal, *arguments)
    try:
        yield found
    finally:
        if found.process.poll() is None:
            found.process.kill()
            found.process.wait()


def runs(terminal: Terminal, dag_id: str = "a") -> list[Any]:
    """The newest first."""
    if not (terminal.home / "store.db").exists():
        return []
    with database(terminal.home).reading() as tx:
        return list_runs(tx, dag_id)


def fine(answer: Answer) -> Answer:
    assert answer.status == 0, answer.err
    return answer


def test_a_new_dag_is_paused_and_runs_from_when_it_is_unpaused(terminal: Terminal) -> None:
    write(terminal)
    with scheduler(terminal) as one:
        one.says("new, and paused: a; `mlflowkit dags unpause a`")
        assert runs(terminal) == []
        assert "paused" in fine(terminal("dags", "list")).out
        assert "runs at " in fine(terminal("dags", "unpause", "a")).out
        wait_until(lambda: runs(terminal), "a run")
        (dag,) = fine(terminal("dags", "list", "--json")).json()["dags"]
        assert (dag["dag_id"], dag["published"]["paused"]) == ("a", False)
        fine(terminal("dags", "pause", "a"))
        assert one.interrupt() == 0
        assert "stopped" in one.said
    assert {one.run_type for one in runs(terminal)} == {"scheduled"}


def test_files_that_change_break_and_go_are_followed(terminal: Terminal) -> None:
    path = write(terminal)
    with scheduler(terminal, "--unpaused") as one:
        one.says("new: a")
        path.write_text("import mlflowkit  # dag\nraise ValueError('oops')\n")
        one.says("oops")
        one.says("goes on as it was before the error: a")
        write(terminal, word="ho")
        one.says("changed: a")
        one.says("no more errors")
        write(terminal, "b.py", dag_id="b", options=", is_paused_upon_creation=True")
        one.says("new, and paused: b")
        path.unlink()
        one.says("no more runs: a")
        known = fine(terminal("dags", "list", "--json")).json()["dags"]
        assert [dag["dag_id"] for dag in known] == ["b"]
        one.interrupt()


def test_the_tasks_of_a_folder_find_its_modules(terminal: Terminal) -> None:
    write(terminal, more="from words import word\nword()")
    (terminal.folder / "pipelines" / "words.py").write_text("def word():\n    return 1\n")
    with scheduler(terminal, "--unpaused"):
        wait_until(lambda: any(r.state == "success" for r in runs(terminal)), "a success")


def test_files_for_airflow_are_followed_beside_ours(terminal: Terminal) -> None:
    write(terminal)
    text = (
        "from airflow import DAG\nfrom airflow.operators.empty import EmptyOperator\n"
        "with DAG('theirs', schedule_interval=None):\n    EmptyOperator(task_id='a')\n"
    )
    (terminal.folder / "pipelines" / "b.py").write_text(text)
    with scheduler(terminal, "--airflow") as one:
        one.says("new, and paused: a, theirs")
        started = fine(terminal("dags", "trigger", "theirs", "--json")).json()["run_id"]
        assert started == "theirs/1"
        wait_until(lambda: [r.state for r in runs(terminal, "theirs")] == ["success"], "it")
        assert one.interrupt() == 0


def test_an_engine_in_the_background_plans_until_its_scheduler_leaves(
    terminal: Terminal,
) -> None:
    write(terminal)
    fine(terminal("engine", "start"))
    with scheduler(terminal, "--unpaused") as one:
        one.says("the engine in the background starts the runs")
        wait_until(lambda: runs(terminal), "a run")
        second = terminal("scheduler")
        assert (second.status, "already" in second.err) == (2, True)
        assert one.interrupt() == 0
    assert fine(terminal("engine", "status")).status == 0
    assert "no scheduler is alive" in terminal("dags", "next", "a").err
    fine(terminal("engine", "stop"))


def test_a_killed_scheduler_loses_no_run_and_starts_none_twice(terminal: Terminal) -> None:
    write(terminal)
    with scheduler(terminal, "--unpaused") as one:
        wait_until(lambda: runs(terminal), "a run")
        one.process.kill()
        one.process.wait()
    with scheduler(terminal):
        before = len(runs(terminal))
        wait_until(lambda: len(runs(terminal)) > before + 1, "more runs")
        wait_until(lambda: runs(terminal)[-1].state == "success", "the first run's end")


def test_without_a_scheduler_dags_say_when_they_would_run(terminal: Terminal) -> None:
    write(terminal, cron="0 6 * * *")
    with scheduler(terminal) as one:
        one.says("new, and paused: a")
        one.interrupt()
    answer = fine(terminal("dags", "next", "a", "-n", "2", "--json")).json()
    assert [one["run_after"][11:16] for one in answer] == ["06:00", "06:00"]
    assert "paused: `mlflowkit dags unpause a`" in terminal("dags", "next", "a").err


def test_a_published_dag_is_triggered_and_deleted(terminal: Terminal) -> None:
    write(terminal, cron="0 6 * * *", options=', params={"n": 1}')
    with scheduler(terminal) as one:
        one.says("new, and paused: a")
        started = fine(terminal("dags", "trigger", "a", "-p", "n=2", "--run-id", "mine"))
        assert "a/mine was started" in started.out
        wait_until(lambda: runs(terminal)[0].state == "success", "its end")
        assert terminal("dags", "trigger", "a", "--run-id", "../x").status == 2
        assert terminal("dags", "trigger", "a", "-p", "m=2").status == 2
        fine(terminal("dags", "delete", "a"))
        assert terminal("dags", "trigger", "a").status == 2
    assert len(runs(terminal)) == 1


def test_a_run_is_watched_until_it_ends(terminal: Terminal) -> None:
    path = write(terminal, cron="@daily", more="import time")
    path.write_text(path.read_text().replace('    return "hi"', "    time.sleep(2)"))
    where = str(path.relative_to(terminal.folder))
    fine(terminal("run", where, "--no-wait"))
    watching = terminal.start("runs", "watch", "a/1")
    assert finished(watching).status == 0
    assert runs(terminal)[0].state == "success"
    assert terminal("runs", "watch", "a/1").status == 0
    assert terminal("runs", "watch", "a/9").status == 2


# ── backfills ──

MAY = ("-s", "2025-05-01", "-e", "2025-05-03")


def test_a_backfill_of_a_file_runs_what_is_missing(terminal: Terminal) -> None:
    path = str(write(terminal, cron="@daily").relative_to(terminal.folder))
    plan = fine(terminal("backfill", path, *MAY, "--dry-run", "--json")).json()["runs"]
    assert [one["would"] for one in plan] == ["run"] * 3
    assert not runs(terminal)
    first = fine(terminal("backfill", path, "-s", "2025-05-01", "-e", "2025-05-02"))
    assert "a: 2 success" in first.out
    again = fine(terminal("backfill", path, *MAY))
    assert "a: 1 success" in again.out
    assert "left as they were: 2 (2 success)" in again.out
    told = fine(terminal("backfill", path, *MAY, "--dry-run")).out
    assert told.count("be left as it is") == 3


def test_a_backfill_with_failures_says_so_and_tries_only_them_again(
    terminal: Terminal,
) -> None:
    more = "from pathlib import Path\nFLAG = str(Path(__file__).parent / 'flag')"
    path = write(terminal, cron="@daily", more=more)
    text = path.read_text().replace('    return "hi"', "    open(FLAG).close()")
    path.write_text(text)
    where = str(path.relative_to(terminal.folder))
    failed = terminal("backfill", where, *MAY, "--json")
    assert (failed.status, failed.json()["counts"]) == (1, {"failed": 3})
    left = terminal("backfill", where, *MAY)
    assert (left.status, "left as they were: 3 (3 failed)" in left.out) == (1, True)
    (terminal.folder / "pipelines" / "flag").touch()
    again = fine(terminal("backfill", where, *MAY, "--rerun", "failed"))
    assert "a: 3 success" in again.out


def test_a_stopped_backfill_takes_back_what_has_not_begun(terminal: Terminal) -> None:
    more = (
        "import time\nfrom pathlib import Path\nGATE = str(Path(__file__).parent / 'gate')"
    )
    path = write(terminal, cron="@daily", more=more)
    slow = "    while not Path(GATE).exists():\n        time.sleep(0.02)"
    path.write_text(path.read_text().replace('    return "hi"', slow))
    where = str(path.relative_to(terminal.folder))
    going = terminal.start("backfill", where, *MAY, "--max-active", "1")
    wait_until(lambda: any(r.state == "running" for r in runs(terminal)), "a run")
    going.send_signal(signal.SIGINT)
    assert going.stdout is not None
    assert "taken back: 2 runs" in going.stdout.readline()
    (path.parent / "gate").touch()
    assert finished(going).status == 130
    assert [one.state for one in runs(terminal)] == ["success"]
    assert "a: 2 success" in fine(terminal("backfill", where, *MAY)).out


def test_a_published_dag_is_backfilled_by_the_engine_that_is_alive(
    terminal: Terminal,
) -> None:
    write(terminal, cron="@daily")
    with scheduler(terminal) as one:
        one.says("new, and paused: a")
        answer = fine(terminal("backfill", "a", *MAY, "--reverse"))
        assert "a: 3 success" in answer.out
    assert {one.run_type for one in runs(terminal)} == {"backfill"}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("-s", "2025-05-03", "-e", "2025-05-01"), "after it ends"),
        (("-s", "yesterday", "-e", "2025-05-01"), "is no date"),
        (("-s", "2095-05-03", "-e", "2095-05-04"), "is over"),
        ((*MAY, "--rerun", "some"), "rerun is"),
    ],
)
def test_a_backfill_that_makes_no_sense_is_refused(
    terminal: Terminal, arguments: tuple[str, ...], said: str
) -> None:
    path = str(write(terminal, cron="@daily").relative_to(terminal.folder))
    answer = terminal("backfill", path, *arguments)
    assert (answer.status, said in answer.err) == (2, True), answer.err
