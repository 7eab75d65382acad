"""What time does: retries become due, attempts run out of theirs."""

from __future__ import annotations

import heapq
from datetime import datetime

from mlflowkit.core.decisions import Kill
from mlflowkit.core.events import RetryHeldBack
from mlflowkit.core.machine.people import HELD_BACK, failure_of, stop
from mlflowkit.core.machine.run import WHOLE_RUN, InstanceRow
from mlflowkit.core.machine.step import Step
from mlflowkit.core.states import Cause, TaskState


def wake(step: Step) -> None:
    """Work every alarm that is due. Alarms that were overtaken by events do nothing: a run
    that was loaded has none of those, and must go on as this one does."""
    alarms = step.run.alarms
    while alarms and alarms[0][0] <= step.now:
        when, task_id, index = heapq.heappop(alarms)
        if task_id == WHOLE_RUN:
            _out_of_time(step, when)
            continue
        instance = step.run.nodes[task_id].instances.get(index)
        if instance is not None and instance.alarm == when:
            _due(step, instance)


def hold_back(step: Step, event: RetryHeldBack) -> None:
    """A retry waits longer, or, without a reason to, no longer. Old news change nothing."""
    node = step.run.nodes.get(event.task_id)
    instance = node.instances.get(event.map_index) if node is not None else None
    if instance is None or instance.state is not TaskState.UP_FOR_RETRY:
        return
    failure = failure_of(instance)
    instance.reason = f"{failure}{HELD_BACK}: {event.why}" if event.why else failure
    step.wake_at(instance, max(event.until, step.now))
    step.changed(instance)


def _out_of_time(step: Step, when: datetime) -> None:
    if when != step.run.deadline or step.run.row.cancelled or step.run.ended:
        return
    stop(step, f"timed out after {step.run.spec.dagrun_timeout}")


def _due(step: Step, instance: InstanceRow) -> None:
    if instance.state is TaskState.UP_FOR_RETRY:
        step.schedule(instance, Cause.RETRY_DUE)
    elif instance.state is TaskState.UP_FOR_RESCHEDULE:
        step.schedule(instance, Cause.RESCHEDULE_DUE)
    elif instance.state is TaskState.RUNNING and not instance.stopping:
        timeout = step.run.nodes[instance.task_id].spec.execution_timeout
        instance.alarm = None
        instance.stopping = f"timed out after {timeout}"
        step.changed(instance)
        step.decide(Kill(step.run.attempt_of(instance), instance.stopping))
