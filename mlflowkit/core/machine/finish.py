"""What an attempt says of itself: it started, it ended, or it is gone."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from mlflowkit.core.machine.flow import end
from mlflowkit.core.machine.run import InstanceRow
from mlflowkit.core.machine.step import Step
from mlflowkit.core.spec import AttemptId
from mlflowkit.core.states import Cause, TaskState

#: An attempt that is lost is launched again this often, then its task instance fails.
LOST_LIMIT = 3
CANCELLED = "cancelled"


def started(step: Step, attempt: AttemptId) -> None:
    instance = step.current(attempt)
    if instance is None or instance.state is TaskState.RUNNING:
        return
    step.move(instance, Cause.STARTED)
    instance.started_at = step.now
    timeout = step.run.nodes[attempt.task_id].spec.execution_timeout
    if timeout is not None and not instance.stopping:
        step.wake_at(instance, step.now + timeout)


def succeeded(step: Step, attempt: AttemptId, lengths: Mapping[str, int]) -> None:
    """A result counts, also one that won the race against being stopped."""
    instance = step.current(attempt)
    if instance is None:
        return
    node = step.run.nodes[attempt.task_id]
    if lengths and not node.mapped:
        node.row.lengths = dict(lengths)
        step.node_changed(node)
    end(step, instance, Cause.SUCCEEDED)


def skipped(step: Step, attempt: AttemptId, why: str) -> None:
    instance = step.current(attempt)
    if instance is not None:
        end(step, instance, Cause.SKIPPED, why)


def failed(step: Step, attempt: AttemptId, why: str, retryable: bool) -> None:
    instance = step.current(attempt)
    if instance is None:
        return
    if instance.stopping == CANCELLED or step.run.row.cancelled:
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
        end(step, instance, Cause.FAILED, why)


def _wait_for_retry(step: Step, instance: InstanceRow, why: str, when: datetime) -> None:
    instance.stopping = ""
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
        end(
            step,
            instance,
            Cause.FAILED,
            f"lost {instance.lost} times; the last time: {why}",
        )
    else:
        step.schedule(instance, Cause.LOST, f"lost: {why}")
