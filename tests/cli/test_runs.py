"""`mlflowkit runs …`."""

from __future__ import annotations

import signal

from mlflowkit.cli import drive
from tests.cli.terminal import Terminal, finished, wait_until

SLEEPER = """
import subprocess, sys, time
from pathlib import Path
from mlflowkit import dag, task

HERE = str(Path(__file__).parent)

@task
def first() -> int:
    return 1

@task
def sleep(x: int) -> None:
    subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"],
                     start_new_session=True)
    Path(HERE, "asleep").touch()
    time.sleep(600)

@task
def last(x: None) -> None:
    pass

@dag
def sleeper():
    last(sleep(first()))
"""
STOPPED = {"first[-1]": "success", "sleep[-1]": "failed", "last[-1]": "skipped"}


def test_retry_goes_on_from_the_failed_task_and_keeps_earlier_xcoms(
    train: Terminal,
) -> None:
    assert train("run", "p.py", "-p", "n=4").status == 1
    (train.folder / "flag").touch()
    again = train("runs", "retry", "train/1", "--json")
    assert (again.status, again.json()["run_id"]) == (0, "train/1")
    assert set(again.json()["tasks"].values()) == {"success"}
    assert (train.folder / "loads").read_text() == "x"
    assert train("runs", "logs", "train/1", "tell").out == "the sum is 6\n"


def test_retry_takes_the_latest_code_and_names_what_changed(train: Terminal) -> None:
    file = train.folder / "p.py"
    assert train("run", "p.py").status == 1
    whole = file.read_text()
    file.write_text(whole.replace("return sum(rows)", "return 100 + sum(rows)"))
    (train.folder / "flag").touch()
    again = train("runs", "retry", "train/1")
    assert again.status == 0, again.err
    changed = again.out.splitlines()[0]
    assert changed.startswith("changed since the run was started: ")
    assert "fit" in changed
    assert train("runs", "logs", "train/1", "tell").out == "the sum is 103\n"
    file.write_text(whole)
    assert train("runs", "retry", "train/1", "--task", "fit", "--code", "same").status == 0
    assert "the sum is 103" in train("runs", "logs", "train/1", "tell").out


def test_retry_with_other_arrows_is_refused_with_a_way_out(train: Terminal) -> None:
    file = train.folder / "p.py"
    assert train("run", "p.py").status == 1
    file.write_text(file.read_text().replace("tell(fit(load(n)))", "fit(load(n))"))
    refused = train("runs", "retry", "train/1")
    assert refused.status == 2
    assert "--code same" in refused.err
    assert train("runs", "retry", "train/1", "--task", "nope").status == 2


def test_list_and_show_say_what_ran(train: Terminal) -> None:
    assert train("runs", "list").out == "no runs yet\n"
    train("run", "p.py")
    (train.folder / "flag").touch()
    train("run", "p.py")
    found = train("runs", "list", "--json").json()
    assert [(r["run_id"], r["state"]) for r in found] == [
        ("train/2", "success"),
        ("train/1", "failed"),
    ]
    failed = train("runs", "list", "train", "--state", "failed", "--json").json()
    assert [r["run_id"] for r in failed] == ["train/1"]
    shown = train("runs", "show", "train/1")
    assert shown.status == 0
    assert "ValueError: there is no flag" in shown.out
    assert "files: home/runs/train/1" in shown.out
    assert train("runs", "logs", "train/1").out == "load | loading 3\nfit | fitting\n"


def test_ctrl_c_stops_the_run_and_leaves_nothing_running(terminal: Terminal) -> None:
    terminal.pipeline(SLEEPER)
    process = terminal.start("run", "p.py", "--json")
    wait_until((terminal.folder / "asleep").exists, "the task sleeps")
    process.send_signal(signal.SIGINT)
    answer = finished(process)
    assert answer.status == 130
    assert (answer.json()["state"], answer.json()["tasks"]) == ("failed", STOPPED)
    assert terminal.left_running() == []
    shown = terminal("runs", "show", "sleeper/1", "--json").json()
    assert (shown["state"], shown["tasks"]) == ("failed", STOPPED)


