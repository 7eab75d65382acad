"""Notebooks as tasks: found, checked before a run, executed with real values."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from mlflowkit import DAG, notebook, task
from mlflowkit.authoring.bundle import make_bundle
from mlflowkit.authoring.notebook import NotebookOperator
from mlflowkit.authoring.resolve import mapped_values, render
from mlflowkit.errors import (
    BadOption,
    CannotExpand,
    NotebookMissing,
    UnknownParameter,
    WrongType,
)
from mlflowkit.ports import CellEvent, NotebookOrder, as_running
from tests.authoring.conftest import Project

KERNEL = {"name": "python3", "display_name": "Python 3", "language": "python"}


def written(path: Path, code: str = "lr: float = 0.1\nrows = None") -> Path:
    empty = {"cell_type": "code", "outputs": [], "execution_count": None}
    tags = {"tags": ["parameters"]}
    content = {
        "cells": [
            {**empty, "id": "a", "metadata": tags, "source": code},
            {**empty, "id": "b", "metadata": {}, "source": "model = fit(rows)"},
        ],
        "metadata": {"kernelspec": KERNEL},
        "nbformat": 4,
        "nbformat_minor": 5,
    }
    path.write_text(json.dumps(content))
    return path


@pytest.fixture
def fit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return written(tmp_path / "fit.ipynb")


def test_options_are_reserved_and_everything_else_is_a_parameter(fit: Path) -> None:
    with DAG("d") as d:
        rows = task(lambda: [1]).override(task_id="rows")()
        fitted = notebook(fit, lr=0.5, returns=["model"], retries=2, params={"rows": rows})
        task(print).override(task_id="show")(fitted["model"])
    operator = d.get_task("fit")
    assert isinstance(operator, NotebookOperator)
    assert (operator.parameters, operator.returns) == (
        {"rows": rows, "lr": 0.5},
        ("model",),
    )
    assert d.spec().tasks["fit"].retry.retries == 2
    assert d.spec().tasks["show"].upstream == ("fit",)
    with DAG("e"), pytest.raises(BadOption, match="given as a keyword and in params"):
        notebook(fit, lr=1, params={"lr": 2})
    with DAG("e"), pytest.raises(CannotExpand):
        notebook.partial(fit, lr=1).expand(lr=[2])


def test_a_parameter_may_be_called_path(tmp_path: Path) -> None:
    nb = written(tmp_path / "n.ipynb", "path: str = ''")
    with DAG("d") as d:
        notebook(nb, path="a.csv")
        notebook.partial(nb, task_id="each").expand(path=["a.csv", "b.csv"])
        with pytest.raises(WrongType, match="'path'"):
            notebook(nb, path=3)
    operator = d.get_task("n")
    assert isinstance(operator, NotebookOperator)
    assert operator.parameters == {"path": "a.csv"}


def test_a_notebook_is_found_beside_the_file_that_names_it_then_in_the_root(
    project: Project,
) -> None:
    for folder in ("pipes", "."):
        (project.folder / folder).mkdir(exist_ok=True)
        written(project.folder / folder / "both.ipynb")
    written(project.folder / "root.ipynb")
    text = (
        "from mlflowkit import DAG, notebook\nwith DAG('d') as d:\n"
        "    notebook('both.ipynb'), notebook('root.ipynb')\n"
        "print([t.path for t in d.tasks])\n"
    )
    path = project.write("pipes/pipe.py", text)
    assert project.python(str(path)).stdout.strip() == str(
        [str(project.folder / "pipes/both.ipynb"), str(project.folder / "root.ipynb")]
    )


def test_a_missing_notebook_is_an_error_where_it_is_named(fit: Path) -> None:
    with DAG("d"), pytest.raises(NotebookMissing, match=r"'fitt.ipynb'.*Did you mean"):
        notebook("fitt.ipynb")


def test_parameters_are_checked_before_a_run(fit: Path) -> None:
    def checked(**parameters: object) -> None:
        with DAG("d") as d:
            rows = task(lambda: [1])()
            notebook(fit, **{k: rows if v == "rows" else v for k, v in parameters.items()})
        d.check()

    checked(lr=0.5, rows="rows")
    with pytest.raises(UnknownParameter, match=r"'lrr'.*Did you mean 'lr'"):
        checked(lrr=0.5)
    with pytest.raises(UnknownParameter, match=r"'rowss'.*Did you mean 'rows'"):
        checked(rowss="rows")
    with pytest.raises(WrongType, match=r"'lr'.*'fast'"):
        checked(lr="fast")


class Notebooks:
    """Remembers what it was asked to execute, and gives values."""

    def __init__(self) -> None:
        self.orders: list[NotebookOrder] = []

    def run(
        self, order: NotebookOrder, on_event: Callable[[CellEvent], None]
    ) -> Mapping[str, object]:
        self.orders.append(order)
        return {"model": 7}


def test_a_notebook_task_hands_its_order_over_and_gives_out_each_value(
    fit: Path, tmp_path: Path
) -> None:
    with DAG("d", params={"rate": 0.5}) as d:
        notebook.partial(fit, rows=d.params["rate"], returns=["model"]).expand(
            lr=[1.0, 2.0]
        )
    runner, pushed = Notebooks(), dict[str, object]()
    ti = SimpleNamespace(state_dir=tmp_path / "state", output_base=tmp_path / "runs/fit")
    running: Any = SimpleNamespace(
        context={"ti": ti},
        notebooks=runner,
        cell_event=print,
        push=lambda name, value: pushed.update({name: value}),
    )
    operator = d.get_task("fit")
    mapped = mapped_values(operator, [("lr", 2)], 1, lambda ref, index: None)
    ready = render(operator, lambda ref: None, {"rate": 0.25}, mapped)
    with as_running(running):
        value = ready.execute(running.context)
    output = tmp_path / "runs/fit.ipynb"
    assert value == {"notebook": str(fit), "executed": str(output), "values": ["model"]}
    assert pushed == {"model": 7}
    assert runner.orders == [
        NotebookOrder(
            path=fit,
            parameters={"rows": 0.25, "lr": 2.0},
            returns=("model",),
            output=output,
            cwd=fit.parent,
            state_dir=tmp_path / "state",
            checkpoint="auto",
        )
    ]


def test_an_edited_notebook_is_another_bundle_and_new_outputs_are_not(
    fit: Path, tmp_path: Path
) -> None:
    with DAG("d") as d:
        notebook(fit)
    first = make_bundle(d, tmp_path / "home")
    content = json.loads(fit.read_text())
    content["cells"][0]["execution_count"] = 3
    fit.write_text(json.dumps(content))
    again = make_bundle(d, tmp_path / "home")
    written(fit, "lr = 0.9")
    edited = make_bundle(d, tmp_path / "home")
    assert again.id == first.id != edited.id
    (stored,) = edited.folder.glob("sources/*/fit.ipynb")
    assert stored.read_bytes() == fit.read_bytes()
