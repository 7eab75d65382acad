"""Typed edges: what surely does not fit is an error in the line that draws it."""

from __future__ import annotations

import dataclasses
import datetime
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, Optional

import numpy as np
import pandas as pd
import pytest

from mlflowkit import DAG, PythonOperator, dag, notebook, task
from mlflowkit.errors import (
    MlflowkitError,
    NeverAssigned,
    NoParametersCell,
    UnknownParameter,
    WrongEdge,
    WrongType,
)

TAKES = """
lr: float = 0.1
n = 3
rows: list[int] = []
start: datetime.date = None
mode: Literal["fast", "slow"] = "fast"
place: Path = None
config: Config = None
either: int | str = 0
"""
GIVES = """
score: float = compute()
names: list[str] = []
table: pd.DataFrame = load()
best = 3
best += 1
model = fit(rows)
"""


@dataclasses.dataclass
class Config:
    depth: int = 1


def written(path: Path, *cells: str, tags: tuple[str, ...] = ("parameters",)) -> Path:
    made: list[dict[str, Any]] = []
    for at, code in enumerate(cells):
        own = {"tags": [tags[at]]} if at < len(tags) and tags[at] else {}
        made.append({"cell_type": "code", "metadata": own, "source": code, "id": f"c{at}"})
        made[-1] |= {"outputs": [], "execution_count": None}
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    content = {"cells": made, "metadata": {"kernelspec": kernel}, "nbformat": 4}
    path.write_text(json.dumps({**content, "nbformat_minor": 5}))
    return path


@pytest.fixture
def fit(tmp_path: Path) -> Path:
    return written(tmp_path / "fit.ipynb", TAKES, GIVES)


def given(annotation: Any, *, task_id: str = "load") -> Any:
    """The output of a task with this return annotation."""

    def load(): ...  # type: ignore[no-untyped-def]

    if annotation is not ...:
        load.__annotations__["return"] = annotation
    return task(task_id=task_id)(load)()


def refused(draw: Callable[[], object], kind: type[MlflowkitError]) -> str:
    with DAG("d") as d:
        before = list(d.tasks)
        with pytest.raises(kind) as caught:
            draw()
        made = [t.task_id for t in d.tasks if t not in before and t.task_id != "load"]
        assert made == ["fit"] * ("fit" in made)  # nothing was half made
    return str(caught.value)


# ── values and functions into a notebook ──


def test_a_value_that_does_not_fit_is_an_error_in_its_line(fit: Path) -> None:
    where = "of notebook fit.ipynb should be"
    assert refused(lambda: notebook(fit, lr="fast"), WrongType) == (
        f"parameter 'lr' {where} float, but it was given 'fast' (str)."
    )
    assert refused(lambda: notebook(fit, n="3"), WrongType) == (
        f"parameter 'n' {where} int (as its default 3 is; annotate it to take others), "
        "but it was given '3' (str)."
    )
    assert refused(lambda: notebook(fit, mode="slwo"), WrongType) == (
        f"parameter 'mode' {where} Literal['fast', 'slow'], but it was given 'slwo' (str)."
    )
    assert refused(lambda: notebook(fit, place="a/b"), WrongType) == (
        f"parameter 'place' {where} Path, but it was given 'a/b' (str)."
    )
    assert refused(lambda: notebook(fit, n=True), WrongType).endswith("given True (bool).")
    assert refused(lambda: notebook(fit, rate=1), UnknownParameter) == (
        "notebook fit.ipynb has no parameter 'rate' (it has: config, either, lr, mode, n, "
        "place, rows, start)."
    )
    empty = written(fit.parent / "empty.ipynb", "x = 1", tags=())
    assert refused(lambda: notebook(empty, x=1), NoParametersCell).startswith(
        f"{empty} was given x, but has no cell that declares parameters."
    )
    with DAG("d"):
        notebook(fit, lr=1, n=np.int64(4), rows=[1, 2], start=datetime.date(2024, 1, 2))
        notebook(fit, lr=np.float32(1), place=Path("a"), config=Config(), either="x")
        notebook(fit, lr="{{ params.lr }}", start=None, params={"mode": "slow"})


def test_what_stands_beside_an_output_in_a_list_is_looked_at_as_the_output_is(
    fit: Path,
) -> None:
    where = "parameter 'rows' of notebook fit.ipynb should be list[int], but it was given"
    assert refused(lambda: notebook(fit, rows=[1, given(str)]), WrongType) == (
        f"{where} [1, <the output of task 'load': str>] (list)."
    )
    assert refused(lambda: notebook(fit, rows=["a", given(int)]), WrongType) == (
        f"{where} ['a', <the output of task 'load': int>] (list)."
    )
    assert refused(lambda: notebook(fit, lr=[given(int)]), WrongType).endswith("(list).")
    nested = written(fit.parent / "nested.ipynb", "by: dict[str, list[int]] = {}")
    refused(lambda: notebook(nested, by={"a": [given(str)]}), WrongType)
    refused(lambda: notebook.partial(fit).expand(rows=[[1], [given(str)]]), WrongType)
    with DAG("d"):
        notebook(fit, rows=[1, given(int), given(...)])
        notebook(fit, rows=["{{ params.rows }}", given(int)])
        notebook(nested, by={"a": [given(int)], "b": given(...), "{{ ds }}": [1]})


