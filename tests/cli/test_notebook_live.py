# mypy: allow-untyped-calls
"""Notebooks in a DAG that end early, or run out of time, as a person at a terminal sees them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import nbformat
import pytest

from mlflowkit.nbrun.progress import cells_since
from tests.cli.terminal import Terminal
from tests.nbrun.conftest import code, save

PIPELINE = """
from mlflowkit import dag, notebook, task

@task
def use(value):
    print("it left", value)

@dag
def d():
    use(notebook("leaves.ipynb")["exit_value"])
    notebook("skips.ipynb")
    notebook("slow.ipynb", execution_timeout=12, retries=0)
"""
LEAVES = "import mlflowkit\nmlflowkit.exit_notebook((1, 'two'))"
SKIPS = "import mlflowkit\nmlflowkit.exit_notebook('nothing new', state='skipped')"
SLOW = "import time\nprint('waiting for\\nthe moon')\ntime.sleep(60)"


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Any:
    terminal = Terminal(Path(tmp_path_factory.mktemp("live")))
    for name, source in (("leaves", LEAVES), ("skips", SKIPS), ("slow", SLOW)):
        save(
            terminal.folder / f"{name}.ipynb",
            code("x = 1"),
            code(source),
            code("never = 1"),
        )
    terminal.pipeline(PIPELINE)
    return terminal, terminal("run", "p.py")


def statuses(terminal: Terminal, name: str) -> list[str]:
    (path,) = terminal.home.rglob(f"{name}.1.ipynb")
    found = nbformat.read(path, as_version=4)
    return [cell.metadata.mlflowkit["status"] for cell in found.cells]


def test_each_notebook_ends_in_its_own_way(ran: Any) -> None:
    terminal, answer = ran
    assert answer.status == 1
    ends = {"leaves": "success", "use": "success", "skips": "skipped", "slow": "failed"}
    for task, state in ends.items():
        assert f" {task} {state} after " in answer.out
    (log,) = terminal.home.rglob("use.1.log")
    assert "it left (1, 'two')" in log.read_text()
    assert statuses(terminal, "leaves") == ["completed", "completed", "not run"]
    assert statuses(terminal, "skips") == ["completed", "completed", "not run"]
    assert statuses(terminal, "slow") == ["completed", "timeout", "not run"]


def test_the_terminal_says_which_cell_runs_why_one_was_skipped_and_what_failed(
    ran: Any,
) -> None:
    _, answer = ran
    assert re.search(r"slow: cell 2 of 3, \d+ s: import time \| the moon", answer.out)
    assert "skipped itself in cell 2: nothing new" in answer.out
    told = answer.out + answer.err
    assert "slow failed after " in told
    assert "cell 2 of slow.ipynb ran out of time: NotebookTimeout: " in told
    assert "--> time.sleep(60)\n\nit had printed:\nwaiting for\nthe moon\n" in told
    assert "mlflowkit/nbrun" not in told
    assert "site-packages" not in told
    assert "\x1b[" not in told, "colours are for terminals"


def test_its_journal_tells_the_cells_to_whoever_draws_them(ran: Any) -> None:
    terminal, _ = ran
    (journal,) = terminal.home.rglob("slow.1.jsonl")
    picture = cells_since(journal)
    cells = {cell["index"]: (cell["status"], cell["source"]) for cell in picture["cells"]}
    assert cells == {0: ("ok", "x = 1"), 1: ("timeout", "import time")}
    assert (picture["total"], picture["current"]) == (3, -1)
    assert picture["status"] == "timeout"
