"""How many task instances a mapped task becomes."""

from __future__ import annotations

from math import prod

from mlflowkit.core.machine.run import InstanceRow, Node, Run
from mlflowkit.core.machine.step import Step
from mlflowkit.core.spec import Axis
from mlflowkit.core.states import Cause, TaskState


def expand(step: Step, node: Node) -> tuple[Cause, str] | None:
    """Give a mapped task its instances, ready to start. Else: how it ends without any, and why.

    All that it expands over has ended.
    """
    assert node.spec.expansion is not None
    lengths = [axis_length(step.run, axis) for axis in node.spec.expansion.axes]
    problem = _problem(step.run, node, lengths)
    if problem:
        return Cause.CANNOT_EXPAND, problem
    length = prod(n for n in lengths if n is not None)
    if length == 0:
        return Cause.EXPANDED_TO_NOTHING, "nothing to expand over"
    kept = set_length(step, node, length)
    if node.inside:  # each starts when its turn comes
        return None
    for index in kept:  # of an earlier expansion: their attempts are counted on
        step.schedule(node.instances[index], Cause.UPSTREAM_MET)
    step.run.add_rest(node)
    return None


def set_length(step: Step, node: Node, length: int) -> list[int]:
    """It has so many instances now. Returns the indexes that an earlier expansion had, too."""
    kept = [i for i in sorted(node.instances) if 0 <= i < length]
    for index in node.instances.keys() - kept:
        if node.instances[index].state is TaskState.NONE:
            step.move(node.instances[index], Cause.EXPANDED_AWAY)
    node.row.length = length
    node.row.next_index = length if node.inside else len(kept)
    step.node_changed(node)
    return kept


def waiting(node: Node) -> list[InstanceRow]:
    """Its instances that have a row, and have not been started."""
    rows = (row for _, row in sorted(node.instances.items()))
    return [row for row in rows if row.state is TaskState.NONE]


def write_rest(step: Step, node: Node) -> None:
    """What never started has rows from here on, since it will not start."""
    for index in range(node.row.length or 0):
        if index not in node.instances:
            fresh = InstanceRow(task_id=node.spec.task_id, map_index=index)
            node.instances[index] = fresh
    if node.unstarted:
        node.row.next_index += node.unstarted
        step.node_changed(node)


def has_item(run: Run, node: Node, index: int) -> bool:
    """Whether what it expands over still has one for this instance, that was cleared: it may
    have been made anew since. While that is being made, nobody knows."""
    if not node.sources or not all(source.done for source in node.sources):
        return True
    if node.items is None:
        assert node.spec.expansion is not None
        lengths = [axis_length(run, axis) for axis in node.spec.expansion.axes]
        node.items = prod(n or 0 for n in lengths)
    return index < node.items


def lose_item(step: Step, node: Node, instance: InstanceRow) -> InstanceRow:
    """It never takes an item that is another's."""
    why = (
        f"what it expands over has {node.items or 0:,} items now, and none for it: "
        f"clear task {str(node.spec.task_id)!r} as a whole"
    )
    step.move(instance, Cause.CANNOT_EXPAND, why)
    return instance


def start_cleared(step: Step, node: Node) -> list[InstanceRow]:
    """Instances of an earlier expansion start, those that have no item any more end."""
    if not has_item(step.run, node, (node.row.length or 0) - 1):
        write_rest(step, node)
    lost = list[InstanceRow]()
    for one in waiting(node):
        if has_item(step.run, node, one.map_index):
            step.schedule(one, Cause.UPSTREAM_MET)
        else:
            lost.append(lose_item(step, node, one))
    step.run.add_rest(node)
    return lost


def axis_length(run: Run, axis: Axis) -> int | None:
    """How many items it has; None where a task that should say so gave nothing countable."""
    if axis.length is not None:
        return axis.length
    if axis.source is not None:
        source = run.nodes[axis.source.task_id]
        if source.mapped:
            return sum(map(_gave_a_value, source.instances.values()))
        return source.row.lengths.get(axis.source.key)
    parts = [axis_length(run, part) for part in axis.parts]
    known = [n for n in parts if n is not None]
    if len(known) < len(parts):
        return None
    if axis.how == "concat":
        return sum(known)
    return min(known) if axis.how == "zip" else max(known)


def _gave_a_value(instance: InstanceRow) -> bool:
    """What a person marked as a success gave none."""
    marked = instance.reason == Cause.MARKED_SUCCESS
    return instance.state is TaskState.SUCCESS and not marked


def _problem(run: Run, node: Node, lengths: list[int | None]) -> str:
    expansion = node.spec.expansion
    assert expansion is not None
    for axis, length in zip(expansion.axes, lengths, strict=True):
        if length is None:
            ref = next(r for r in axis.sources() if _gave_none(run, r.task_id, r.key))
            return (
                f"{axis.name!r} cannot be expanded: task {ref.task_id!r} gave no list, "
                f"tuple or dict for its XCom {ref.key!r}"
            )
    length = prod(n for n in lengths if n is not None)
    if length > expansion.limit:
        return (
            f"it would expand to {length:,} task instances; the limit is {expansion.limit:,} "
            "(setting max_map_length)"
        )
    return ""


def _gave_none(run: Run, task_id: str, key: str) -> bool:
    source = run.nodes[task_id]  # type: ignore[index]  # a plain str is one
    return not source.mapped and key not in source.row.lengths