def test_the_annotation_of_a_function_is_held_against_the_parameter(fit: Path) -> None:
    assert refused(lambda: notebook(fit, lr=given(str)), WrongEdge) == (
        "parameter 'lr' of notebook fit.ipynb should be float, but the output of task "
        "'load' is str (the return annotation says so). Change one of the two, or put a "
        "task between them."
    )
    wrong: dict[str, list[Any]] = {
        "lr": [bool, None, Path, list[float], dict[str, float]],
        "n": [float, np.float64, Optional[str]],  # noqa: UP045
        "rows": [list[str], tuple[int, int], pd.DataFrame],
        "start": [str, datetime.time],
        "mode": [Literal["slwo"], int],
        "place": [str],
        "either": [float, list[int]],
    }

    for name, types in wrong.items():
        for each in types:
            said = refused(
                lambda name=name, each=each: notebook(fit, **{name: given(each)}),  # type: ignore[misc]
                WrongEdge,
            )
            assert said.startswith(f"parameter {name!r} of notebook fit.ipynb should be")
    fine: dict[str, list[Any]] = {
        "lr": [int, np.float32, np.int64, Any, ..., Optional[float], "Rate", Config],  # noqa: UP045
        "n": [int, np.int64, int | str, object],
        "rows": [list, list[int], list[Config], Any],
        "start": [datetime.datetime, datetime.date | None, None],
        "mode": [str, Literal["slow", "other"]],
        "place": [Path],
        "config": [Config, dict[str, int], int],
        "either": [bool | str, str, int],
    }
    for name, types in fine.items():
        for each in types:
            with DAG("d"):
                notebook(fit, **{name: given(each)})


def test_a_parameter_of_the_dag_is_held_against_that_of_the_notebook(fit: Path) -> None:
    @dag
    def training(rate: str = "x", size: int = 3, day: datetime.date | None = None) -> None:
        with pytest.raises(WrongEdge) as caught:
            notebook(fit, lr=rate)
        assert str(caught.value) == (
            "parameter 'lr' of notebook fit.ipynb should be float, but the parameter 'rate' "
            "is str (the DAG says so). Change one of the two, or put a task between them."
        )
        with pytest.raises(
            WrongEdge, match="should be list.int., but the parameter 'size'"
        ):
            notebook(fit, rows=size)
        notebook(fit, lr=size, start=day, either=rate)

    training()


# ── mapped ──


def test_each_item_of_what_is_mapped_over_is_looked_at(fit: Path) -> None:
    def over(**axes: Any) -> Callable[[], object]:
        return lambda: notebook.partial(fit).expand(**axes)

    where = "of notebook fit.ipynb should be float, but"
    assert refused(over(lr=[0.1, 1, "0.3"]), WrongType) == (
        f"parameter 'lr' {where} item 2 of lr in expand() is '0.3' (str)."
    )
    assert refused(over(lr={"a": 1}), WrongType) == (
        f"parameter 'lr' {where} item 0 of lr in expand() is ('a', 1) (tuple)."
    )
    sets = [{"lr": 1.0}, {"lr": 2.0, "n": "two"}]
    assert refused(lambda: notebook.partial(fit).expand_kwargs(sets), WrongType) == (
        "parameter 'n' of notebook fit.ipynb should be int (as its default 3 is; annotate "
        "it to take others), but its value in item 1 is 'two' (str)."
    )
    assert refused(
        lambda: notebook.partial(fit).expand_kwargs([{"rate": 1.0}]), UnknownParameter
    ).startswith("notebook fit.ipynb has no parameter 'rate'")
    assert refused(lambda: over(rows=given(list[int]))(), WrongEdge) == (
        "parameter 'rows' of notebook fit.ipynb should be list[int], but each item of the "
        "output of task 'load' is int (the return annotation says so). Change one of the "
        "two, or put a task between them."
    )
    with DAG("d"):
        notebook.partial(fit).expand(lr=given(list[int]), n=range(3))
        notebook.partial(fit).expand(
            rows=given(list[list[int]]), lr=[given(int, task_id="b")]
        )
        notebook.partial(fit).expand(lr=given(list), either=given(..., task_id="c"))
        notebook.partial(fit).expand_kwargs(given(list[dict[str, str]], task_id="e"))


