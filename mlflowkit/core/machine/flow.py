"""How the end of one task reaches those that wait for it: they are met, expand, or are closed."""

from __future__ import annotations

from collections.abc import Iterable

from mlflowkit.core.machine.expand import (
    expand,
    has_item,
    lose_item,
    set_length,
    start_cleared,
    waiting,
    write_rest,
)
from mlflowkit.core.machine.run import InstanceRow, Node
from mlflowkit.core.machine.step import Step
from mlflowkit.core.machine.verdict import verdict_at, why_closed
from mlflowkit.core.spec import UNMAPPED, TaskId
from mlflowkit.core.states import Cause, TaskState
from mlflowkit.core.trigger_rule import Verdict


def end(step: Step, instance: InstanceRow, cause: Cause, reason: str = "") -> None:
    """End a task instance, tell the tasks that wait for it, close the run if it was the last."""
    instance.alarm, instance.stopping = None, ""
    step.move(instance, cause, reason)
    settle(step, [instance])


def settle(step: Step, ended: list[InstanceRow]) -> None:
    """Let those that wait hear of ended task instances, and of those that end because of it."""
    while ended:
        instance = ended.pop()
        node = step.run.nodes[instance.task_id]
        is_last = finish_node(step, node)
        for down in step.run.below(node):
            if down.beside(node) and down.expanded:
                ended += judge_inside(step, down, instance.map_index)
            elif is_last and down.inside and node in (*down.setups, *down.sources):
                # each index may have waited for just this, whatever else is open above
                ended += judge_each(step, down) if down.expanded else judge(step, down)
            else:
                ended += judge(step, down)
    step.close_if_over()


def finish_node(step: Step, node: Node) -> bool:
    """If all of a task's instances have ended: count it, once. Whether it was now."""
    if node.done or not node.is_whole():
        return False
    node.done = True
    step.run.open_nodes -= 1
    for task_id in step.run.spec.downstream(node.spec.task_id):
        down = step.run.nodes[task_id]
        if not down.beside(node):
            down.open_above -= 1
    return True


def judge(step: Step, node: Node) -> list[InstanceRow]:
    """Start a task, or close it, if its trigger rule can tell. Returns what has ended by that.

    Nothing that was ever started is judged again. After a cancel only what tears down is.
    """
    if node.done or (step.run.row.cancelled and not node.spec.teardown):
        return []
    if node.expanded:
        return _judge_expanded(step, node)
    alone = None if node.mapped and node.row.length is None else node.instances[UNMAPPED]
    if alone is not None and alone.state is not TaskState.NONE:
        return []
    if _is_left_out(step, node, UNMAPPED):
        return [leave_out(step, single(step, node))]
    sizes = [up.row.length or 0 for up in node.inside if up.expanded]
    if sizes:  # it was cleared, the others of its mapped group were not
        set_length(step, node, sizes[0])
        return _spread(step, [node, *_grow(step, node)])
    found = verdict_at(node, UNMAPPED)
    if found is Verdict.WAIT or (found is Verdict.RUN and node.row.waits_past):
        return []
    if found is Verdict.RUN:
        return meet(step, node)
    return [_close(step, node, single(step, node), found)]


def meet(step: Step, node: Node) -> list[InstanceRow]:
    """All that `node` waits for has come about. Returns what has ended by that."""
    if node.spec.inert:
        return [_pass_by(step, node.instances[UNMAPPED])]
    if not node.mapped:
        step.schedule(node.instances[UNMAPPED], Cause.UPSTREAM_MET)
        return []
    failed = expand(step, node)
    if failed is not None:
        return [_end_unexpanded(step, node, *failed)]
    return _spread(step, [node, *_grow(step, node)] if node.inside else _grow(step, node))


def _pass_by(step: Step, instance: InstanceRow) -> InstanceRow:
    """Its turn has come, and it has nothing to do: no place, no worker, no attempt."""
    instance.started_at = step.now
    step.move(instance, Cause.NOTHING_TO_DO)
    return instance


def _spread(step: Step, nodes: list[Node]) -> list[InstanceRow]:
    """Tasks of a mapped group have been expanded: some of their indexes may be due already."""
    return [one for node in nodes for one in judge_each(step, node)]


def _end_unexpanded(step: Step, node: Node, cause: Cause, why: str) -> InstanceRow:
    instance = single(step, node)
    step.move(instance, cause, why)
    return instance


def _grow(step: Step, node: Node) -> list[Node]:
    """The rest of its mapped group has as many instances; each starts when its turn comes."""
    found, todo = list[Node](), [node]
    while todo:
        here = todo.pop()
        for task_id in step.run.spec.downstream(here.spec.task_id):
            down = step.run.nodes[task_id]
            if down.beside(here) and down.row.length is None:
                set_length(step, down, node.row.length or 0)
                found.append(down)
                todo.append(down)
    return found


def _judge_expanded(step: Step, node: Node) -> list[InstanceRow]:
    """The instances of an expanded task that have not started: all of them, if it is time.

    Once what is above as a whole has decided, nothing is left to tell to every index.
    """
    if not node.inside:
        return _go_on_with_rest(step, node)
    found = verdict_at(node, UNMAPPED)
    if node.swept or (found is Verdict.WAIT and node.open_above):
        return []
    node.swept = found is not Verdict.WAIT
    return judge_each(step, node)


