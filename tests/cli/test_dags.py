"""`mlflowkit dags …` in a terminal: folders, their errors, and what lint says."""

from __future__ import annotations

from pathlib import Path

from tests.cli.terminal import Terminal

HEAD = "from mlflowkit import DAG, dag, task\n"
GOOD = (
    HEAD
    + "@task\ndef load(n: int):\n    return n\n@task\ndef fit(x):\n    return x\n"
    + "@dag(schedule='@daily')\ndef train(n: int = 3):\n"
    + "    fit(load(n))\n"
)


def write(terminal: Terminal, name: str, text: str) -> Path:
    path = terminal.folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def test_a_folder_is_listed_with_the_errors_of_its_files(terminal: Terminal) -> None:
    write(terminal, "pipelines/train.py", GOOD)
    write(terminal, "pipelines/bad.py", HEAD + "\n1 / 0\n")
    for answer in (
        terminal("dags", "list", "pipelines"),
        terminal("dags", "list", "pipelines"),
    ):
        assert answer.status == 1
        assert answer.out == "train  (@daily): load, fit  [pipelines/train.py]\n"
        assert answer.err == (
            "error: pipelines/bad.py, line 3: ZeroDivisionError: division by zero\n"
            "1 DAG in 2 files, 1 error\n"
        )


def test_a_folder_is_listed_as_json(terminal: Terminal) -> None:
    good = write(terminal, "pipelines/train.py", GOOD)
    bad = write(terminal, "pipelines/bad.py", HEAD + "def f():\n    x = {}['a']\nf()\n")
    answer = terminal("dags", "list", "pipelines", "--json")
    assert (answer.status, answer.err) == (1, "")
    assert answer.json() == {
        "folder": str(good.parent),
        "dags": [
            {
                "dag_id": "train",
                "schedule": "@daily",
                "tasks": ["load", "fit"],
                "params": ["n"],
                "file": str(good),
                "published": None,
            }
        ],
        "errors": [
            {
                "file": str(bad),
                "code": "pipeline_broken",
                "error": "KeyError: 'a'",
                "line": 3,
                "where": "",
                "dag_id": "",
                "trace": f'  File "{bad}", line 4, in <module>\n    f()\n'
                f"  File \"{bad}\", line 3, in f\n    x = {{}}['a']\n        ~~^^^^^",
            }
        ],
        "files": 2,
        "unchanged": 0,
    }
    bad.unlink()
    again = terminal("dags", "list", "pipelines", "--json")
    assert (again.status, again.json()["unchanged"]) == (0, 1)
    anew = terminal("dags", "list", "pipelines", "--json", "--refresh")
    assert anew.json()["unchanged"] == 0


def test_without_a_name_the_project_s_pipelines_are_meant(terminal: Terminal) -> None:
    missing = terminal("dags", "list")
    assert missing.status == 2
    assert "is no folder that exists" in missing.err
    (terminal.folder / "pyproject.toml").touch()
    write(terminal, "pipelines/train.py", GOOD)
    assert terminal("dags", "list").out == (
        "train  (@daily): load, fit  [pipelines/train.py]\n"
    )


def test_an_error_in_a_module_or_a_cell_is_shown_where_it_is(terminal: Terminal) -> None:
    write(terminal, "pipelines/p.py", HEAD + "import helpers\n")
    helpers = write(terminal, "pipelines/helpers.py", "\n\nx = y\n")
    write(
        terminal,
        "pipelines/q.ipynb",
        '{"cells": [{"cell_type": "code", "metadata": {"tags": ["dag"]}, '
        '"source": "import mlflowkit.dag\\n1 / 0"}], "nbformat": 4, "nbformat_minor": 5, '
        '"metadata": {}}',
    )
    answer = terminal("dags", "list", "pipelines")
    assert answer.err.splitlines()[0] == (
        f"error: pipelines/p.py, from {helpers.relative_to(terminal.folder)}, line 3: "
        "NameError: name 'y' is not defined"
    )
    assert answer.err.splitlines()[1].startswith(
        "error: pipelines/q.ipynb, cell 1, line 1: "
    )


def test_a_dag_of_a_notebook_is_shown_and_run(terminal: Terminal) -> None:
    source = GOOD.replace("\n", "\\n")
    write(
        terminal,
        "p.ipynb",
        f'{{"cells": [{{"cell_type": "code", "metadata": {{}}, "source": "{source}"}}], '
        '"nbformat": 4, "nbformat_minor": 5, "metadata": {}}',
    )
    shown = terminal("dags", "show", "p.ipynb")
    assert shown.out == (
        "DAG train: 2 tasks\n  load\n  load >> fit\n  schedule: @daily\n"
        f"  file: {terminal.folder}/p.ipynb\n  -p n: int = 3\n"
    )
    ran = terminal("run", "p.ipynb", "--json")
    assert ran.json()["state"] == "success", ran.err


def test_lint_says_what_it_finds_and_its_status_says_so(terminal: Terminal) -> None:
    write(terminal, "pipelines/train.py", "import pandas\n" + GOOD)
    lint = ("dags", "lint", "--ignore", "slow-load")  # a busy machine loads slowly
    answer = terminal(*lint, "pipelines")
    assert answer.status == 1
    assert [line.split(": ")[:2] for line in answer.out.splitlines()] == [
        ["pipelines/train.py:1", "heavy-import"],
        ["pipelines/train.py:9", "no-start-date"],
    ]
    assert answer.err == "2 findings\n"
    rules = [one["rule"] for one in terminal(*lint, "pipelines", "--json").json()]
    assert rules == ["heavy-import", "no-start-date"]
    calm = terminal(
        *(*lint, "pipelines/train.py"),
        *("--ignore", "heavy-import", "--ignore", "no-start-date"),
    )
    assert (calm.status, calm.out, calm.err) == (0, "", "0 findings\n")
    assert terminal("dags", "lint", "--ignore", "nothing").status == 2


def test_what_is_only_for_information_leaves_the_status_alone(terminal: Terminal) -> None:
    text = HEAD + "@task\ndef f(x=0):\n    return x\n@dag\ndef p():\n    f(f())\n    f()\n"
    answer = terminal("dags", "lint", str(write(terminal, "p.py", text)))
    assert (answer.status, answer.err) == (0, "0 findings\n")
    assert answer.out.startswith(
        "p.py:5: lone-task: task f__2 of DAG p is joined to no other."
    )
