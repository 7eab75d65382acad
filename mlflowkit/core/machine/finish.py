"""What an attempt says of itself: it started, it ended, or it is gone."""

from __future__ import annotations

from datetime import datetime

from mlflowkit.core.events import AttemptSucceeded
from mlflowkit.core.machine.flow import branch, end, halt, settle
from mlflowkit.core.machine.mark import MARKS, SUCCESS
from mlflowkit.core.machine.people import CANCELLED
from mlflowkit.core.machine.run import InstanceRow
from mlflowkit.core.machine.step import Step
from mlflowkit.core.spec import AttemptId
from mlflowkit.core.states import Cause, TaskState

#: An attempt that is lost is launched again this often, then its task instance fails.
LOST_LIMIT = 3


def started(step: Step, attempt: AttemptId) -> None:
    instance = step.current(attempt)
    if instance is None or instance.state is TaskState.RUNNING:
        return
    step.move(instance, Cause.STARTED)
    instance.started_at = step.now
    instance.first_started_at = instance.first_started_at or step.now
    timeout = step.run.nodes[attempt.task_id].spec.execution_timeout
    if timeout is not None and not instance.stopping:
        step.wake_at(instance, step.now + timeout)


def succeeded(step: Step, event: AttemptSucceeded) -> None:
    """A result counts, also one that won the race against being stopped."""
    instance = step.current(event.attempt)
    if instance is None:
        return
    node = step.run.nodes[event.attempt.task_id]
    if event.lengths and not node.mapped:
        node.row.lengths = dict(event.lengths)
        step.node_changed(node)
    step.call(instance, "success")
    instance.alarm, instance.stopping = None, ""
    step.move(instance, Cause.SUCCEEDED)
    ended = [instance]
    if event.chosen is not None:
        ended += branch(step, node, instance.map_index, event.chosen)
    if event.halts:
        ended += halt(step, node, instance.map_index, event.halts)
    settle(step, ended)


def rescheduled(step: Step, attempt: AttemptId, when: datetime) -> None:
    """It gives its place back, and starts again at `when`; being stopped comes first."""
    instance = step.current(attempt)
    if instance is None:
        return
    if instance.stopping or _came_too_late(step, instance):
        failed(step, attempt, instance.stopping or CANCELLED, retryable=True)
        return
    instance.reschedules += 1
    instance.lost = 0
    step.move(instance, Cause.RESCHEDULED)
    instance.ended_at = step.now
    step.wake_at(instance, max(when, step.now))


def skipped(step: Step, attempt: AttemptId, why: str) -> None:
    instance = step.current(attempt)
    if instance is not None and instance.stopping in MARKS:
        _ended_as_marked(step, instance)
    elif instance is not None:
        step.call(instance, "skipped", why)
        end(step, instance, Cause.SKIPPED, why)


def failed(step: Step, attempt: AttemptId, why: str, retryable: bool) -> None:
    instance = step.current(attempt)
    if instance is None:
        return
    if instance.stopping in MARKS:
        _ended_as_marked(step, instance)
        return
    if instance.stopping == CANCELLED or _came_too_late(step, instance):
        step.call(instance, "failure", instance.stopping or why)
        end(step, instance, Cause.CANCELLED, instance.stopping or why)
        return
    instance.failures += 1
    instance.lost = 0
    policy = step.run.nodes[attempt.task_id].spec.retry
    why = instance.stopping or why
    if (retryable or instance.stopping) and instance.failures <= policy.retries:
        _wait_for_retry(
            step, instance, why, step.now + policy.delay_after(instance.failures)
        )
    else:
        _fail_for_good(step, instance, why)


def _ended_as_marked(step: Step, instance: InstanceRow) -> None:
    """It is known to be dead: now it is what a person said."""
    said = instance.stopping
    step.call(instance, "success" if said == SUCCESS else "failure", said)
    end(step, instance, MARKS[said], said)


def _came_too_late(step: Step, instance: InstanceRow) -> bool:
    """The run is being stopped, and it does not belong to what still tears down."""
    teardown = step.run.nodes[instance.task_id].spec.teardown
    return step.run.row.cancelled and not teardown


def _fail_for_good(step: Step, instance: InstanceRow, why: str) -> None:
    step.call(instance, "failure", why)
    end(step, instance, Cause.FAILED, why)


def _wait_for_retry(step: Step, instance: InstanceRow, why: str, when: datetime) -> None:
    instance.stopping = ""
    step.call(instance, "retry", why)
    step.move(instance, Cause.FAILED_ONCE, why)
    instance.ended_at = step.now
    step.wake_at(instance, when)


def lost(step: Step, attempt: AttemptId, why: str) -> None:
    """What ran it is gone. That is nobody's failure: it starts again, but not for ever."""
    instance = step.current(attempt)
    if instance is None:
        return
    if instance.stopping:
        failed(step, attempt, why, retryable=True)
        return
    instance.lost += 1
    if instance.lost > LOST_LIMIT:
        _fail_for_good(step, instance, f"lost {instance.lost} times; the last time: {why}")
    else:
        step.schedule(instance, Cause.LOST, f"lost: {why}")