# ── out of a notebook ──


def test_outputs_of_a_notebook_are_held_against_functions_and_notebooks(fit: Path) -> None:
    @task
    def publish(score: int, *more: str, table: pd.DataFrame | None = None, **rest: int): ...  # type: ignore[no-untyped-def]

    @task
    def each(name: int) -> None: ...

    with DAG("d") as d:
        fitted = notebook(fit, returns=["score", "names", "table", "best", "model"])
        cases: dict[str, Callable[[], object]] = {
            "parameter 'score' of task 'publish' should be int, but the output of task "
            "'fit'['score'] is float (notebook fit.ipynb says so). Change one of the two, "
            "or put a task between them.": lambda: publish(fitted["score"]),
            "parameter 'more' of task 'publish' should be str, but the output of task "
            "'fit'['score'] is float (notebook fit.ipynb says so). Change one of the two, "
            "or put a task between them.": lambda: publish(1, "a", fitted["score"]),
            "parameter 'table' of task 'publish' should be pandas.DataFrame | None, but the "
            "output of task 'fit'['names'] is list[str] (notebook fit.ipynb says so). Change "
            "one of the two, or put a task between them.": lambda: publish(
                1, table=fitted["names"]
            ),
            "parameter 'x' of task 'publish' should be int, but the output of task "
            "'fit'['score'] is float (notebook fit.ipynb says so). Change one of the two, "
            "or put a task between them.": lambda: publish(1, x=fitted["score"]),
            "parameter 'name' of task 'each' should be int, but each item of the output of "
            "task 'fit'['names'] is str (notebook fit.ipynb says so). Change one of the two, "
            "or put a task between them.": lambda: each.expand(name=fitted["names"]),
            "parameter 'name' of task 'classic' should be int, but the output of task "
            "'fit'['score'] is float (notebook fit.ipynb says so). Change one of the two, or "
            "put a task between them.": lambda: PythonOperator(
                task_id="classic",
                python_callable=each.function,
                op_kwargs={"name": fitted["score"]},
            ),
            "parameter 'rows' of notebook fit.ipynb should be list[int], but the output of "
            "task 'fit'['names'] is list[str] (notebook fit.ipynb says so). Change one of "
            "the two, or put a task between them.": lambda: notebook(
                fit, rows=fitted["names"]
            ),
            "parameter 'rows' of notebook fit.ipynb should be list[int], but the output of "
            "task 'fit' is dict[str, object] (every notebook task gives that; take an output "
            "of it by name, as fitted['score']). Change one of the two, or put a task "
            "between them.": lambda: notebook(fit, rows=fitted),
        }
        for message, draw in cases.items():
            with pytest.raises(WrongEdge) as caught:
                draw()
            assert str(caught.value) == message
        assert [one.task_id for one in d.tasks] == ["fit"]  # nothing was half made
        publish(fitted["best"], table=fitted["table"], y=fitted["model"])
        each(given(str))  # what functions say of each other is theirs
        notebook(fit, lr=fitted["score"], config=fitted["model"], n=fitted["best"])


def test_a_name_that_no_cell_assigns_cannot_be_returned(fit: Path, tmp_path: Path) -> None:
    assert refused(lambda: notebook(fit, returns=["modle"]), NeverAssigned) == (
        "notebook fit.ipynb never assigns 'modle', which its returns ask for (it assigns: "
        "best, config, either, lr, mode, model, n, names and 5 more). Did you mean 'mode'? "
        "Assign it in a cell, or take it out of returns."
    )
    others = [
        "from helpers import *",
        "%run other.ipynb",
        "exec(text)",
        "globals()['found'] = 1",
        "%load_ext sql",
        "%store -r",
        "get_ipython().push({'found': 1})",
        "setattr(sys.modules['__main__'], 'found', 1)",
        "%time found = f()",
        "%%capture found\nprint(1)",
        "%%bash --out found\nls",
        "found = !ls",
        "for found in range(3): pass",
        "with open('x') as found: pass",
        "def f():\n    global found",
        "import json as found",
        "(found := 3)",
        "[a, (b, *found)] = x",
        "import mlflowkit\nmlflowkit.push('found', 1)",
        "x = (",
    ]
    for at, code in enumerate(others):
        with DAG("d"):
            path = written(tmp_path / f"n{at}.ipynb", code, tags=())
            notebook(path, returns=["found"])
    plain = [
        "%matplotlib inline\n%timeit f()\n!ls\nprint(found)",
        "%%bash\nls",
        "%%time\nx = 1",
    ]
    for at, code in enumerate(plain):
        path = written(tmp_path / f"p{at}.ipynb", code, tags=())
        refused(lambda path=path: notebook(path, returns="found"), NeverAssigned)  # type: ignore[misc]