def judge_each(step: Step, node: Node) -> list[InstanceRow]:
    """Every instance of a task in a mapped group."""
    indexes = range(node.row.length or 0)
    return [one for index in indexes for one in judge_inside(step, node, index)]


def _go_on_with_rest(step: Step, node: Node) -> list[InstanceRow]:
    """What was cleared of an expanded task waits for those above it as it did at first."""
    if not node.held:
        return []
    found = verdict_at(node, UNMAPPED)
    left_out = _is_left_out(step, node, UNMAPPED)
    if found is Verdict.WAIT and not left_out:
        return []
    node.held = False
    if found is Verdict.RUN and not left_out:
        return start_cleared(step, node)
    write_rest(step, node)
    if left_out:
        return [leave_out(step, one) for one in waiting(node)]
    return [_close(step, node, one, found) for one in waiting(node)]


def judge_inside(step: Step, node: Node, index: int) -> list[InstanceRow]:
    """The same for one instance of a task in a mapped group."""
    if step.run.row.cancelled and not node.spec.teardown:
        return []
    if index < 0:  # a task above it ended as a whole, without being expanded
        return _judge_expanded(step, node)
    instance = node.instances.get(index)
    if instance is None:
        instance = InstanceRow(task_id=node.spec.task_id, map_index=index)
    elif instance.state is not TaskState.NONE:
        return []
    if _is_left_out(step, node, index):
        node.instances[index] = instance
        return [leave_out(step, instance)]
    if index in node.instances and not has_item(step.run, node, index):
        return [lose_item(step, node, instance)]
    found = verdict_at(node, index)
    if found is Verdict.WAIT or (found is Verdict.RUN and node.row.waits_past):
        return []
    node.instances[index] = instance
    if found is Verdict.RUN:
        step.schedule(instance, Cause.UPSTREAM_MET)
        return []
    return [_close(step, node, instance, found)]


def _close(step: Step, node: Node, instance: InstanceRow, found: Verdict) -> InstanceRow:
    """It can no longer run, as Airflow sees it: at once, not when all above have ended."""
    cause, why = why_closed(node, instance.map_index, found)
    step.move(instance, cause, why)
    return instance


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


# ── branches ────────────────────────────────────────────────────────────────


def branch(
    step: Step, node: Node, index: int, chosen: Iterable[TaskId]
) -> list[InstanceRow]:
    """Leave out the tasks directly below that were not chosen, and are not below a chosen one."""
    spec, kept = step.run.spec, set(chosen)
    for task_id in tuple(kept):
        kept |= spec.all_below(task_id)
    direct = spec.downstream(node.spec.task_id)
    return _leave_out_all(step, node, index, [t for t in direct if t not in kept])


def halt(step: Step, node: Node, index: int, which: str) -> list[InstanceRow]:
    """Leave out all that is below, or only what is "direct"ly below."""
    spec, task_id = step.run.spec, node.spec.task_id
    found = spec.downstream(task_id) if which == "direct" else spec.all_below(task_id)
    return _leave_out_all(step, node, index, [t for t in spec.tasks if t in set(found)])


def _leave_out_all(
    step: Step, node: Node, index: int, task_ids: Iterable[TaskId]
) -> list[InstanceRow]:
    """One of several instances leaves out its own index of the tasks in its mapped group."""
    nodes = [step.run.nodes[t] for t in task_ids]
    fit = [n for n in nodes if not n.spec.teardown and (index < 0 or n.beside(node))]
    node.row.left_out[index] = tuple(n.spec.task_id for n in fit)
    step.node_changed(node)
    ended = list[InstanceRow]()
    for down in fit:
        marked = step.run.left_out.setdefault((down.spec.task_id, index), set())
        marked.add(node.spec.task_id)
        ended += _leave_out_now(step, down, index)
    return ended


def _leave_out_now(step: Step, node: Node, index: int) -> list[InstanceRow]:
    """What is out, or waits for another try, goes on; all else of it is skipped."""
    if node.done or step.run.row.cancelled:
        return []
    if not node.expanded:
        found = [single(step, node)] if index < 0 else []
    elif index < 0:
        write_rest(step, node)
        node.held = False
        found = list(node.instances.values())
    else:
        fresh = InstanceRow(task_id=node.spec.task_id, map_index=index)
        found = [node.instances.setdefault(index, fresh)]
    return [
        leave_out(step, instance)
        for instance in found
        if instance.state in (TaskState.NONE, TaskState.SCHEDULED)
    ]


def _is_left_out(step: Step, node: Node, index: int) -> bool:
    return bool(_left_out_by(step, node.spec.task_id, index))


def _left_out_by(step: Step, task_id: TaskId, index: int) -> set[TaskId]:
    """The tasks that left out this instance, or the task as a whole."""
    found = step.run.left_out
    return found.get((task_id, index), set()) | found.get((task_id, UNMAPPED), set())


def leave_out(step: Step, instance: InstanceRow) -> InstanceRow:
    """Skip a task instance that a branch or short circuit has left out."""
    by = _left_out_by(step, instance.task_id, instance.map_index)
    names = ", ".join(repr(str(name)) for name in sorted(by))
    step.move(instance, Cause.NOT_CHOSEN, f"left out by task {names}")
    return instance
