"""The DAGs that a run may need beside its own: those that its tasks start.

A DAG that nobody has published is found in the same file or notebook, so that a file with
a parent and its child works as it stands.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

from mlflowkit.authoring.dag import DAG


def companions(dag: DAG) -> dict[str, DAG]:
    """The DAGs that tasks of `dag` start, and those that these start, as far as they stand
    beside it."""
    beside, found = _beside(dag), dict[str, DAG]()
    todo = [dag]
    while todo:
        for dag_id in _started_by(todo.pop()):
            if dag_id in beside and dag_id not in found:
                found[dag_id] = beside[dag_id]
                todo.append(beside[dag_id])
    return found


def _beside(dag: DAG) -> Mapping[str, DAG]:
    """The DAGs of its file; of a notebook or a script, those that have a name there."""
    if dag.loaded_with:
        return dag.loaded_with
    main = vars(sys.modules["__main__"])
    return {one.dag_id: one for one in main.values() if isinstance(one, DAG)}


def _started_by(dag: DAG) -> list[str]:
    named: list[Any] = [getattr(task, "trigger_dag_id", None) for task in dag.tasks]
    return [one for one in named if isinstance(one, str)]
