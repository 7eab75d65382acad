"""The command itself, and the small nouns."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from mlflowkit import __version__
from tests.cli.terminal import Terminal

HEAVY = {"torch", "boto3", "sqlalchemy", "papermill", "kubernetes", "numpy", "rich"}


@pytest.fixture
def fit(terminal: Terminal) -> Path:
    """A notebook with two parameters."""
    code: dict[str, object] = {"cell_type": "code", "execution_count": None, "outputs": []}
    tags = {"tags": ["parameters"]}
    sources = ["n: int = 3  # how many\nname = 'x'", "print(name * n)"]
    cells = [
        {**code, "id": "given", "metadata": tags, "source": sources[0]},
        {**code, "id": "shown", "metadata": {}, "source": sources[1]},
    ]
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3"}}
    whole = {"nbformat": 4, "nbformat_minor": 5, "metadata": kernel, "cells": cells}
    path = terminal.folder / "fit.ipynb"
    path.write_text(json.dumps(whole))
    return path


def test_the_version_is_said_and_help_loads_nothing_heavy(terminal: Terminal) -> None:
    assert terminal("--version").out == f"mlflowkit {__version__}\n"
    code = (
        "import sys\nfrom mlflowkit.cli.commands import app\n"
        "try:\n    app(['--help'])\nexcept SystemExit:\n    pass\n"
        f"print(sorted({HEAVY} & set(sys.modules)))"
    )
    said = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert said.stdout.splitlines()[-1] == "[]"


def test_an_unknown_command_is_wrong_use(terminal: Terminal) -> None:
    answer = terminal("rum")
    assert answer.status == 2
    assert "rum" in answer.err


def test_an_unwritable_home_is_said_in_one_sentence(terminal: Terminal) -> None:
    terminal.home.write_text("a file is in the way")
    answer = terminal("runs", "list")
    assert answer.status == 2
    assert str(terminal.home) in answer.err
    assert "Traceback" not in answer.err


def test_dags_of_a_file_are_listed_and_shown(train: Terminal) -> None:
    assert train("dags", "list", "p.py", "--json").json() == [
        {
            "dag_id": "train",
            "schedule": None,
            "tasks": ["load", "fit", "tell"],
            "params": ["n"],
        }
    ]
    assert "-p n: int = 3" in train("dags", "show", "p.py").out


def test_a_notebook_runs_by_itself_and_its_parameters_are_checked(
    terminal: Terminal, fit: Path
) -> None:
    wrong = terminal("notebook", "run", fit.name, "-p", "n=many")
    assert wrong.status == 2
    assert "n" in wrong.err
    good = terminal("notebook", "run", fit.name, "-p", "n=2", "-p", "name=5")
    assert good.status == 0, good.out + good.err
    executed = terminal.folder / good.out.splitlines()[-1].removeprefix(
        "executed notebook: "
    )
    assert "55\\n" in executed.read_text()
