"""What people ask of a run: to stop, and to try again what did not succeed."""

from __future__ import annotations

from mlflowkit.core.decisions import Kill
from mlflowkit.core.machine.finish import CANCELLED
from mlflowkit.core.machine.flow import finish_node, meet, placeholder
from mlflowkit.core.machine.run import InstanceRow, Node, Run
from mlflowkit.core.machine.step import Step
from mlflowkit.core.spec import UNMAPPED, TaskId
from mlflowkit.core.states import ENDED, HOLDS_PLACE, Cause, TaskState
from mlflowkit.errors import IllegalEvent


def cancel(step: Step) -> None:
    """Nothing new starts; what runs is killed; what waited is skipped."""
    run = step.run
    if run.row.cancelled:
        return
    run.row.cancelled = True
    run.ready.clear()
    step.outcome.run = run.row
    for node in run.nodes.values():
        _cancel_node(step, node)
    for node in run.nodes.values():
        finish_node(step, node)
    step.close_if_over()


def _cancel_node(step: Step, node: Node) -> None:
    if node.mapped and node.row.length is None:
        placeholder(step, node)
    node.counts[TaskState.SKIPPED] += node.unstarted
    for instance in node.instances.values():
        if instance.state in ENDED:
            continue
        instance.alarm = None
        if instance.state not in HOLDS_PLACE:
            step.move(instance, Cause.CANCELLED, CANCELLED)
            continue
        if not instance.stopping:
            step.decide(Kill(step.run.attempt_of(instance), CANCELLED))
        instance.stopping = CANCELLED
        step.changed(instance)


def retry(step: Step, task_ids: tuple[TaskId, ...]) -> None:
    """Clear what did not succeed (or the named tasks and all below them), and go on."""
    run = step.run
    if not run.ended:
        raise IllegalEvent(f"run {run.run_id!r}", run.row.state, Cause.CLEARED)
    was_cancelled = run.row.cancelled
    step.move_run("cleared")
    run.row.cancelled, run.row.reason, run.row.ended_at = False, "", None
    named = _with_all_below(run, task_ids)
    for task_id, node in run.nodes.items():
        if was_cancelled:
            node.counts[TaskState.SKIPPED] -= node.unstarted
        if task_id in named:
            _clear_whole(step, node)
        elif not task_ids:
            _clear_bad(step, node)
    _recount(step)
    step.close_if_over()


def _with_all_below(run: Run, task_ids: tuple[TaskId, ...]) -> set[TaskId]:
    found, todo = set[TaskId](), list(task_ids)
    while todo:
        task_id = todo.pop()
        if task_id not in found:
            found.add(task_id)
            todo += run.spec.downstream(task_id)
    return found


def _clear(step: Step, node: Node, instance: InstanceRow) -> None:
    node.counts[instance.state] -= 1
    step.move(instance, Cause.CLEARED)
    instance.failures = instance.lost = 0
    instance.queued_at = instance.started_at = instance.ended_at = None


def _clear_whole(step: Step, node: Node) -> None:
    for instance in node.instances.values():
        _clear(step, node, instance)
    node.row.length, node.row.next_index, node.row.lengths = None, 0, {}
    step.node_changed(node)


def _clear_bad(step: Step, node: Node) -> None:
    bad = (TaskState.FAILED, TaskState.UPSTREAM_FAILED)
    for instance in node.instances.values():
        stopped = instance.state is TaskState.SKIPPED and instance.reason == CANCELLED
        if instance.state in bad or stopped:
            _clear(step, node, instance)
    unexpanded = node.instances.get(UNMAPPED) if node.mapped else None
    if unexpanded is not None and unexpanded.state is TaskState.NONE:
        node.row.length = None
        step.node_changed(node)


def _recount(step: Step) -> None:
    """Counters anew, then schedule what is met. Costs O(run): a person asked, once."""
    run = step.run
    run.ready.clear()
    for node in run.nodes.values():
        node.done = node.is_whole()
    run.open_nodes = sum(not node.done for node in run.nodes.values())
    for node in run.nodes.values():
        ups = [run.nodes[up] for up in node.spec.upstream]
        good = [up for up in ups if up.done and up.outcome() is TaskState.SUCCESS]
        node.unmet = len(ups) - len(good)
    for node in list(run.nodes.values()):
        if not node.done and node.unmet == 0:
            _start_again(step, node)


def _start_again(step: Step, node: Node) -> None:
    if not node.mapped or node.row.length is None:
        meet(step, node)
        return
    for instance in sorted(node.instances.values(), key=lambda i: i.map_index):
        if instance.state is TaskState.NONE:
            step.schedule(instance, Cause.UPSTREAM_MET)
    if node.unstarted:
        step.run.ready.append((node.spec.task_id, None))
