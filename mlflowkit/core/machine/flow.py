"""How the end of one task reaches those that wait for it: they are met, expand, or are closed."""

from __future__ import annotations

from math import prod

from mlflowkit.core.machine.run import BAD, InstanceRow, Node
from mlflowkit.core.machine.step import Step
from mlflowkit.core.spec import UNMAPPED, Axis, Expansion
from mlflowkit.core.states import Cause, TaskState


def meet(step: Step, node: Node) -> None:
    """All that `node` waits for has ended well."""
    if node.mapped:
        _expand(step, node)
    else:
        step.schedule(node.instances[UNMAPPED], Cause.UPSTREAM_MET)


def _expand(step: Step, node: Node) -> None:
    assert node.spec.expansion is not None
    expansion = node.spec.expansion
    lengths = [_length(step, axis) for axis in expansion.axes]
    problem = _problem(expansion, lengths)
    if problem:
        end(step, single(step, node), Cause.CANNOT_EXPAND, problem)
        return
    length = prod(n for n in lengths if n is not None)
    if length == 0:
        nothing = "nothing to expand over"
        end(step, single(step, node), Cause.EXPANDED_TO_NOTHING, nothing)
        return
    kept = [i for i in sorted(node.instances) if 0 <= i < length]
    for index in node.instances.keys() - kept:
        step.move(node.instances[index], Cause.EXPANDED_AWAY)
    for index in kept:  # of an earlier expansion: their attempts are counted on
        step.schedule(node.instances[index], Cause.UPSTREAM_MET)
    node.row.length, node.row.next_index = length, len(kept)
    step.node_changed(node)
    step.run.add_rest(node)


def single(step: Step, node: Node) -> InstanceRow:
    """The one task instance of a task that is not mapped, or ends without being expanded."""
    for index, instance in node.instances.items():
        if index != UNMAPPED and instance.state is TaskState.NONE:
            step.move(instance, Cause.EXPANDED_AWAY)
    if node.mapped:
        node.row.length = 0
        step.node_changed(node)
    fresh = InstanceRow(task_id=node.spec.task_id)
    instance = node.instances.setdefault(UNMAPPED, fresh)
    step.changed(instance)
    return instance


def _length(step: Step, axis: Axis) -> int | None:
    if axis.source is None:
        return axis.length
    source = step.run.nodes[axis.source.task_id]
    if source.mapped:
        return source.counts[TaskState.SUCCESS]
    return source.row.lengths.get(axis.source.key)


def _problem(expansion: Expansion, lengths: list[int | None]) -> str:
    for axis, length in zip(expansion.axes, lengths, strict=True):
        if length is None and axis.source is not None:
            return (
                f"{axis.name!r} cannot be expanded: task {axis.source.task_id!r} gave no list, "
                f"tuple or dict for its XCom {axis.source.key!r}"
            )
    length = prod(n for n in lengths if n is not None)
    if length > expansion.limit:
        return (
            f"it would expand to {length:,} task instances; the limit is {expansion.limit:,} "
            "(setting max_map_length)"
        )
    return ""


def end(step: Step, instance: InstanceRow, cause: Cause, reason: str = "") -> None:
    """End a task instance, tell the tasks that wait for it, close the run if it was the last."""
    instance.alarm, instance.stopping = None, ""
    step.move(instance, cause, reason)
    told = [instance]
    while told:
        node = step.run.nodes[told[-1].task_id]
        state = told.pop().state
        if state in BAD:
            why = f"task {node.spec.task_id!r} failed"
            told += _close_downstream(step, node, Cause.UPSTREAM_FAILED, why)
        elif state is TaskState.SKIPPED and not step.run.row.cancelled:
            why = f"task {node.spec.task_id!r} was skipped"
            told += _close_downstream(step, node, Cause.UPSTREAM_SKIPPED, why)
        finish_node(step, node)
    step.close_if_over()


def finish_node(step: Step, node: Node) -> None:
    """If all of a task's instances have ended: count it, and meet those that waited for it."""
    if node.done or not node.is_whole():
        return
    node.done = True
    step.run.open_nodes -= 1
    if node.outcome() is not TaskState.SUCCESS:
        return
    for task_id in step.run.spec.downstream(node.spec.task_id):
        down = step.run.nodes[task_id]
        down.unmet -= 1
        if down.unmet == 0 and not down.done and not step.run.row.cancelled:
            meet(step, down)


def _close_downstream(step: Step, node: Node, cause: Cause, why: str) -> list[InstanceRow]:
    """End the tasks that can no longer be met, as Airflow does: at the first bad upstream."""
    closed: list[InstanceRow] = []
    for task_id in step.run.spec.downstream(node.spec.task_id):
        down = step.run.nodes[task_id]
        if down.done or (down.mapped and down.row.length is not None):
            continue
        instance = single(step, down)
        if instance.state is TaskState.NONE:
            step.move(instance, cause, why)
            closed.append(instance)
    return closed
