"""Operators of one's own that leave something out are named before anything runs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from mlflowkit import DAG, BaseOperator, BaseSensorOperator
from mlflowkit.authoring.branch import BaseBranchOperator
from mlflowkit.errors import NotAnOperator


class Forgets(BaseOperator):
    """It never makes itself a task."""

    def __init__(self, task_id: str, rows: int = 1) -> None:
        self.rows = rows

    def execute(self, context: Mapping[str, Any]) -> int:
        return self.rows


class Loads(BaseOperator):
    """It has no `execute`."""

    def __init__(self, task_id: str, rows: int = 1, **options: Any) -> None:
        super().__init__(task_id, **options)
        self.rows = rows


class Looks(BaseSensorOperator):
    """It has no `poke`."""


class Chooses(BaseBranchOperator):
    """It has no `choose_branch`."""


def test_a_class_that_does_not_call_its_base_is_named_where_it_is_made() -> None:
    with DAG("d") as dag, pytest.raises(NotAnOperator) as caught:
        Forgets("a") >> Forgets("b")
    assert str(caught.value) == (
        "the operator class Forgets does not call super().__init__(task_id, **options) in "
        "its __init__."
    )
    assert dag.tasks == []


@pytest.mark.parametrize(
    ("kind", "missing"),
    [(Loads, "execute"), (Looks, "poke"), (Chooses, "choose_branch")],
)
def test_a_class_that_does_nothing_is_named_when_the_dag_is_checked(
    kind: type[BaseOperator], missing: str
) -> None:
    with DAG("d") as dag:
        kind(task_id="a")
    with pytest.raises(NotAnOperator) as caught:
        dag.check()
    assert (caught.value.kind, caught.value.missing, caught.value.task_id) == (
        kind.__name__,
        missing,
        "a",
    )
    assert str(caught.value) == (
        f"task 'a': the operator class {kind.__name__} has no {missing}(self, context): "
        "write it, it does the work of the task."
    )


def test_the_class_of_a_mapped_task_is_looked_at() -> None:
    with DAG("d") as dag:
        Loads.partial(task_id="a").expand(rows=[1, 2])
    with pytest.raises(NotAnOperator, match="class Loads has no execute"):
        dag.check()


def test_what_is_given_to_the_instance_counts_as_its_own() -> None:
    with DAG("d") as dag:
        task = Loads(task_id="a")
        vars(task)["execute"] = print
    dag.check()
