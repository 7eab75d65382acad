"""A run that has ended goes on: what did not succeed is cleared, or what a person names."""

from __future__ import annotations

from collections.abc import Iterable

from mlflowkit.core.decisions import WakeAt
from mlflowkit.core.events import RetryAsked
from mlflowkit.core.machine.expand import waiting, write_rest
from mlflowkit.core.machine.flow import judge, judge_each, settle, single
from mlflowkit.core.machine.load import recount
from mlflowkit.core.machine.people import CANCELLED
from mlflowkit.core.machine.run import BAD, WHOLE_RUN, InstanceRow, Node, Run
from mlflowkit.core.machine.step import Step
from mlflowkit.core.spec import UNMAPPED, TaskId
from mlflowkit.core.states import ENDED, Cause, TaskState
from mlflowkit.errors import IllegalEvent


def retry(step: Step, asked: RetryAsked) -> None:
    """Clear what did not succeed (or what is named, and all below that), and go on.

    With `alone` what is below what is named stays as it is.

    Tasks that are new in the run, or mapped where they were not before (a person
    changed the code), run as well, and all below them.
    """
    run = step.run
    _check(run, asked)
    was_cancelled = run.row.cancelled
    gone = torn_down(run)
    step.move_run("cleared")
    run.row.cancelled, run.row.reason, run.row.ended_at = False, "", None
    whole, parts = _scope(run, asked)
    for task_id, node in run.nodes.items():
        if was_cancelled and not node.spec.teardown:
            node.counts[TaskState.SKIPPED] -= node.unstarted
        if task_id in whole:
            clear_whole(step, node)
        elif task_id in parts:
            _clear_part(step, node, parts[task_id])
        elif not asked.task_ids and not asked.parts:
            _clear_bad(step, node)
        elif was_cancelled:
            _write_skipped(step, node)
    set_up_again(step, gone)
    go_on_all(step)


def _check(run: Run, asked: RetryAsked) -> None:
    unknown = [t for t in (*asked.task_ids, *asked.parts) if t not in run.nodes]
    cause = f"retry of unknown task {unknown[0]!r}" if unknown else str(Cause.CLEARED)
    unfit = [
        f"retry of {task_id!r}: {why}"
        for task_id, indexes in asked.parts.items()
        if task_id in run.nodes
        for why in [why_not_cleared(run.nodes[task_id], indexes)]
        if why
    ]
    if not run.ended or unknown or unfit:
        raise IllegalEvent(f"run {run.run_id!r}", run.row.state, (unfit or [cause])[0])


def why_not_cleared(node: Node, indexes: Iterable[int]) -> str:
    """Why these task instances of an ended run cannot be cleared; empty if they can."""
    if not node.mapped:
        return "it is not mapped: leave the index out"
    if not node.expanded:
        return "it was not expanded: clear the whole task"
    length, chosen = node.row.length or 0, set(indexes)
    if not chosen or not chosen <= set(range(length)):
        return f"its task instances are [0] to [{length - 1}]"
    return ""


def _scope(run: Run, asked: RetryAsked) -> tuple[set[TaskId], dict[TaskId, set[int]]]:
    """The tasks that are cleared as a whole, and those of which some indexes are.

    Inside of a mapped group what is below instance i is instance i; beyond it, all.
    """
    named = set(asked.task_ids)
    whole = _with_all_below(run, filter(None, map(_unfit, run.nodes.values())))
    whole |= named if asked.alone else _with_all_below(run, named)
    parts = dict[TaskId, set[int]]()
    todo = [(task_id, set(indexes)) for task_id, indexes in asked.parts.items()]
    while todo:
        task_id, indexes = todo.pop()
        indexes -= parts.setdefault(task_id, set())
        parts[task_id] |= indexes
        for down in () if asked.alone or not indexes else run.spec.downstream(task_id):
            if run.nodes[down].beside(run.nodes[task_id]) and run.nodes[down].expanded:
                todo.append((down, set(indexes)))
            else:
                whole |= _with_all_below(run, [down])
    return whole, parts


def _unfit(node: Node) -> TaskId | None:
    """The task's id, if its rows are not those of a task of its kind."""
    expanded = node.row.length is not None
    has_row = node.mapped or UNMAPPED in node.instances
    return None if expanded == node.mapped and has_row else node.spec.task_id


def _with_all_below(run: Run, task_ids: Iterable[TaskId]) -> set[TaskId]:
    found, todo = set[TaskId](), list(task_ids)
    while todo:
        task_id = todo.pop()
        if task_id not in found:
            found.add(task_id)
            todo += run.spec.downstream(task_id)
    return found


def torn_down(run: Run) -> set[TaskId]:
    """The teardowns that have run."""
    return {name for name, node in run.nodes.items() if _has_torn_down(node)}


def _has_torn_down(node: Node) -> bool:
    ran = node.counts[TaskState.SUCCESS] + node.counts[TaskState.FAILED]
    return node.spec.teardown and ran > 0


