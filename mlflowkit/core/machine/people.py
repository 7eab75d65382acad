"""What people ask of a run: to stop, and to try again what did not succeed."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from mlflowkit.core.decisions import Kill, WakeAt
from mlflowkit.core.events import InstanceAsked
from mlflowkit.core.machine.flow import (
    end,
    finish_node,
    judge,
    judge_each,
    settle,
    single,
    waiting,
    write_rest,
)
from mlflowkit.core.machine.load import recount
from mlflowkit.core.machine.run import BAD, WHOLE_RUN, InstanceRow, Node, Run
from mlflowkit.core.machine.start import judge_all, make_rows
from mlflowkit.core.machine.step import Step
from mlflowkit.core.spec import UNMAPPED, TaskId
from mlflowkit.core.states import ENDED, HOLDS_PLACE, Cause, RunState, TaskState
from mlflowkit.errors import IllegalEvent

CANCELLED = "cancelled"


def cancel(step: Step) -> None:
    """A person wants it to stop; asked once more, teardown tasks are stopped, too."""
    run = step.run
    if run.row.state is RunState.QUEUED:
        make_rows(step)
    if not run.row.cancelled:
        stop(step, CANCELLED)
        return
    for node in run.nodes.values():
        if node.spec.teardown and not node.done:
            _cancel_node(step, node)
    _finish_all(step)


def stop(step: Step, why: str) -> None:
    """Nothing new starts but what tears down; what runs is killed; what waited is skipped."""
    run = step.run
    run.row.cancelled, run.row.reason = True, why
    run.ready.clear()
    step.outcome.run = run.row
    for node in run.nodes.values():
        if not node.spec.teardown:
            _cancel_node(step, node)
    for node in run.nodes.values():
        if node.spec.teardown:
            _keep_ready(run, node)
    _finish_all(step)
    judge_all(step)


def ask_instance(step: Step, asked: InstanceAsked) -> None:
    """Stop one attempt, or end a wait at once. A click that comes too late changes nothing."""
    node = step.run.nodes.get(asked.task_id)
    if node is None:
        what = f"{asked.what} of unknown task {asked.task_id!r}"
        raise IllegalEvent(f"run {step.run.run_id!r}", step.run.row.state, what)
    instance = node.instances.get(asked.map_index)
    if instance is None:
        return
    if asked.what == "stop" and instance.state in HOLDS_PLACE:
        _stop_attempt(step, instance)
    elif asked.what in _ENDS_OF_WAIT.get(instance.state, {}):
        cause = _ENDS_OF_WAIT[instance.state][asked.what]
        if asked.what == "retry_now":
            step.schedule(instance, cause)
        else:
            _give_up(step, instance, cause)


_ENDS_OF_WAIT: Final = {
    TaskState.UP_FOR_RETRY: {"retry_now": Cause.RETRY_DUE, "give_up": Cause.CANCELLED},
    TaskState.UP_FOR_RESCHEDULE: {
        "retry_now": Cause.RESCHEDULE_DUE,
        "give_up": Cause.CANCELLED,
    },
}


def _give_up(step: Step, instance: InstanceRow, cause: Cause) -> None:
    """What failed keeps its reason; a sensor that was looking counts as cancelled."""
    failed = instance.state is TaskState.UP_FOR_RETRY
    if failed:
        step.broke = step.broke or instance.task_id
    end(step, instance, cause, f"{instance.reason} (given up)" if failed else CANCELLED)


def _stop_attempt(step: Step, instance: InstanceRow) -> None:
    instance.alarm = None
    if not instance.stopping:
        step.decide(Kill(step.run.attempt_of(instance), CANCELLED))
    instance.stopping = CANCELLED
    step.changed(instance)


def stop_if_broken(step: Step) -> None:
    """With `fail_fast`, the first task that fails for good stops the run."""
    run = step.run
    if step.broke and run.spec.fail_fast and not run.ended and not run.row.cancelled:
        stop(step, f"task {step.broke!r} failed, and fail_fast is set")


def _keep_ready(run: Run, node: Node) -> None:
    for instance in node.instances.values():
        if instance.state is TaskState.SCHEDULED:
            run.add_ready(node, instance.map_index)
    run.add_rest(node)


def _finish_all(step: Step) -> None:
    for node in step.run.nodes.values():
        finish_node(step, node)
    step.close_if_over()


def _cancel_node(step: Step, node: Node) -> None:
    """Skip what has not started, and kill what runs."""
    if node.mapped and node.row.length is None:
        single(step, node)
    node.held = False
    if node.spec.mapped_group or node.spec.teardown:
        write_rest(step, node)
    elif node.unstarted:  # none of a cancelled run's can start: no rows are needed
        step.count(node, TaskState.SKIPPED, node.unstarted)
    for instance in node.instances.values():
        if instance.state in ENDED or instance.stopping == CANCELLED:
            continue
        if instance.state in HOLDS_PLACE:
            _stop_attempt(step, instance)
            continue
        instance.alarm = None
        step.move(instance, Cause.CANCELLED, CANCELLED)


def retry(step: Step, task_ids: tuple[TaskId, ...], *, alone: bool = False) -> None:
    """Clear what did not succeed (or the named tasks and all below them), and go on.

    With `alone` what is below the named tasks stays as it is.

    Tasks that are new in the run, or mapped where they were not before (a person
    changed the code), run as well, and all below them.
    """
    run = step.run
    _check(run, task_ids)
    was_cancelled = run.row.cancelled
    gone = torn_down(run)
    step.move_run("cleared")
    run.row.cancelled, run.row.reason, run.row.ended_at = False, "", None
    unfit = list(filter(None, map(_unfit, run.nodes.values())))
    again = _with_all_below(run, unfit if alone else [*task_ids, *unfit]) | set(task_ids)
    for task_id, node in run.nodes.items():
        if was_cancelled and not node.spec.teardown:
            node.counts[TaskState.SKIPPED] -= node.unstarted
        if task_id in again:
            clear_whole(step, node)
        elif not task_ids:
            _clear_bad(step, node)
        elif was_cancelled:
            _write_skipped(step, node)
    set_up_again(step, gone)
    go_on_all(step)


def _check(run: Run, task_ids: tuple[TaskId, ...]) -> None:
    unknown = [t for t in task_ids if t not in run.nodes]
    if not run.ended or unknown:
        cause = f"retry of unknown task {unknown[0]!r}" if unknown else Cause.CLEARED
        raise IllegalEvent(f"run {run.run_id!r}", run.row.state, cause)


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


def _clear_bad(step: Step, node: Node) -> None:
    bad = [i for i in node.instances.values() if _did_not_succeed(i)]
    if bad and node.mapped and bad[0].map_index == UNMAPPED:
        clear_whole(step, node)  # it was never expanded
        return
    for instance in bad:
        clear(step, node, instance)
        if node.row.left_out.pop(instance.map_index, None) is not None:
            step.node_changed(node)


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
