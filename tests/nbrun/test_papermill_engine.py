# mypy: allow-untyped-calls
"""`papermill --engine mlflowkit`, through papermill's real command."""

from __future__ import annotations

import datetime
import subprocess
import sys
from datetime import date
from pathlib import Path

import nbformat
import pytest
from nbformat import NotebookNode
from papermill import execute_notebook

from tests.nbrun.conftest import code, save

DIE = "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)"


def papermill(path: Path, *options: str) -> tuple[int, str, NotebookNode]:
    """Exit status, what it said, and the executed notebook."""
    output = path.with_name("out.ipynb")
    command = [sys.executable, "-m", "papermill", "--engine", "mlflowkit"]
    command += [str(path), str(output), "--no-progress-bar", *options]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, cwd=path.parent
    )
    return done.returncode, done.stderr, nbformat.read(output, as_version=4)


def papermill_statuses(notebook: NotebookNode) -> list[str]:
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    return [cell.metadata.papermill.status for cell in cells]


def test_a_notebook_runs_with_its_parameters(tmp_path: Path) -> None:
    path = save(tmp_path / "n.ipynb", code("x = 1", "parameters"), code("print(x * 2)"))
    status, said, written = papermill(path, "-p", "x", "21")
    assert status == 0, said
    assert written.cells[2].outputs[0].text == "42\n"
    assert papermill_statuses(written) == ["completed"] * 3
    assert written.metadata.papermill.parameters == {"x": 21}
    assert written.cells[2].metadata.mlflowkit.status == "completed"


def test_a_failed_cell_is_papermills_own_error(tmp_path: Path) -> None:
    path = save(tmp_path / "n.ipynb", code("print('a')"), code("1/0"), code("print('b')"))
    status, said, written = papermill(path)
    assert status == 1
    assert "papermill.exceptions.PapermillExecutionError" in said
    assert "ZeroDivisionError: division by zero" in said
    assert papermill_statuses(written) == ["completed", "failed", "pending"]
    assert "An Exception was encountered" in written.cells[0].source


@pytest.mark.parametrize(
    ("cell", "options", "ename"),
    [
        (DIE, [], "killed by SIGKILL"),
        (
            "import time\ntime.sleep(60)",
            ["--execution-timeout", "1"],
            "took more than its 1 s",
        ),
    ],
)
def test_cells_after_a_dead_kernel_or_a_timeout_are_not_marked_as_completed(
    tmp_path: Path, cell: str, options: list[str], ename: str
) -> None:
    path = save(tmp_path / "n.ipynb", code("1"), code(cell), code("2"))
    status, said, written = papermill(path, *options)
    assert status == 1
    assert ename in said
    assert papermill_statuses(written) == ["completed", "failed", "pending"]
    assert written.metadata.papermill.exception is True


WATCHES = """
import json, os, time
until = time.monotonic() + 120
while "seen before" not in open("out.ipynb").read():
    assert time.monotonic() < until, "it is not saved while it runs"
    time.sleep(0.05)
"""


def test_all_text_is_logged_and_written_and_the_notebook_is_saved_as_cells_end(
    tmp_path: Path,
) -> None:
    lines = (
        "import sys\nfor n in range(2000): print('line', n)\nprint('e', file=sys.stderr)"
    )
    path = save(
        tmp_path / "n.ipynb", code("print('seen before')"), code(WATCHES), code(lines)
    )
    files = ["--stdout-file", "out.txt", "--stderr-file", "err.txt", "--log-output"]
    status, said, _ = papermill(path, *files)
    assert status == 0, said
    numbered = [f"line {n}" for n in range(2000)]
    assert (tmp_path / "out.txt").read_text().splitlines() == ["seen before", *numbered]
    assert (tmp_path / "err.txt").read_text() == "e\n"
    assert [line for line in said.splitlines() if line in numbered[1:]] == numbered[1:]


def test_a_notebook_that_skips_itself_has_ended_well(tmp_path: Path) -> None:
    leaves = "import mlflowkit\nmlflowkit.exit_notebook('no rows', state='skipped')"
    path = save(tmp_path / "n.ipynb", code(leaves), code("1 / 0"))
    status, said, written = papermill(path)
    assert status == 0, said
    assert "skipped itself in cell 1: no rows" in said
    assert written.metadata.mlflowkit.status == "skipped"


def test_parameters_that_papermill_writes_as_text_reach_the_notebook_with_their_types(
    tmp_path: Path,
) -> None:
    """By itself it makes a text of a tuple, and cannot save a date or a set."""
    path = save(
        tmp_path / "n.ipynb",
        code("day = t = s = rows = deep = name = None", "parameters"),
        code("day, t, s, rows, deep, name"),
    )
    output = tmp_path / "out.ipynb"
    given = {
        "day": date(2026, 3, 1),
        "t": (1, "a"),
        "s": {1},
        "rows": [1, 2],
        "deep": {"a": [1]},
        "name": "(1, 2)",
    }
    execute_notebook(
        path, output, parameters=given, engine_name="mlflowkit", progress_bar=False
    )
    written = nbformat.read(output, as_version=4)
    shown = written.cells[-1].outputs[0].data["text/plain"]
    assert eval(shown, {"datetime": datetime}) == tuple(given.values())
    assert written.metadata.papermill.parameters == {
        "day": "<date>",
        "t": "<tuple>",
        "s": "<set>",
        "rows": [1, 2],
        "deep": {"a": [1]},
        "name": "(1, 2)",
    }
    status, said, _ = papermill(path, "-y", "day: 2026-03-01")
    assert status == 0, said
