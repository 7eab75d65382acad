"""What people ask of a run while it goes on: to stop, whole or in part."""

from __future__ import annotations

from typing import Final

from mlflowkit.core.decisions import Kill
from mlflowkit.core.events import InstanceAsked
from mlflowkit.core.machine.expand import write_rest
from mlflowkit.core.machine.flow import end, finish_node, single
from mlflowkit.core.machine.run import InstanceRow, Node, Run
from mlflowkit.core.machine.start import judge_all, make_rows
from mlflowkit.core.machine.step import Step
from mlflowkit.core.states import ENDED, HOLDS_PLACE, Cause, RunState, TaskState
from mlflowkit.errors import IllegalEvent

CANCELLED = "cancelled"
#: In the reason of a retry that waits: what comes before it is why it failed.
HELD_BACK = "; its failed kernel is open"


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
    stops = asked.what in ("stop", "cancel")
    if stops and instance.state in HOLDS_PLACE:
        _stop_attempt(step, instance)
    elif asked.what == "cancel":
        _cancel_waiting(step, instance)
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


def why_not_cancelled(run: Run, node: Node, index: int) -> str:
    """Why one task instance cannot be cancelled now; empty if it can."""
    instance = node.instances.get(index)
    if run.ended or (instance is not None and instance.state in ENDED):
        return "it has ended"
    if instance is None or instance.state is TaskState.NONE:
        return "it has not started"
    return "it is being stopped already" if instance.stopping == CANCELLED else ""


def _cancel_waiting(step: Step, instance: InstanceRow) -> None:
    """What is not out: it is not tried again, or never started."""
    if instance.state in _ENDS_OF_WAIT:
        _give_up(step, instance, Cause.CANCELLED)
    elif instance.state is TaskState.SCHEDULED:
        end(step, instance, Cause.CANCELLED, CANCELLED)


def _give_up(step: Step, instance: InstanceRow, cause: Cause) -> None:
    """What failed keeps its reason; a sensor that was looking counts as cancelled."""
    failed = instance.state is TaskState.UP_FOR_RETRY
    if failed:
        step.broke = step.broke or instance.task_id
    end(
        step, instance, cause, f"{failure_of(instance)} (given up)" if failed else CANCELLED
    )


def failure_of(instance: InstanceRow) -> str:
    """Why it failed, without what its retry waits for."""
    return instance.reason.partition(HELD_BACK)[0]


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
