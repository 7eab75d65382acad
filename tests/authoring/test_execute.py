"""What a worker does with a task: real values put in, context filled in, values given out."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from mlflowkit import (
    DAG,
    BashOperator,
    PythonOperator,
    get_current_context,
    push,
    task,
    task_state_dir,
)
from mlflowkit.authoring.operator import BaseOperator
from mlflowkit.authoring.resolve import mapped_values, render
from mlflowkit.core.spec import XComRef
from mlflowkit.errors import MissingParameter, NotInTask, NotSeveralOutputs
from mlflowkit.ports import as_running


class Running:
    """A task that runs: keeps what is pushed."""

    def __init__(self, **context: object) -> None:
        self.context: Mapping[str, Any] = context
        self.pushed: dict[str, object] = {}

    def push(self, key: str, value: object) -> None:
        self.pushed[key] = value


def executed(operator: BaseOperator, **context: object) -> tuple[object, dict[str, object]]:
    running = Running(**context)
    with as_running(running):  # type: ignore[arg-type]
        return operator.execute(context), running.pushed


def made(d: DAG, task_id: str, **given: object) -> BaseOperator:
    return render(d.get_task(task_id), lambda ref: given[ref.task_id], {"n": 9}, {})


def test_context_is_filled_in_by_name_as_in_airflow() -> None:
    @task
    def some(x: int, ti: object = None, *, ds: str = "") -> list[object]:
        return [x, ti, ds]

    @task
    def every(**context: object) -> list[str]:
        return sorted(context)

    @task
    def several(*xs: int, ti: object = None) -> list[object]:
        return [*xs, ti]

    with DAG("d") as d:
        some(1)
        every(own=2)
        several(1, 2, 3)
    context = {"ti": "TI", "ds": "2026-01-01", "run_id": "d/1"}
    assert executed(made(d, "some"), **context)[0] == [1, "TI", "2026-01-01"]
    assert executed(made(d, "every"), **context)[0] == ["ds", "own", "run_id", "ti"]
    assert executed(made(d, "several"), **context)[0] == [1, 2, 3, "TI"]


def test_several_outputs_are_given_out_one_by_one() -> None:
    with DAG("d") as d:
        make = PythonOperator(
            task_id="a", python_callable=lambda: {"x": 1, "y": 2}, multiple_outputs=True
        )
        for number, wrong in enumerate(([1], {1: 2})):
            PythonOperator(
                task_id=f"w{number}",
                python_callable=lambda value: value,
                op_args=[wrong],
                multiple_outputs=True,
            )
    assert executed(make) == ({"x": 1, "y": 2}, {"x": 1, "y": 2})
    with pytest.raises(NotSeveralOutputs, match="it returned a list"):
        executed(d.get_task("w0"))
    with pytest.raises(NotSeveralOutputs, match="a dict with the key 1"):
        executed(d.get_task("w1"))


def test_a_mapped_task_gets_each_combination_the_last_axis_turning_fastest() -> None:
    @task
    def work(x: int, y: str, z: int) -> list[object]:
        return [x, y, z]

    with DAG("d", params={"n": 1}) as d:
        source = task(lambda: [10, 20])()
        work.partial(z=d.params["n"]).expand(x=source, y={"k": 1, "l": 2, "m": 3})
    operator = d.get_task("work")
    lengths = [("x", 2), ("y", 3)]

    def fetch(ref: XComRef, index: int) -> object:
        return (10, 20)[index]

    found: list[object] = []
    for index in range(6):
        mapped = mapped_values(operator, lengths, index, fetch)
        found.append(render(operator, lambda ref: None, {"n": 9}, mapped).execute({}))
    pairs = [(x, (k, v)) for x in (10, 20) for k, v in (("k", 1), ("l", 2), ("m", 3))]
    assert found == [[x, pair, 9] for x, pair in pairs]


def test_a_mapped_operator_is_made_in_each_instance() -> None:
    with DAG("d") as d:
        folder = task(lambda: "/tmp")()
        BashOperator.partial("echo", cwd=folder).expand(bash_command=["echo a", "echo b"])
    operator = d.get_task("echo")
    mapped = mapped_values(operator, [("bash_command", 2)], 1, lambda ref, index: None)
    ready = render(operator, lambda ref: "/", {}, mapped)
    assert isinstance(ready, BashOperator)
    assert (ready.bash_command, ready.cwd, ready.task_id) == ("echo b", "/", "echo")


def test_a_parameter_that_a_run_does_not_have_is_an_error_of_the_task() -> None:
    with DAG("d", params={"other": 1}) as d:
        task(lambda x: x).override(task_id="t")(d.params["other"])
    with pytest.raises(MissingParameter, match=r"task 't' needs a value for .*'other'"):
        made(d, "t")


def test_the_context_the_state_folder_and_push_belong_to_a_running_task(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert task_state_dir() is None
    with pytest.raises(NotInTask, match=r"get_current_context\(\) only works while a task"):
        get_current_context()
    monkeypatch.setenv("MLFLOWKIT_STATE_DIR", str(tmp_path / "kernel"))
    assert task_state_dir() == tmp_path / "kernel"
    running = Running(ti=SimpleNamespace(state_dir=tmp_path))
    with as_running(running):  # type: ignore[arg-type]
        push("a", 1)
        assert get_current_context() is running.context
        assert task_state_dir() == tmp_path
    assert running.pushed == {"a": 1}


def test_a_task_function_called_inside_a_task_is_just_called() -> None:
    @task
    def inner(x: int) -> int:
        return x + 1

    @task
    def outer() -> object:
        return inner(41)

    with DAG("d") as d:
        outer()
    assert executed(made(d, "outer")) == (42, {})
