"""From a DAG to its `DagSpec`: the graph as plain data, with nothing of what tasks do."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import TYPE_CHECKING

from mlflowkit.authoring.mapping import expansion_of
from mlflowkit.authoring.operator import BaseOperator
from mlflowkit.authoring.refs import XComArg, refs_in
from mlflowkit.core.spec import DagId, DagSpec, TaskId, TaskSpec, XComRef

if TYPE_CHECKING:
    from mlflowkit.authoring.dag import DAG


def spec_of(dag: DAG) -> DagSpec:
    """The DAG as plain data, without fingerprints (a bundle has those).

    Raises:
        CycleFound, UnknownUpstream, DifferentDags: it cannot be drawn.
    """
    upstream = {task.task_id: task.upstream() for task in dag.tasks}
    expanded = _expanded_keys(dag.tasks)
    tasks = {
        TaskId(task.task_id): _task_spec(
            task, upstream[task.task_id], expanded.get(task.task_id, {})
        )
        for task in dag.tasks
    }
    return DagSpec(
        dag_id=DagId(dag.dag_id),
        tasks=tasks,
        params=dag.param_specs,
        schedule=dag.schedule,
        start_date=dag.start_date,
        catchup=dag.catchup,
        description=dag.description or dag.doc_md,
        tags=dag.tags,
        origin=dag.origin,
    )


def _task_spec(
    task: BaseOperator, upstream: Sequence[str], expanded: dict[str, None]
) -> TaskSpec:
    return TaskSpec(
        task_id=TaskId(task.task_id),
        operator=task.operator_name,
        upstream=tuple(TaskId(name) for name in upstream),
        inputs=inputs_of(task),
        expansion=expansion_of(task),
        expanded_keys=tuple(expanded),
        retry=task.retry,
        execution_timeout=task.execution_timeout,
        isolate=task.isolate,
        doc=task.doc,
    )


def inputs_of(task: BaseOperator) -> tuple[XComRef, ...]:
    """The XComs that it takes whole: all but the outputs that it is mapped over."""
    found: dict[XComRef, None] = {}
    written = [axis for axis in task.axes.values() if not isinstance(axis, XComArg)]
    for ref in refs_in([*task.arguments().values(), *written]):
        if isinstance(ref, XComArg):
            found[ref.ref] = None
    return tuple(found)


def _expanded_keys(tasks: Sequence[BaseOperator]) -> dict[str, dict[str, None]]:
    """Values whose items are counted: what a mapped task gives is one item per instance."""
    found: dict[str, dict[str, None]] = defaultdict(dict)
    for task in tasks:
        for axis in task.axes.values():
            if isinstance(axis, XComArg) and not axis.operator.axes:
                found[axis.task_id][axis.key] = None
    return found