def set_up_again(step: Step, gone: set[TaskId], kept: Node | None = None) -> None:
    """What tasks that run again need, and what was torn down since, is set up once more; and
    all that clears away after them will do so again. For `kept` a person has vouched."""
    run = step.run
    if not any(task.teardown for task in run.spec.tasks.values()):
        return
    todo = [n for n in run.nodes.values() if not n.spec.teardown and not n.is_whole()]
    while todo:
        node = todo.pop()
        around = list(run.spec.setups_around(node.spec.task_id))
        for setup, teardowns in around:
            torn = not gone.isdisjoint(teardowns)
            helper = run.nodes[setup]
            if torn and helper is not kept and _clear_for(step, node, helper):
                todo.append(helper)  # it may need others itself
        closers = {t for _, teardowns in around for t in teardowns}
        for name in closers.union(run.spec.downstream(node.spec.task_id)):
            helper = run.nodes[name]
            if helper.spec.teardown and helper is not kept:
                _clear_for(step, node, helper)


def _clear_for(step: Step, node: Node, helper: Node) -> bool:
    """Clear a setup or teardown of `node`: in a mapped group that of the same indexes."""
    found = [i for i in helper.instances.values() if i.state in ENDED - {TaskState.REMOVED}]
    if helper.beside(node) and helper.expanded and node.expanded:
        indexes = {i.map_index for i in waiting(node)}
        found = [i for i in found if i.map_index in indexes]
        for instance in found:
            clear(step, helper, instance)
    elif found:
        clear_whole(step, helper)
    return bool(found)


def clear(step: Step, node: Node, instance: InstanceRow) -> None:
    if instance.state is TaskState.NONE:
        return
    if instance.state is not TaskState.REMOVED:
        node.counts[instance.state] -= 1
    step.move(instance, Cause.CLEARED)
    instance.failures = instance.lost = instance.reschedules = 0
    instance.first_started_at = None
    instance.queued_at = instance.started_at = instance.ended_at = None


def clear_whole(step: Step, node: Node) -> None:
    for instance in node.instances.values():
        clear(step, node, instance)
    node.row.length, node.row.next_index, node.row.lengths = None, 0, {}
    node.row.left_out = {}
    step.node_changed(node)
    if not node.mapped:
        single(step, node)


def _clear_part(step: Step, node: Node, indexes: set[int]) -> None:
    """Only these instances. Those that a cancelled run never started stay as that left them."""
    write_rest(step, node)
    for instance in waiting(node):
        if instance.map_index not in indexes:
            step.move(instance, Cause.CANCELLED, CANCELLED)
    for index in sorted(indexes):
        step.changed(node.instances[index])  # it may have no row yet
        _clear_one(step, node, node.instances[index])


def _clear_one(step: Step, node: Node, instance: InstanceRow) -> None:
    clear(step, node, instance)
    if node.row.left_out.pop(instance.map_index, None) is not None:
        step.node_changed(node)


def _clear_bad(step: Step, node: Node) -> None:
    bad = [i for i in node.instances.values() if _did_not_succeed(i)]
    if bad and node.mapped and bad[0].map_index == UNMAPPED:
        clear_whole(step, node)  # it was never expanded
        return
    for instance in bad:
        _clear_one(step, node, instance)


def _did_not_succeed(instance: InstanceRow) -> bool:
    stopped = instance.state is TaskState.SKIPPED and instance.reason == CANCELLED
    return instance.state in BAD or stopped


def _write_skipped(step: Step, node: Node) -> None:
    """What a cancelled run did not start and shall not start now: from here on it has rows."""
    write_rest(step, node)
    for instance in waiting(node):
        step.move(instance, Cause.CANCELLED, CANCELLED)


def go_on_all(step: Step) -> None:
    """Counters anew, then start what is met. Costs O(run): a person asked, once."""
    run = step.run
    run.ready.clear()
    recount(run)
    if run.deadline is not None:  # the time of a run counts from when it goes on
        run.row.started_at = step.now
        step.run.add_alarm(run.deadline, WHOLE_RUN, UNMAPPED)
        step.decide(WakeAt(run.deadline))
    ended = list[InstanceRow]()
    for task in run.spec.in_order():
        node = run.nodes[task.task_id]
        if not node.done:
            ended += _go_on(step, node)
    settle(step, ended)


def _go_on(step: Step, node: Node) -> list[InstanceRow]:
    """Start what is left of a task, or leave it waiting; close what stays as bad as it was."""
    if node.inside and node.expanded:
        return judge_each(step, node)
    if (
        node.unstarted and not node.held
    ):  # a row that waits stands for all that never started
        index = node.row.next_index
        node.instances[index] = InstanceRow(task_id=node.spec.task_id, map_index=index)
        step.changed(node.instances[index])
        node.row.next_index += 1
        step.node_changed(node)
        node.held = True
    return judge(step, node)