def test_a_second_ctrl_c_leaves_at_once_and_the_run_can_be_resumed_or_cancelled(
    terminal: Terminal,
) -> None:
    terminal.pipeline(SLEEPER.replace("time.sleep(600)\n\n@task\ndef last", STUBBORN))
    process = terminal.start("run", "p.py")
    wait_until((terminal.folder / "asleep").exists, "the task sleeps")
    process.send_signal(signal.SIGINT)
    said = process.stdout
    assert said is not None
    wait_until(lambda: "once more" in said.readline(), "it says that it stops")
    process.send_signal(signal.SIGINT)
    assert finished(process).status == 130
    wait_until(lambda: terminal.left_running() == [], "all that it had started has ended")
    assert "interrupted" in terminal("runs", "list").out
    cancelled = terminal("runs", "cancel", "sleeper/1")
    assert (cancelled.status, cancelled.out) == (0, "sleeper/1 was stopped: failed\n")
    assert terminal.left_running() == []


#: A task that does not listen to Ctrl-C.
STUBBORN = """
    while True:
        try:
            time.sleep(600)
        except KeyboardInterrupt:
            pass

@task
def last"""


def lost_sight_of(terminal: Terminal, run_id: str) -> bool:
    """Whether who watches a run thinks that its engine died, when no engine is there."""
    watcher = drive._Watcher(terminal.home, run_id)
    watcher.run()
    return watcher.gone


def test_resume_goes_on_after_the_engine_was_killed(terminal: Terminal) -> None:
    terminal.pipeline(
        SLEEPER.replace("time.sleep(600)\n\n@task", "wait()\n\n@task") + "\n\ndef wait():\n"
        "    while not Path(HERE, 'flag').exists():\n"
        "        time.sleep(0.02)\n"
    )
    process = terminal.start("run", "p.py")
    wait_until((terminal.folder / "asleep").exists, "the task waits")
    process.kill()
    process.communicate()
    assert terminal("runs", "list", "--json").json()[0]["state"] == "running"
    assert "interrupted" in terminal("runs", "show", "sleeper/1").out
    assert lost_sight_of(terminal, "sleeper/1")
    (terminal.folder / "flag").touch()
    resumed = terminal("runs", "resume", "--json")
    assert (resumed.status, set(resumed.json()["tasks"].values())) == (0, {"success"})
    assert not lost_sight_of(terminal, "sleeper/1"), "its engine went after its end"
    ended = terminal("runs", "resume", "sleeper/1")
    assert ended.status == 2
    assert "runs retry sleeper/1" in ended.err
    assert "nothing to resume" in terminal("runs", "resume").out


def test_cancel_stops_a_run_that_another_process_works_on(terminal: Terminal) -> None:
    terminal.pipeline(SLEEPER)
    process = terminal.start("run", "p.py", "--json")
    wait_until((terminal.folder / "asleep").exists, "the task sleeps")
    assert terminal("runs", "cancel", "sleeper/1", "--json").json()["tasks"] == STOPPED
    assert finished(process).status == 1
    assert "had ended already" in terminal("runs", "cancel", "sleeper/1").out
    assert terminal.left_running() == []


def test_a_run_that_waits_for_a_retry_in_an_engine_is_retried_now(
    terminal: Terminal,
) -> None:
    terminal.pipeline(
        "from datetime import timedelta\n"
        "from pathlib import Path\n"
        "from mlflowkit import dag, task\n"
        "FLAG = str(Path(__file__).parent / 'flag')\n"
        "@task(retries=1, retry_delay=timedelta(hours=1))\n"
        "def fit() -> None:\n"
        "    assert Path(FLAG).exists()\n"
        "@dag\n"
        "def later():\n"
        "    fit()\n"
    )
    assert terminal("engine", "start").status == 0
    try:
        left = terminal("run", "p.py")
        assert left.status == 1
        assert "by the engine that works in this home" in left.out
        (terminal.folder / "flag").touch()
        again = terminal("runs", "retry", "later/1", "--json")
        assert (again.status, again.json()["tasks"]) == (0, {"fit[-1]": "success"})
    finally:
        terminal("engine", "stop")
