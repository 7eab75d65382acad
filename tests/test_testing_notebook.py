# mypy: allow-untyped-calls
"""`run_notebook`: what people test their notebooks with."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path

import pytest
from nbformat.v4 import new_markdown_cell, new_notebook

from mlflowkit.errors import CellFailed, UnknownParameter
from mlflowkit.testing import run_notebook
from tests.nbrun.conftest import PYTHON, code, save

REPORT = """
from mlflowkit import BaseHook, Variable
host = BaseHook.get_connection("lake").host
print(host, Variable.get("bucket"), token, len(token))
"""


@pytest.fixture(autouse=True)
def _no_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOWKIT_HOME", str(tmp_path / "no-home"))


def test_a_notebook_gives_its_values_and_its_cells(tmp_path: Path) -> None:
    path = save(
        tmp_path / "fit.ipynb",
        new_markdown_cell("# Fit"),
        code("lr = 0.1\ndays = ()", "parameters"),
        code("print('fitting')\n{'lr': lr}", "fit"),
        code("score = lr * 2\nlast = days[-1]", "outputs"),
        code("1 / 0", "skip-run"),
    )
    before = path.read_bytes()
    ran = run_notebook(path, lr=0.5, days=(date(2026, 3, 1),), returns=["lr"])
    assert ran.values == {"score": 1.0, "last": date(2026, 3, 1), "lr": 0.5}
    assert (ran["score"], ran.error) == (1.0, None)
    assert ran.statuses == ["completed"] * 4 + ["skipped"]
    fit = ran.tagged("fit")
    assert (fit.index, fit.text) == (3, "fitting\n{'lr': 0.5}\n")
    assert fit.data("text/plain") == ["{'lr': 0.5}"]
    assert path.read_bytes() == before
    assert sorted(tmp_path.iterdir()) == [path]
    with pytest.raises(KeyError, match=r"gave no 'model' \(it gave: last, lr, score\)"):
        ran["model"]


def test_a_notebook_that_is_built_in_code_fails_as_its_cell_does() -> None:
    cells = [code("import mlflowkit\nmlflowkit.push('n', 3)"), code("int('x')"), code("1")]
    built = new_notebook(cells=cells, metadata={"kernelspec": PYTHON})
    with pytest.raises(CellFailed, match="cell 2 of notebook.ipynb failed: ValueError"):
        run_notebook(built)
    ran = run_notebook(built, check=False)
    assert ran.statuses == ["completed", "failed", "not run"]
    assert isinstance(ran.error, CellFailed)
    assert (ran.error.ename, ran["n"]) == ("ValueError", 3)


def test_connections_variables_and_secrets_stand_in_and_no_home_is_made(
    tmp_path: Path,
) -> None:
    path = save(tmp_path / "r.ipynb", code("token = ''", "parameters"), code(REPORT))
    ran = run_notebook(
        path,
        connections={"lake": "aws://lake.example"},
        variables={"bucket": "models"},
        secrets={"token": "hunter2-hunter2"},
    )
    assert ran.cells[-1].text == "lake.example models *** 15\n"
    assert "hunter2" not in json.dumps(ran.notebook)
    assert not (tmp_path / "no-home").exists()


def test_a_parameter_that_is_not_there_is_refused_before_anything_runs(
    tmp_path: Path,
) -> None:
    path = save(
        tmp_path / "n.ipynb", code("lr = 1", "parameters"), code("open('ran', 'w')")
    )
    with pytest.raises(UnknownParameter, match="'lrr'"):
        run_notebook(path, lrr=2)
    assert not (tmp_path / "ran").exists()
