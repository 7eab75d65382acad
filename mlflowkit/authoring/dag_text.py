"""A DAG as text, for a last line in a cell."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mlflowkit.authoring.dag import DAG


def described(dag: DAG) -> str:
    """Its name, and a line for each task with what it waits for."""
    count = len(dag.tasks)
    head = f"DAG {dag.dag_id}: {count} task{'s' * (count != 1)}"
    return "\n".join([head, *(f"  {line}" for line in _lines(dag))])


def _lines(dag: DAG) -> Iterator[str]:
    for task in dag.tasks:
        above = ", ".join(task.upstream())
        over = task.group_axes or task.axes
        mapped = f" (mapped over {', '.join(over)})" if over else ""
        yield f"{above + ' >> ' if above else ''}{task.task_id}{mapped}"
