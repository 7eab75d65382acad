"""`mlflowkit run` and `mlflowkit test`."""

from __future__ import annotations

import re
import time

from tests.cli.terminal import Terminal

ALL_GOOD = {"load[-1]": "success", "fit[-1]": "success", "tell[-1]": "success"}


def test_a_run_that_succeeds_exits_with_0_and_prints_one_json_object(
    train: Terminal,
) -> None:
    (train.folder / "flag").touch()
    answer = train("run", "p.py", "-p", "n=5", "--json")
    assert answer.status == 0
    assert answer.json() == {
        "dag_id": "train",
        "run_id": "train/1",
        "state": "success",
        "tasks": ALL_GOOD,
    }
    assert train("runs", "logs", "train/1", "tell").out == "the sum is 10\n"
    assert train.left_running() == []


def test_a_failed_run_exits_with_1_and_says_why_where_and_what_next(
    train: Terminal,
) -> None:
    answer = train("run", "p.py")
    assert answer.status == 1
    assert "train/1: failed" in answer.out
    assert "ValueError: there is no flag" in answer.out
    assert f'File "{train.folder}/p.py", line 18, in fit' in answer.out
    assert "mlflowkit/worker" not in answer.out
    log = re.search(r"log: +(\S+)", answer.out)
    assert log is not None
    assert (train.folder / log[1]).read_text() == "fitting\n"
    assert "mlflowkit runs retry train/1" in answer.out


def test_mapped_task_instances_are_named_with_their_index(terminal: Terminal) -> None:
    terminal.pipeline(
        "from mlflowkit import dag, task\n"
        "@task\n"
        "def double(x: int) -> int:\n"
        "    return 2 * x\n"
        "@task\n"
        "def total(xs: list) -> int:\n"
        "    return sum(xs)\n"
        "@dag\n"
        "def sums():\n"
        "    total(double.expand(x=[1, 2]))\n"
    )
    answer = terminal("run", "p.py", "--json")
    names = {"double[0]": "success", "double[1]": "success", "total[-1]": "success"}
    assert (answer.status, answer.json()["tasks"]) == (0, names)


def test_parameters_are_json_where_their_type_asks_for_it(terminal: Terminal) -> None:
    terminal.pipeline(
        "from mlflowkit import dag, task\n"
        "@task\n"
        "def show(*given) -> None:\n"
        "    print(given)\n"
        "@dag\n"
        "def shown(n: int, x: float, text: str, many: list[int], on: bool, maybe: int | None"
        " = None):\n"
        "    show(n, x, text, many, on, maybe)\n"
    )
    given = ["n=1", "x=2", "text=3", "many=[4, 5]", "on=true", "maybe=null"]
    answer = terminal("run", "p.py", *(a for g in given for a in ("-p", g)))
    assert answer.status == 0, answer.out
    assert (
        terminal("runs", "logs", "shown/1", "show").out
        == "(1, 2, '3', [4, 5], True, None)\n"
    )


def test_wrong_use_exits_with_2_and_one_clear_sentence(train: Terminal) -> None:
    train.pipeline("x = 1\n", "empty.py")
    train.pipeline("1 / 0\n", "broken.py")
    said = {
        ("run", "q.py"): "the pipeline file q.py does not exist. Did you mean 'p.py'?",
        ("run", "p.py:trane"): "has no DAG 'trane' (it has: train)",
        ("run", "empty.py"): "no DAG",
        ("run", "broken.py"): "ZeroDivisionError: division by zero",
        ("run", "p.py", "-p", "m=1"): "has no parameter 'm' (it has: n)",
        ("run", "p.py", "-p", "n=many"): "should be int, but it was given 'many'",
        ("run", "p.py", "-p", "n"): "'n' is not NAME=VALUE",
        ("run", "p.py", "-p", "n=1", "-p", "n=2"): "'n' is given twice",
        ("runs", "show", "train/7"): "train/7",
        ("runs", "retry", "train/7"): "train/7",
    }
    for arguments, sentence in said.items():
        answer = train(*arguments)
        assert answer.status == 2, arguments
        assert sentence in answer.err, arguments
        assert "Traceback" not in answer.err, arguments
    assert train("runs", "list", "--json").json() == []


def test_a_missing_notebook_is_named_before_anything_runs(terminal: Terminal) -> None:
    terminal.pipeline(
        "from mlflowkit import dag, notebook\n"
        "@dag\n"
        "def books():\n"
        "    notebook('nope.ipynb')\n"
    )
    answer = terminal("run", "p.py")
    assert answer.status == 2
    assert "there is no notebook 'nope.ipynb'" in answer.err


def test_a_run_does_not_sleep_an_hour_for_a_retry(terminal: Terminal) -> None:
    terminal.pipeline(
        "from datetime import timedelta\n"
        "from mlflowkit import dag, task\n"
        "@task(retries=1, retry_delay=timedelta(hours=1))\n"
        "def fit() -> None:\n"
        "    raise ValueError('not yet')\n"
        "@dag\n"
        "def later():\n"
        "    fit()\n"
    )
    begun = time.monotonic()
    answer = terminal("run", "p.py")
    assert time.monotonic() - begun < 60
    assert answer.status == 1
    assert re.search(r"the retry would be due at .*\d\d:\d\d", answer.out)
    assert "`mlflowkit runs retry later/1` to do it now" in answer.out
    assert terminal("runs", "show", "later/1", "--json").json()["tasks"] == {
        "fit[-1]": "failed"
    }
    now = terminal("run", "p.py", "--retry-delay", "0", "--json")
    assert (now.status, now.json()["state"]) == (1, "failed")
    assert "retry would be due" not in now.err
    assert "(try 2)" in now.err


def test_logs_are_shown_while_it_runs_if_asked(train: Terminal) -> None:
    answer = train("run", "p.py", "--logs")
    assert "load | loading 3" in answer.out
    assert "fit | fitting" in answer.out


def test_test_runs_in_this_process_without_a_store(train: Terminal) -> None:
    failed = train("test", "p.py")
    assert failed.status == 1
    assert "task fit failed: ValueError: there is no flag" in failed.err
    (train.folder / "flag").touch()
    good = train("test", "p.py", "-p", "n=4", "--json")
    assert good.status == 0
    assert good.json() == {
        "dag_id": "train",
        "run_id": "train/test",
        "state": "success",
        "tasks": ALL_GOOD,
    }
    assert "the sum is 6" in good.err
    assert not (train.home / "store.db").exists()


def test_the_engine_that_is_alive_is_used(train: Terminal) -> None:
    (train.folder / "flag").touch()
    assert train("engine", "start").status == 0
    try:
        engine = train("engine", "status", "--json").json()["engine_id"]
        assert train("run", "p.py", "--json").json()["state"] == "success"
        handed = train("run", "p.py", "--no-wait", "--json").json()
        assert handed["run_id"] == "train/2"
        followed = train("runs", "logs", "train/2", "--follow")
        assert "tell | the sum is 3" in followed.out
        assert train("engine", "status", "--json").json()["engine_id"] == engine
    finally:
        assert train("engine", "stop").status == 0
    assert train("engine", "status").status == 1
    assert train.left_running() == []
