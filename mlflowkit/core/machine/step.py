"""One event being applied: the moves that every concern shares. Lives for one `handle`."""

from __future__ import annotations

from datetime import datetime

from mlflowkit.core.decisions import Call, CloseRun, Decision, WakeAt
from mlflowkit.core.machine.run import BAD, InstanceRow, Node, Outcome, Run
from mlflowkit.core.spec import UNMAPPED, AttemptId, TaskId
from mlflowkit.core.states import (
    ENDED,
    HOLDS_PLACE,
    RUN_TRANSITIONS,
    TRANSITIONS,
    Cause,
    TaskState,
)
from mlflowkit.errors import IllegalEvent


class Step:
    """A run, the time, and what has changed so far."""

    __slots__ = ("broke", "now", "outcome", "run")

    def __init__(self, run: Run, now: datetime) -> None:
        self.run, self.now = run, now
        self.outcome = Outcome()
        #: The first task that failed for good in this step.
        self.broke: TaskId | None = None

    def decide(self, decision: Decision) -> None:
        self.outcome.decisions.append(decision)

    def changed(self, instance: InstanceRow) -> None:
        self.outcome.instances[instance.task_id, instance.map_index] = instance

    def node_changed(self, node: Node) -> None:
        self.outcome.nodes[node.spec.task_id] = node.row

    def current(self, attempt: AttemptId) -> InstanceRow | None:
        """The task instance whose latest attempt this is, if it is out; None for old mail."""
        node = self.run.nodes.get(attempt.task_id)
        instance = node.instances.get(attempt.map_index) if node else None
        if instance is None or self.run.attempt_of(instance) != attempt:
            return None
        return instance if instance.state in HOLDS_PLACE else None

    def move(self, instance: InstanceRow, cause: Cause, reason: str = "") -> None:
        """The one place where a task instance's state changes."""
        before = instance.state
        after = TRANSITIONS[before].get(cause)
        if after is None:
            raise IllegalEvent(f"task instance {instance.task_id!r}", before, cause)
        instance.state, instance.reason = after, reason
        if after is TaskState.FAILED and cause is not Cause.CANCELLED:
            self.broke = self.broke or instance.task_id
        held = (after in HOLDS_PLACE) - (before in HOLDS_PLACE)
        if held:
            self.run.hold(instance, held)
        if after in ENDED and after is not TaskState.REMOVED:
            instance.ended_at = self.now
            self.count(self.run.nodes[instance.task_id], after)
        self.changed(instance)

    def count(self, node: Node, state: TaskState, instances: int = 1) -> None:
        """Instances of a task have ended: it and those that wait for it count them."""
        node.counts[state] += instances
        for task_id in self.run.spec.downstream(node.spec.task_id):
            down = self.run.nodes[task_id]
            if not down.beside(node):
                down.above[state] += instances

    def schedule(self, instance: InstanceRow, cause: Cause, reason: str = "") -> None:
        """Ready to be handed over as soon as there is a place."""
        instance.alarm = None
        self.move(instance, cause, reason)
        self.run.add_ready(self.run.nodes[instance.task_id], instance.map_index)

    def wake_at(self, instance: InstanceRow, when: datetime) -> None:
        instance.alarm = when
        self.run.add_alarm(when, instance.task_id, instance.map_index)
        self.decide(WakeAt(when))

    def call(self, instance: InstanceRow, kind: str, why: str = "") -> None:
        """Code of a person is to hear of it, where there is any."""
        if kind in self.run.nodes[instance.task_id].spec.callbacks:
            self.decide(Call(self.run.attempt_of(instance), kind, why))

    def move_run(self, cause: str) -> None:
        row = self.run.row
        after = RUN_TRANSITIONS[row.state].get(cause)
        if after is None:
            raise IllegalEvent(f"run {row.run_id!r}", row.state, cause)
        row.state = after
        self.outcome.run = row

    def close_if_over(self) -> None:
        """End the run once every task has."""
        run = self.run
        if run.open_nodes or run.ended:
            return
        ends = {run.nodes[t].outcome() for t in run.spec.leaves}
        bad = bool(ends.intersection(BAD))
        stopped = run.row.cancelled and bool(ends - {TaskState.SUCCESS})
        self.move_run("failed" if bad or stopped else "succeeded")
        run.row.ended_at = self.now
        run.row.reason = (run.row.reason or "cancelled") if stopped else ""
        self.decide(CloseRun(run.row.state))
        kind = "failure" if bad or stopped else "success"
        if kind in run.spec.callbacks:
            whole = AttemptId(run.run_id, TaskId(""), UNMAPPED, 0)
            self.decide(Call(whole, kind, run.row.reason))
