"""A run from its rows: all that follows from them, and is not in them, is counted anew."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from mlflowkit.core.machine.run import WHOLE_RUN, InstanceRow, NodeRow, Run, RunRow
from mlflowkit.core.spec import UNMAPPED, DagSpec
from mlflowkit.core.states import ENDED, HOLDS_PLACE, TaskState


def load(
    spec: DagSpec,
    row: RunRow,
    nodes: Iterable[NodeRow],
    instances: Iterable[InstanceRow],
) -> Run:
    """The run that these rows describe, with its counters and alarms made anew.

    Args:
        spec: The DAG as the run's bundle has it.
        row: The run's own row.
        nodes: Rows of tasks that were expanded or gave lengths; others are as at the start.
        instances: All rows of task instances.

    Rows of tasks that the DAG no longer has are left alone.
    """
    run = Run(spec, row)
    for node_row in nodes:
        if node_row.task_id in run.nodes:
            run.nodes[node_row.task_id].row = node_row
    for instance in instances:
        if (node := run.nodes.get(instance.task_id)) is None:
            continue
        if instance.state in ENDED and instance.state is not TaskState.REMOVED:
            node.counts[instance.state] += 1
        node.instances[instance.map_index] = instance
        if instance.alarm is not None:
            run.add_alarm(instance.alarm, instance.task_id, instance.map_index)
        if instance.state in HOLDS_PLACE:
            run.hold(instance, 1)
    if run.deadline is not None and not run.ended and not run.row.cancelled:
        run.add_alarm(run.deadline, WHOLE_RUN, UNMAPPED)
    _count(run)
    return run


def _count(run: Run) -> None:
    """Everything that follows from the rows, and is not in them."""
    for node in run.nodes.values():
        if run.row.cancelled and not node.spec.teardown:
            node.counts[TaskState.SKIPPED] += node.unstarted
    recount(run)
    for node in run.nodes.values():
        for instance in node.instances.values():
            if instance.state is TaskState.SCHEDULED:
                run.add_ready(node, instance.map_index)
        if not run.row.cancelled or node.spec.teardown:
            run.add_rest(node)


def recount(run: Run) -> None:
    """The counters of tasks, from how their instances have ended."""
    run.left_out.clear()
    for node in run.nodes.values():
        node.done = node.is_whole()
        states = {i.state for i in node.instances.values()}
        node.held = node.expanded and not node.inside and TaskState.NONE in states
        node.swept, node.items = False, None
        for index, task_ids in node.row.left_out.items():
            for task_id in task_ids:
                here = (task_id, index)
                run.left_out.setdefault(here, set()).add(node.spec.task_id)
    run.open_nodes = sum(not node.done for node in run.nodes.values())
    for node in run.nodes.values():
        node.open_above = sum(not up.done for up in node.whole)
        node.above = sum((up.counts for up in node.whole), Counter[TaskState]())
