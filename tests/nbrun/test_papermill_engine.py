# mypy: allow-untyped-calls
"""`papermill --engine mlflowkit`, through papermill's real command."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from nbformat import NotebookNode

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
